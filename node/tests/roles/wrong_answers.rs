//! Well-formed answers that are wrong in shape or range, refusals and silence: the answer to the user stays right, and
//! the worker's faults are counted.

use neuro_orchestrator::Checks;
use neuro_primitives::{Hash, NodeKey, RowSum, Rows};
use neuro_protocol::control::{Expert, WorkerStatus};
use neuro_protocol::frame::{Answer, Failure, FailureCode, Frame, MicroTask};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

use crate::network::{EXPERTS, Network, TCP, holds_all, is_gone, of};
use crate::twin_worker::{Conduct, Reply, Twin};

/// Questions asked until the liar was asked too: the scheduler tries a new worker at once.
const QUESTIONS: usize = 20;

fn map_rows(mut answer: Answer, change: impl Fn(RowSum) -> RowSum) -> Vec<Reply> {
    answer.sums = answer.sums.into_iter().map(change).collect();
    Reply::answer(answer)
}

/// Every row with this value in place of the first; a sum of several contributions has no room for it and becomes one.
fn with_value(answer: Answer, value: f32) -> Vec<Reply> {
    map_rows(answer, |sum| {
        let mut values = match sum {
            RowSum::One(values) => values,
            RowSum::Many(values) => vec![0.0; values.len()],
        };
        values[0] = value;
        RowSum::One(values)
    })
}

/// Every value as large as its form allows: sums of two such would have no room.
fn beyond_its_share(sum: RowSum) -> RowSum {
    match sum {
        RowSum::One(values) => RowSum::One(vec![8_388_607.5; values.len()]),
        RowSum::Many(values) => RowSum::Many(vec![i64::MIN; values.len()]),
    }
}

fn other_kind(sum: RowSum) -> RowSum {
    match sum {
        RowSum::One(values) => RowSum::Many(vec![0; values.len()]),
        RowSum::Many(values) => RowSum::One(vec![0.0; values.len()]),
    }
}

fn narrower(sum: RowSum) -> RowSum {
    match sum {
        RowSum::One(values) => RowSum::One(values[1..].to_vec()),
        RowSum::Many(values) => RowSum::Many(values[1..].to_vec()),
    }
}

fn one_row_more(mut answer: Answer) -> Vec<Reply> {
    answer.sums.push(answer.sums[0].clone());
    Reply::answer(answer)
}

fn one_digest_less(mut answer: Answer) -> Vec<Reply> {
    answer.digests.pop();
    Reply::answer(answer)
}

fn one_digest_more(mut answer: Answer) -> Vec<Reply> {
    answer.digests.push(answer.digests[0]);
    Reply::answer(answer)
}

fn refusal(task: &MicroTask, code: FailureCode) -> Vec<Reply> {
    vec![Reply::Frame(Frame::Failure(Failure::new(Some(task.task), code, "no")))]
}

/// Asks until the status of the worker is as wanted; every answer must be right.
async fn asks_until(network: &Network, name: &str, wanted: impl Fn(&WorkerStatus) -> bool) -> WorkerStatus {
    for _ in 0..QUESTIONS {
        assert_eq!(network.ask().await, "47", "with {name}");
        let worker = of(&network.status().await, name).unwrap().clone();
        if wanted(&worker) {
            return worker;
        }
    }
    panic!("{name} was not found out in {QUESTIONS} questions");
}

async fn joined(network: &Network, conduct: Conduct) -> Twin {
    let name = conduct.name.clone();
    let twin = network.twin(conduct).await;
    network.until("a twin with all experts", |status| of(status, &name).is_some_and(holds_all)).await;
    twin
}

async fn left(network: &Network, name: &str, twin: Twin) {
    drop(twin);
    network.until("a twin that is gone", |status| of(status, name).is_some_and(is_gone)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_that_answers_right_is_asked_and_blamed_for_nothing() {
    let network = Network::start().await;
    let _honest = network.worker("honest").await;
    let twin = joined(&network, Conduct::lying("twin", |_, answer| Reply::answer(answer))).await;
    while twin.tasks() == 0 {
        assert_eq!(network.ask().await, "47");
    }
    assert_eq!(of(&network.status().await, "twin").unwrap().faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_two_has_everything_asked_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::checking(Checks::Trusting, folder, "127.0.0.1:0", vec![TCP.to_owned()]).await;
    let honest = |name| Conduct::lying(name, |_, answer| Reply::answer(answer));
    let twins = [joined(&network, honest("one")).await, joined(&network, honest("two")).await];
    let response = network.request(json!({ "temperature": 0, "redundancy": 2 }), "What is 12+35?").await;
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "47", "{answer}");
    let layers = network.status().await.model.unwrap().layers as usize;
    let calls = layers * answer["usage"]["completion_tokens"].as_u64().unwrap() as usize;
    network.until("both were asked for every layer", |_| twins.iter().all(|twin| twin.tasks() >= calls)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_fit_are_refused_and_counted() {
    let network = Network::start().await;
    let _honest = network.worker("honest").await;
    type Lie = fn(&MicroTask, Answer) -> Vec<Reply>;
    let lies: [(&str, Lie); 13] = [
        ("not a number", |_, answer| with_value(answer, f32::NAN)),
        ("infinity", |_, answer| with_value(answer, f32::NEG_INFINITY)),
        ("out of range", |_, answer| with_value(answer, 8_388_608.0)),
        ("beyond its share", |_, answer| map_rows(answer, beyond_its_share)),
        ("other kind", |_, answer| map_rows(answer, other_kind)),
        ("narrow", |_, answer| map_rows(answer, narrower)),
        ("one row more", |_, answer| one_row_more(answer)),
        ("one digest less", |_, answer| one_digest_less(answer)),
        ("one digest more", |_, answer| one_digest_more(answer)),
        ("not held", |task, _| refusal(task, FailureCode::NotHeld)),
        ("bad task", |task, _| refusal(task, FailureCode::BadTask)),
        ("wrong model", |task, _| refusal(task, FailureCode::WrongModel)),
        ("unknown code", |task, _| refusal(task, FailureCode::Unknown(900))),
    ];
    for (name, lie) in lies {
        let twin = joined(&network, Conduct::lying(name, lie)).await;
        asks_until(&network, name, |worker| worker.faults > 0).await;
        left(&network, name, twin).await;
        let status = network.status().await;
        assert!(of(&status, name).unwrap().faults > 0, "{name}: the faults are still shown");
        assert_eq!(of(&status, "honest").unwrap().faults, 0, "beside {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_held_against_a_worker_is_not_counted() {
    let network = Network::start().await;
    let _honest = network.worker("honest").await;
    for (name, code) in [("busy", FailureCode::Overloaded), ("slow", FailureCode::Expired)] {
        let twin = joined(&network, Conduct::lying(name, move |task, _| refusal(task, code))).await;
        while twin.tasks() == 0 {
            assert_eq!(network.ask().await, "47", "{name}");
        }
        assert_eq!(of(&network.status().await, name).unwrap().faults, 0, "{name}");
        left(&network, name, twin).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_never_answers_costs_its_deadline_and_no_more() {
    let network = Network::start().await;
    let _honest = network.worker("honest").await;
    let half = |task: &MicroTask, _| vec![Reply::Raw([&[200, 0, 0, 0][..], &task.task.0.to_le_bytes()].concat())];
    for (name, conduct) in
        [("silent", Conduct::lying("silent", |_, _| vec![])), ("half a frame", Conduct::lying("half a frame", half))]
    {
        let twin = joined(&network, conduct).await;
        let worker = asks_until(&network, name, |worker| worker.tasks_late > 0 || is_gone(worker)).await;
        assert!(is_gone(&worker) || worker.faults == 0, "{name}: late is not wrong, but for one who never answers");
        left(&network, name, twin).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_mid_task_loses_nothing_and_may_come_back() {
    let network = Network::start().await;
    let _honest = network.worker("honest").await;
    let key = NodeKey::generate().unwrap();
    for _ in 0..2 {
        let twin = loop {
            let again = NodeKey::from_secret(key.secret().as_ref().try_into().unwrap());
            let conduct = Conduct::lying("leaver", |_, _| vec![Reply::Close]);
            match network.twin_with(again, conduct).await {
                Ok(twin) => break twin,
                // The end of its former connection may reach into the new one: it tries again, as workers do.
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        };
        network.until("all experts", |status| of(status, "leaver").is_some_and(holds_all)).await;
        while twin.tasks.load(Ordering::Relaxed) == 0 {
            assert_eq!(network.ask().await, "47");
        }
        network.until("its leaving", |status| of(status, "leaver").is_some_and(is_gone)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn experts_that_do_not_exist_are_not_counted_as_held() {
    let network = Network::start().await;
    let _honest = network.worker("honest").await;
    let conduct = Conduct {
        claims: Box::new(|mut experts| {
            let absent = [(4, 0), (0, 8), (65_535, 65_535), (65_536, 0), (u32::MAX, u32::MAX)];
            experts.extend(absent.map(|(layer, expert)| Expert { layer, expert }));
            experts
        }),
        ..Conduct::lying("boaster", |_, answer| Reply::answer(answer))
    };
    let twin = joined(&network, conduct).await;
    while twin.tasks() == 0 {
        assert_eq!(network.ask().await, "47");
    }
    let status = network.status().await;
    assert_eq!(of(&status, "boaster").unwrap().experts_held, EXPERTS);
    assert!(status.holders.iter().all(|layer| layer.counts.len() == 8), "{:?}", status.holders);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_cannot_write_to_the_owners_terminal() {
    let network = Network::start().await;
    let name = "\u{1b}]0;root\u{7}\u{1b}[2Jnice\r\n\u{9b}31m";
    let _twin = network.twin(Conduct::lying(name, |_, answer| Reply::answer(answer))).await;
    let status = network.until("the twin", |status| status.workers.len() == 1).await;
    assert!(!status.workers[0].name.chars().any(char::is_control), "{:?}", status.workers[0].name);
    assert!(status.workers[0].name.contains("nice"));
}

#[test]
fn the_lies_are_lies() {
    let answer = Answer {
        task: neuro_primitives::TaskId(1),
        compute_us: 0,
        sums: vec![RowSum::One(vec![0.5; 4]), RowSum::Many(vec![1; 4])],
        digests: vec![Hash([0; 32]); 3],
    };
    let rows = Rows::zeros(2, 4);
    for replies in [one_row_more(answer.clone()), map_rows(answer.clone(), other_kind), map_rows(answer, narrower)] {
        let [Reply::Frame(Frame::Answer(lie))] = &replies[..] else { panic!("one answer") };
        let right_rows = lie.sums.len() == rows.count();
        let right_form = matches!(&lie.sums[0], RowSum::One(values) if values.len() == rows.width());
        assert!(!(right_rows && right_form));
    }
}
