//! A worker among callers that speak wrongly: each is told why, and none disturbs the others.

use neuro_expert_runtime::activations;
use neuro_network::peer_to_peer::{PeerStream, PeerToPeer, StreamKind};
use neuro_node::data_dir::DataDir;
use neuro_primitives::{ExpertId, Hash, ModelId, NodeKey, Route, Routes, Rows, TaskId};
use neuro_protocol::control::worker_report::Report;
use neuro_protocol::frame::{ActivationFormat, Failure, FailureCode, Frame, Hello, MicroTask};
use neuro_protocol::version::ENGINE_SPEC;
use tokio::io::AsyncWriteExt;

use crate::network::{TCP, within};
use crate::twin_orchestrator::Twin;
use crate::twin_worker::{framed, honest_pool, read_frame, right_answer};

const HELD: ExpertId = ExpertId { layer: 1, expert: 3 };

async fn next(stream: &mut PeerStream) -> Option<Frame> {
    within("a frame", read_frame(stream)).await
}

async fn failure(stream: &mut PeerStream) -> Failure {
    match next(stream).await {
        Some(Frame::Failure(failure)) => failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

/// The stream ends with this failure.
async fn ends_with(stream: &mut PeerStream, code: FailureCode, what: &str) -> Failure {
    let failure = failure(stream).await;
    assert_eq!((failure.task, failure.code), (None, code), "{what}: {}", failure.text);
    assert_eq!(next(stream).await, None, "{what}");
    failure
}

async fn sends(stream: &mut PeerStream, frame: &Frame) {
    stream.write_all(&framed(&frame.encode())).await.unwrap();
    stream.flush().await.unwrap();
}

fn hidden(rows: usize) -> Rows {
    Rows::new(128, (0..rows * 128).map(|value| (value % 7) as f32 / 8.0).collect())
}

fn task(twin: &Twin, number: u64, rows: usize) -> MicroTask {
    let mut routes = Routes::new();
    (0..rows).for_each(|_| routes.push_row([Route { expert: HELD.expert, gate: 0.5 }]));
    MicroTask {
        task: TaskId(number),
        model: twin.model,
        engine_spec: ENGINE_SPEC,
        layer: HELD.layer,
        deadline_left_ms: 60_000,
        routes,
        hidden: hidden(rows).into(),
    }
}

/// A twin with a worker that holds one expert.
async fn holding() -> (Twin, crate::network::Worker, neuro_primitives::NodeId) {
    let mut twin = Twin::start(Box::new(|_, bytes, _| Ok(bytes))).await;
    let (worker, node) = twin.worker().await;
    twin.orders_to_hold(&[HELD]).await;
    assert!(matches!(twin.outcome().await, Report::Holding(held) if held.experts == [HELD.into()]));
    (twin, worker, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn greetings_that_do_not_fit_are_refused_with_both_sides_named() {
    let (twin, _worker, node) = holding().await;
    let other = ModelId(Hash([9; 32]));
    let ours = twin.model.to_string();
    let hello = twin.hello();
    let cases = [
        (Hello { model: other, ..hello.clone() }, FailureCode::WrongModel, [other.to_string(), ours]),
        (Hello { versions: 7..=9, ..hello.clone() }, FailureCode::WrongVersion, ["7 to 9".into(), "3 and 3".into()]),
        (Hello { engine_spec: 3, ..hello.clone() }, FailureCode::WrongEngine, ["rules 2".into(), "got 3".into()]),
        (Hello { d_model: 64, ..hello }, FailureCode::WrongModel, ["of 128".into(), "got 64".into()]),
    ];
    for (hello, code, words) in cases {
        let mut stream = twin.opens(node, &framed(&Frame::Hello(hello).encode())).await;
        let failure = ends_with(&mut stream, code, &words[0]).await;
        assert!(words.iter().all(|word| failure.text.contains(word)), "{} in {}", words[0], failure.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_ends_its_own_stream_and_no_other() {
    let (twin, _worker, node) = holding().await;
    let mut steady = twin.greets(node).await;
    let cancel = framed(&Frame::Cancel(TaskId(1)).encode());
    let noise = framed(&[0xee; 40]);
    for (what, bytes) in [("early", &cancel), ("noise", &noise), ("over", &vec![65, 0, 0, 0]), ("empty", &vec![0; 4])] {
        ends_with(&mut twin.opens(node, bytes).await, FailureCode::BadTask, what).await;
    }
    let hello = framed(&Frame::Hello(twin.hello()).encode());
    for (what, bytes) in [("again", &hello), ("noise", &noise), ("over", &vec![0xff; 8]), ("empty", &vec![0; 4])] {
        let mut stream = twin.greets(node).await;
        stream.write_all(bytes).await.unwrap();
        stream.flush().await.unwrap();
        ends_with(&mut stream, FailureCode::BadTask, what).await;
    }
    let mut half = twin.greets(node).await;
    half.write_all(&[200, 0, 0, 0, 3, 1]).await.unwrap();
    half.flush().await.unwrap();
    sends(&mut steady, &Frame::Task(task(&twin, 1, 1))).await;
    assert!(matches!(next(&mut steady).await, Some(Frame::Answer(answer)) if answer.task == TaskId(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_does_not_fit_is_refused_and_the_next_one_computed() {
    let (twin, _worker, node) = holding().await;
    let mut stream = twin.greets(node).await;
    let good = task(&twin, 0, 2);
    let narrow = MicroTask { hidden: Rows::zeros(2, 64).into(), ..good.clone() };
    let blocks = activations::encode(&hidden(2), ActivationFormat::Q8).unwrap();
    let cases = [
        (narrow, FailureCode::BadTask),
        (MicroTask { hidden: blocks, ..good.clone() }, FailureCode::BadTask),
        (MicroTask { layer: 2, ..good.clone() }, FailureCode::NotHeld),
        (MicroTask { layer: 400, ..good.clone() }, FailureCode::BadTask),
        (MicroTask { deadline_left_ms: 0, ..good.clone() }, FailureCode::Expired),
        (MicroTask { model: ModelId(Hash([9; 32])), ..good.clone() }, FailureCode::WrongModel),
        (MicroTask { engine_spec: ENGINE_SPEC + 1, ..good.clone() }, FailureCode::WrongEngine),
    ];
    for (number, (case, code)) in (1..).zip(cases) {
        let case = MicroTask { task: TaskId(number), ..case };
        sends(&mut stream, &Frame::Task(case)).await;
        let failure = failure(&mut stream).await;
        assert_eq!((failure.task, failure.code), (Some(TaskId(number)), code), "{}", failure.text);
    }
    sends(&mut stream, &Frame::Cancel(TaskId(1))).await;
    sends(&mut stream, &Frame::Task(good.clone())).await;
    let Some(Frame::Answer(answer)) = next(&mut stream).await else { panic!("no answer") };
    assert_eq!(answer.sums, right_answer(&good).sums);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tasks_than_the_queue_holds_are_refused_and_the_rest_answered() {
    const TASKS: u64 = 200;
    let (twin, _worker, node) = holding().await;
    honest_pool();
    let mut stream = twin.greets(node).await;
    let mut burst: Vec<u8> =
        (0..4).flat_map(|number| framed(&Frame::Task(task(&twin, number, 512)).encode())).collect();
    burst.extend((4..TASKS).flat_map(|number| framed(&Frame::Task(task(&twin, number, 1)).encode())));
    let (mut reading, mut writing) = tokio::io::split(&mut stream);
    let write = async {
        writing.write_all(&burst).await.unwrap();
        writing.flush().await.unwrap();
    };
    let read = async {
        let (mut answered, mut refused) = (0, 0);
        while answered + refused < TASKS {
            match read_any(&mut reading).await {
                Frame::Answer(_) => answered += 1,
                Frame::Failure(failure) if failure.code == FailureCode::Overloaded => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        (answered, refused)
    };
    let ((), (answered, refused)) = within("all replies", futures::future::join(write, read)).await;
    assert!(refused > 0 && answered >= 64, "{answered} answered, {refused} refused");
}

async fn read_any(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Frame {
    use tokio::io::AsyncReadExt;
    let mut payload = vec![0; stream.read_u32_le().await.unwrap() as usize];
    stream.read_exact(&mut payload).await.unwrap();
    Frame::decode(&payload).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_computes_for_its_orchestrator_alone() {
    let (twin, worker, node) = holding().await;
    let addresses = DataDir::open(worker.data_dir.path()).unwrap().running().unwrap().unwrap().p2p;
    let (stranger, _incoming) = PeerToPeer::start(&NodeKey::generate().unwrap(), &[TCP.to_owned()]).await.unwrap();
    stranger.dial(node, &addresses).await.unwrap();
    let mut stream = stranger.open(node, StreamKind::Experts).await.unwrap();
    sends(&mut stream, &Frame::Hello(twin.hello())).await;
    ends_with(&mut stream, FailureCode::NotAllowed, "a stranger").await;
}
