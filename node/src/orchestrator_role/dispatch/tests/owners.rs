//! Calls with rows of several jobs: what one of them asks for or suffers is not the others'.

use neuro_inference::{ExpertLayers, RowOwner};
use neuro_primitives::JobId;

use super::*;
use crate::orchestrator_role::experts::RemoteExperts;

/// How many of `workers` were asked about the row, whether they were to answer in the end or not.
fn shown(row: &[f32], tasks: &[(NodeId, MicroTask)]) -> usize {
    let has =
        |task: &MicroTask| matches!(&task.hidden, Activations::F32(rows) if rows.iter().any(|other| other == row));
    let workers: std::collections::BTreeSet<_> =
        tasks.iter().filter(|(_, task)| has(task)).map(|(worker, _)| *worker).collect();
    workers.len()
}

/// Every task that waits on the worker's link, answered.
fn answer_all(dispatch: &Dispatch, worker: &mut Scripted) -> Vec<(NodeId, MicroTask)> {
    let mut tasks = Vec::new();
    while let Ok(frame) = worker.frames.try_recv() {
        if let Ok(Frame::Task(task)) = Frame::decode(&frame) {
            worker.answers(dispatch, answer(&task, 1.0)).unwrap();
            tasks.push((worker.id, task));
        }
    }
    tasks
}

#[test]
fn who_pays_twice_pays_for_its_own_rows_and_shows_no_others_to_a_second_worker() {
    let dispatch = dispatch(2);
    let mut workers = [Scripted::join(&dispatch, 1, 1), Scripted::join(&dispatch, 2, 2)];
    let experts = RemoteExperts::new(Arc::clone(&dispatch));
    let owners = [(1, false), (2, true)].map(|(job, twice)| RowOwner { job: JobId(job), rows: 1, twice });
    let outcome = std::thread::spawn(move || experts.run_for(0, &hidden(), &routes(), &owners));
    let mut tasks = Vec::new();
    while !outcome.is_finished() {
        workers.iter_mut().for_each(|worker| tasks.extend(answer_all(&dispatch, worker)));
    }
    // What was cancelled was nevertheless sent.
    workers.iter_mut().for_each(|worker| tasks.extend(answer_all(&dispatch, worker)));
    assert_eq!(outcome.join().unwrap().unwrap().values(), rows(1.0));
    assert_eq!(shown(hidden().row(0), &tasks), 1, "the other job asked for one worker");
    assert_eq!(shown(hidden().row(1), &tasks), 2, "this one for two");
}

#[test]
fn a_lie_ends_the_jobs_whose_rows_the_liar_got_and_no_others() {
    let dispatch = dispatch(1);
    let (touched, other) = (Arc::<JobTally>::default(), Arc::<JobTally>::default());
    let tally = Arc::new(CallTally::new([(1, Arc::clone(&other)), (1, Arc::clone(&touched))]));
    let hidden = Activations::F32(hidden());
    let source = Source { layer: 0, hidden, routes: routes(), tally };
    let (rows, routes) = source.asked(&[1], false);
    let (call, task, worker) = (CallId(1), TaskId(1), NodeId([1; 32]));
    let sent = SentTask { source: Arc::new(source), worker, rows, routes, spot_check: false };
    let answer = Answer { task, compute_us: 1, sums: Vec::new(), digests: Vec::new() };
    let mut state = dispatch.lock();
    state.kept.insert(task, Arc::new(Kept { sent, answer }));
    dispatch.perform(&mut state, Effect::Retract { call, task, worker });
    assert!(touched.is_tainted() && !other.is_tainted());
}
