//! A worker whose orchestrator delivers damaged weights, or a manifest that is not to be trusted.

use neuro_network::control::{ControlError, ControlErrorKind};
use neuro_node::worker_role::WorkerError;
use neuro_primitives::ExpertId;
use neuro_protocol::control::worker_report::Report;
use neuro_protocol::manifest::ManifestError;

use crate::network::Worker;
use crate::twin_orchestrator::{Shelf, Twin};

const EXPERT: ExpertId = ExpertId { layer: 2, expert: 5 };
const OTHER: ExpertId = ExpertId { layer: 0, expert: 0 };

fn flipped(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

/// What becomes of an expert with this shelf, and how often its tensors were fetched at most.
async fn outcome(shelf: Shelf) -> (Report, usize, Twin, Worker) {
    let mut twin = Twin::start(shelf).await;
    let (worker, _) = twin.worker().await;
    twin.orders_to_hold(&[EXPERT]).await;
    let report = twin.outcome().await;
    let fetched = twin.fetched.all();
    let most = fetched.iter().map(|name| fetched.iter().filter(|other| *other == name).count()).max().unwrap();
    (report, most, twin, worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tensor_that_arrives_damaged_is_fetched_again() {
    let twice_bad: Shelf = Box::new(|_, bytes, before| Ok(if before < 2 { flipped(bytes) } else { bytes }));
    let (report, most, _twin, _worker) = outcome(twice_bad).await;
    assert!(matches!(report, Report::Holding(held) if held.experts == [EXPERT.into()]));
    assert_eq!(most, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expert_that_never_arrives_whole_is_reported_and_others_are_held() {
    type Damage = fn(Vec<u8>) -> Result<Vec<u8>, ControlError>;
    let damages: [(&str, Damage, usize); 4] = [
        ("flipped", |bytes| Ok(flipped(bytes)), 3),
        ("short", |bytes| Ok(bytes[1..].to_vec()), 3),
        ("long", |bytes| Ok([&bytes[..], &[0; 300_000]].concat()), 3),
        ("absent", |_| Err(ControlError::new(ControlErrorKind::NotFound, "no such tensor")), 1),
    ];
    for (what, damage, attempts) in damages {
        let shelf: Shelf =
            Box::new(move |name, bytes, _| if name.contains("layers.2.") { damage(bytes) } else { Ok(bytes) });
        let (report, most, mut twin, worker) = outcome(shelf).await;
        let Report::Failed(failed) = report else { panic!("{what}: {report:?}") };
        assert_eq!(failed.expert, Some(EXPERT.into()), "{what}");
        assert!(failed.reason.contains("layers.2."), "{what}: {}", failed.reason);
        assert_eq!(most, attempts, "{what}");
        twin.orders_to_hold(&[OTHER]).await;
        assert!(matches!(twin.outcome().await, Report::Holding(held) if held.experts == [OTHER.into()]), "{what}");
        assert!(!worker.running.is_finished());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_its_publisher_did_not_sign_is_refused() {
    let twin = Twin::with_manifest(Box::new(|_, bytes, _| Ok(bytes)), flipped).await;
    let mut worker = Worker::start(Worker::config("worker", &twin.ticket));
    let failure = worker.failure().await;
    assert!(matches!(failure, WorkerError::Manifest(ManifestError::Forged { .. })), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_model_of_another_publisher_is_refused_with_both_named() {
    let [first, second] =
        [Twin::start(Box::new(|_, bytes, _| Ok(bytes))).await, Twin::start(Box::new(|_, bytes, _| Ok(bytes))).await];
    let (mut config, folder) = Worker::config("worker", &first.ticket);
    let mut worker = Worker::start((config.clone(), folder.clone()));
    worker.joined().await;
    drop(worker);
    config.ticket = second.ticket.clone();
    let failure = Worker::start((config, folder)).failure().await;
    assert!(matches!(failure, WorkerError::Publisher { .. }) && failure.is_refusal(), "{failure}");
    let words = [first.key.node_id().to_string(), second.key.node_id().to_string(), "publishers".to_owned()];
    assert!(words.iter().all(|word| failure.to_string().contains(word)), "{failure}");
}
