//! Calls over scripted links: what workers say, and what the caller gets.

use super::*;
use crate::orchestrator_role::tally::JobTally;
use neuro_expert_runtime::activations;
use neuro_orchestrator::{Checks, ExpertSpec};
use neuro_primitives::contribution::digest;
use neuro_primitives::{Activations, ExpertId, Hash, Route, RowSum};
use neuro_protocol::frame::{FailureCode, Frame, MicroTask};

mod owners;
mod pay;
mod remains;

/// One block.
const WIDTH: usize = 32;

/// What stops a test that waits in vain.
const PATIENCE: Duration = Duration::from_secs(30);

type Outcome = std::thread::JoinHandle<Result<Rows, ExpertsError>>;

/// One layer of two experts that take f32.
fn dispatch(replicas: usize) -> Arc<Dispatch> {
    dispatch_as(ActivationFormat::F32, replicas)
}

fn dispatch_as(format: ActivationFormat, replicas: usize) -> Arc<Dispatch> {
    Arc::new(dispatch_checking(Checks::Trusting, format, replicas))
}

fn dispatch_checking(checks: Checks, format: ActivationFormat, replicas: usize) -> Dispatch {
    let experts = (0..2).map(|expert| ExpertSpec { id: ExpertId { layer: 0, expert }, bytes: 1 }).collect();
    // With it, the first check that is drawn has a witness.
    let secret = [1; 32];
    let usual = Settings { call_patience: PATIENCE, task_deadline: PATIENCE, ..Settings::new(experts) };
    let settings = Settings { replicas, checks, secret, ..usual };
    Dispatch::new(ModelId(Hash([7; 32])), vec![format], settings)
}

/// A worker whose every frame the test reads and answers.
struct Scripted {
    id: NodeId,
    session: u64,
    frames: mpsc::Receiver<Vec<u8>>,
    orders: mpsc::Receiver<Order>,
}

impl Scripted {
    fn join(dispatch: &Dispatch, number: u8, session: u64) -> Self {
        Self::join_as(dispatch, NodeId([number; 32]), session)
    }

    fn join_as(dispatch: &Dispatch, id: NodeId, session: u64) -> Self {
        let ((frames, outgoing), (orders, incoming)) = (mpsc::channel(8), mpsc::channel(8));
        dispatch.joined(id, Link { session, frames, orders }, 100);
        let worker = Self { id, session, frames: outgoing, orders: incoming };
        let experts = (0..2).map(|expert| ExpertId { layer: 0, expert }).collect();
        dispatch.reported(Input::WorkerReady { worker: id, experts });
        worker
    }

    fn task(&mut self) -> MicroTask {
        loop {
            match Frame::decode(&self.frames.blocking_recv().expect("the link is closed")).unwrap() {
                Frame::Task(task) => return task,
                Frame::Cancel(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn answers(&self, dispatch: &Dispatch, answer: Answer) -> Result<(), Unasked> {
        dispatch.answered(self.id, self.session, answer)
    }
}

/// Two rows: one for expert 0 alone, one for both.
fn routes() -> Routes {
    let (first, second) = (Route { expert: 0, gate: 1.0 }, Route { expert: 1, gate: 1.0 });
    let mut routes = Routes::new();
    routes.push_row([first]);
    routes.push_row([first, second]);
    routes
}

/// Hidden states that no block holds exactly.
fn hidden() -> Rows {
    Rows::new(WIDTH, (0..2 * WIDTH).map(|place| (place as f32).sin()).collect())
}

fn call(dispatch: &Arc<Dispatch>) -> Outcome {
    let dispatch = Arc::clone(dispatch);
    std::thread::spawn(move || dispatch.call((0, Redundancy::One), &hidden(), &routes(), &Arc::default()))
}

/// An answer in which every expert contributes `value`.
fn answer(task: &MicroTask, value: f32) -> Answer {
    let fixed = i64::from(value as i32) << 40;
    let sum = |routes: &[Route]| match routes.len() {
        1 => RowSum::One(vec![value; WIDTH]),
        count => RowSum::Many(vec![fixed * count as i64; WIDTH]),
    };
    let digests = vec![digest(&[value; WIDTH]); task.routes.entries().len()];
    Answer { task: task.task, compute_us: 1, sums: task.routes.iter().map(sum).collect(), digests }
}

fn rows(value: f32) -> Vec<f32> {
    [vec![value; WIDTH], vec![2.0 * value; WIDTH]].concat()
}

#[test]
fn a_call_ends_with_the_sum_of_its_answers() {
    let dispatch = dispatch(1);
    let mut worker = Scripted::join(&dispatch, 1, 1);
    let outcome = call(&dispatch);
    let task = worker.task();
    worker.answers(&dispatch, answer(&task, 3.0)).unwrap();
    assert_eq!(outcome.join().unwrap().unwrap().values(), rows(3.0));
    assert_eq!(dispatch.faults(worker.id), 0);
}

#[test]
fn a_second_answer_breaks_the_protocol_and_changes_nothing() {
    let dispatch = dispatch(1);
    let mut worker = Scripted::join(&dispatch, 1, 1);
    let outcome = call(&dispatch);
    let task = worker.task();
    worker.answers(&dispatch, answer(&task, 3.0)).unwrap();
    let unasked = Unasked { worker: worker.id, task: task.task };
    assert_eq!(worker.answers(&dispatch, answer(&task, 5.0)), Err(unasked));
    assert_eq!(outcome.join().unwrap().unwrap().values(), rows(3.0));
    let failure = Failure::new(Some(TaskId(99)), FailureCode::Expired, "");
    assert!(dispatch.refused(worker.id, 1, TaskId(99), &failure).is_err());
}

#[test]
fn a_wrong_shape_is_blamed_and_the_task_goes_to_another() {
    [ActivationFormat::F32, ActivationFormat::Q8].into_iter().for_each(wrong_shape_is_blamed);
}

fn wrong_shape_is_blamed(format: ActivationFormat) {
    let dispatch = dispatch_as(format, 2);
    let mut workers = [Scripted::join(&dispatch, 1, 1), Scripted::join(&dispatch, 2, 2)];
    let outcome = call(&dispatch);
    // Whoever is asked first lies; every task that follows is answered right by whoever gets it.
    let mut lied = None;
    while !outcome.is_finished() {
        for worker in &mut workers {
            let Ok(frame) = worker.frames.try_recv() else { continue };
            let Frame::Task(task) = Frame::decode(&frame).unwrap() else { continue };
            let mut good = answer(&task, 1.0);
            if lied.is_none() {
                lied = Some(worker.id);
                good.sums.pop();
            }
            worker.answers(&dispatch, good).unwrap();
        }
        dispatch.reported(Input::Tick);
    }
    assert_eq!(outcome.join().unwrap().unwrap().values(), rows(1.0));
    let faults = workers.each_ref().map(|worker| (Some(worker.id) == lied, dispatch.faults(worker.id)));
    assert!(faults.iter().all(|(liar, faults)| *faults == u64::from(*liar)), "{faults:?}");
}

#[test]
fn a_lost_workers_task_goes_to_its_successor_and_its_late_answer_counts_for_nothing() {
    let dispatch = dispatch(1);
    let mut worker = Scripted::join(&dispatch, 1, 1);
    let outcome = call(&dispatch);
    let lost = worker.task();
    dispatch.left(worker.id, 1);
    assert!(!dispatch.is_linked(worker.id));
    let mut again = Scripted::join(&dispatch, 1, 2);
    let task = again.task();
    worker.answers(&dispatch, answer(&lost, 9.0)).unwrap();
    dispatch.left(worker.id, 1);
    assert!(dispatch.is_linked(worker.id), "the end of the old link is not the end of the new one");
    again.answers(&dispatch, answer(&task, 2.0)).unwrap();
    assert_eq!(outcome.join().unwrap().unwrap().values(), rows(2.0));
}

#[test]
fn too_many_faults_expel_and_are_remembered() {
    let dispatch = dispatch(1);
    let mut worker = Scripted::join(&dispatch, 1, 1);
    let _outcome = call(&dispatch);
    let expelled = loop {
        if let Ok(Order::Expel(reason)) = worker.orders.try_recv() {
            break reason;
        }
        if let Ok(frame) = worker.frames.try_recv()
            && let Ok(Frame::Task(task)) = Frame::decode(&frame)
        {
            let failure = Failure::new(Some(task.task), FailureCode::Internal, "broken");
            dispatch.refused(worker.id, 1, task.task, &failure).unwrap();
            let _again = call(&dispatch);
        }
        dispatch.reported(Input::Tick);
    };
    assert!(expelled.contains("faults"), "{expelled}");
    assert!(!dispatch.is_linked(worker.id) && dispatch.faults(worker.id) > 0);
    dispatch.stop();
}

#[test]
fn stopping_ends_waiting_calls_and_takes_no_more() {
    let dispatch = dispatch(1);
    let mut worker = Scripted::join(&dispatch, 1, 1);
    let outcome = call(&dispatch);
    worker.task();
    dispatch.stop();
    let error = outcome.join().unwrap().unwrap_err();
    assert!(error.retryable && error.message.contains("stopping"), "{}", error.message);
    assert!(call(&dispatch).join().unwrap().is_err());
    assert!(worker.frames.blocking_recv().is_none(), "the link is closed");
    let uptime_s = dispatch.view(|core, _| core.standing(worker.id).map(|standing| standing.uptime_s));
    assert!(uptime_s.is_some_and(|seconds| seconds > 0.0), "the time until then counts: {uptime_s:?}");
    assert_eq!(worker.orders.try_recv().ok().map(|_| ()), Some(()), "it was told what to hold when it came");
    assert!(worker.orders.try_recv().is_err(), "and nothing when the node stopped");
}

#[test]
fn a_wake_up_that_an_input_was_quicker_than_takes_the_next_one_from_nobody() {
    let dispatch = dispatch(1);
    let worker = Scripted::join(&dispatch, 1, 1);
    dispatch.left(worker.id, 1);
    let outcome = call(&dispatch);
    while dispatch.view(|core, _| core.in_flight().calls) == 0 {
        std::thread::yield_now();
    }
    let wake_at = dispatch.lock().wake_at;
    assert!(wake_at.is_some());
    dispatch.wake(Moment(0));
    assert_eq!(dispatch.lock().wake_at, wake_at, "the call's patience would never end");
    dispatch.stop();
    outcome.join().unwrap().unwrap_err();
}

#[test]
fn rows_travel_in_the_form_of_their_layer_and_in_the_same_bytes_after_a_failover() {
    let blocks = Activations::Q8(activations::quantise(&hidden()).unwrap());
    for (format, expected) in [(ActivationFormat::F32, hidden().into()), (ActivationFormat::Q8, blocks)] {
        let dispatch = dispatch_as(format, 1);
        let mut worker = Scripted::join(&dispatch, 1, 1);
        let outcome = call(&dispatch);
        let lost = worker.task();
        assert_eq!(lost.hidden, expected);
        dispatch.left(worker.id, 1);
        let mut again = Scripted::join(&dispatch, 2, 2);
        let task = again.task();
        assert_eq!((task.hidden.clone(), task.routes.clone()), (expected, routes()));
        again.answers(&dispatch, answer(&task, 1.0)).unwrap();
        assert_eq!(outcome.join().unwrap().unwrap().values(), rows(1.0));
    }
}

#[test]
fn what_no_worker_would_take_is_sent_to_none() {
    let spoilt = |value| {
        let mut rows = hidden();
        rows.row_mut(1)[3] = value;
        rows
    };
    let mut no_gate = Routes::new();
    no_gate.push_row([Route { expert: 0, gate: 1.0 }]);
    no_gate.push_row([Route { expert: 1, gate: f32::NAN }]);
    for format in [ActivationFormat::F32, ActivationFormat::Q8] {
        let dispatch = dispatch_as(format, 1);
        let mut worker = Scripted::join(&dispatch, 1, 1);
        for (layer, rows, routes, words) in [
            (0, spoilt(f32::NAN), routes(), "row 1 has the value NaN at index 3"),
            (0, spoilt(f32::NEG_INFINITY), routes(), "row 1 has the value -inf at index 3"),
            (0, hidden(), no_gate.clone(), "the gate of expert 1 is NaN"),
            (1, hidden(), routes(), "layer 1: the model has 1 layers"),
        ] {
            let error = dispatch.call((layer, Redundancy::One), &rows, &routes, &Arc::default()).unwrap_err();
            assert!(!error.retryable && error.message.contains(words), "{}", error.message);
        }
        assert!(worker.frames.try_recv().is_err(), "nothing was sent");
        assert_eq!(dispatch.faults(worker.id), 0);
    }
}

#[test]
fn rows_that_no_block_divides_are_refused_as_blocks_alone() {
    let narrow = Rows::zeros(2, 33);
    let error = encoding::encode(&[ActivationFormat::Q8], 0, &narrow, &routes()).unwrap_err();
    assert!(!error.retryable && error.message.contains("multiple of 32"), "{}", error.message);
    assert!(encoding::encode(&[ActivationFormat::F32], 0, &narrow, &routes()).is_ok());
}

#[test]
fn a_spot_check_shows_rows_that_belong_to_nobody_and_others_only_where_there_are_none() {
    let (user, nobody) = (Arc::<JobTally>::default(), Arc::<JobTally>::default());
    nobody.give_up();
    let mut routes = Routes::new();
    for experts in [[0, 1], [0, 2], [1, 2]] {
        routes.push_row(experts.map(|expert| Route { expert, gate: 0.5 }));
    }
    let hidden = Activations::F32(Rows::new(WIDTH, vec![0.0; 3 * WIDTH]));
    let tally = Arc::new(CallTally::new([(2, user), (1, nobody)]));
    let source = Source { layer: 0, hidden, routes, tally };
    assert_eq!(source.asked(&[0, 1], true).0, [2], "the last row alone");
    assert_eq!(source.asked(&[0, 1], true).1.entries().len(), 1, "and of its experts the one that was asked for");
    assert_eq!(source.asked(&[0], true).0, [0, 1], "no row of nobody's goes to expert 0");
    assert_eq!(source.asked(&[0, 1], false).0, [0, 1, 2]);
}
