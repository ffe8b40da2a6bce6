//! A worker that was excluded, and what its owner can do for it: now, and after a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use neuro_network::control::{ControlError, ControlErrorKind};
use neuro_orchestrator::Checks;
use neuro_primitives::{Hash, NodeKey};
use neuro_protocol::control::{PardonReply, PardonRequest, WorkerStatus};

use crate::network::{Network, TCP, holds_all, is_gone, of, within};
use crate::twin_worker::{Conduct, Reply, Twin};

const NAME: &str = "prodigal";

/// Questions asked until the liar is found.
const QUESTIONS: usize = 50;

fn key() -> NodeKey {
    NodeKey::from_secret(&[7; 32])
}

async fn start(folder: tempfile::TempDir) -> Network {
    Network::checking(Checks::Verified, folder, "127.0.0.1:0", vec![TCP.to_owned()]).await
}

/// The worker, which lies while `lies` says so.
async fn join(network: &Network, lies: &Arc<AtomicBool>) -> Result<Twin, ControlError> {
    let lies = Arc::clone(lies);
    let conduct = Conduct::lying(NAME, move |_, mut answer| {
        if lies.load(Ordering::Relaxed) {
            answer.digests[0] = Hash([7; 32]);
        }
        Reply::answer(answer)
    });
    network.twin_with(key(), conduct).await
}

async fn assert_refused(network: &Network) {
    let refused = join(network, &Arc::default()).await.err().unwrap();
    assert_eq!(refused.kind, ControlErrorKind::NotAllowed);
    assert!(refused.message.contains("is excluded"), "{refused}");
}

async fn pardon(network: &Network, worker: &str) -> Result<PardonReply, ControlError> {
    within("a pardon", network.owner.pardon(PardonRequest { worker: worker.to_owned() })).await
}

async fn shown(network: &Network) -> WorkerStatus {
    of(&network.status().await, NAME).cloned().unwrap()
}

/// It joins, holds experts, answers, and is on probation.
async fn assert_works(network: &Network) {
    let twin = join(network, &Arc::default()).await.unwrap();
    network.until("experts", |status| of(status, NAME).is_some_and(holds_all)).await;
    while twin.tasks() == 0 {
        assert_eq!(network.ask().await, "47");
    }
    assert_eq!(shown(network).await.excluded, "");
    drop(twin);
    network.until("its leave", |status| of(status, NAME).is_some_and(is_gone)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excluded_worker_works_again_when_it_is_pardoned_and_not_before() {
    let network = start(tempfile::tempdir().unwrap()).await;
    let honest = network.worker("honest").await;
    let lies = Arc::new(AtomicBool::new(true));
    let twin = join(&network, &lies).await.unwrap();
    network.until("experts", |status| of(status, NAME).is_some_and(holds_all)).await;
    for _ in 0..QUESTIONS {
        assert_eq!(network.ask().await, "47");
        if !shown(&network).await.excluded.is_empty() {
            break;
        }
    }
    drop(twin);
    assert_refused(&network).await;
    let stranger = network.client(&NodeKey::generate().unwrap()).await;
    let request = PardonRequest { worker: NAME.to_owned() };
    assert_eq!(stranger.pardon(request).await.unwrap_err().kind, ControlErrorKind::NotAllowed);
    for nobody in ["", "honest", "nobody"] {
        assert_eq!(pardon(&network, nobody).await.unwrap_err().kind, ControlErrorKind::NotFound, "{nobody:?}");
    }
    assert_refused(&network).await;

    let id = key().node_id().to_string();
    let granted = pardon(&network, &id[..12]).await.unwrap();
    assert_eq!((granted.id.as_str(), granted.name.as_str()), (id.as_str(), NAME));
    assert!(granted.excluded.contains("a wrong result"), "{}", granted.excluded);
    let pardoned = shown(&network).await;
    assert_eq!((pardoned.streak, pardoned.correctness, pardoned.faults), (0, None, 0));
    assert_works(&network).await;
    assert_eq!(pardon(&network, NAME).await.unwrap_err().kind, ControlErrorKind::NotFound, "once is enough");
    drop(honest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pardon_finds_workers_of_earlier_runs_and_outlives_the_next_start() {
    let network = start(tempfile::tempdir().unwrap()).await;
    let honest = network.worker("honest").await;
    let twin = join(&network, &Arc::new(AtomicBool::new(true))).await.unwrap();
    network.until("experts", |status| of(status, NAME).is_some_and(holds_all)).await;
    while shown(&network).await.excluded.is_empty() {
        assert_eq!(network.ask().await, "47");
    }
    drop((twin, honest));
    let network = start(network.stop().await).await;
    let status = network.status().await;
    let away = of(&status, "honest").unwrap();
    assert!(is_gone(away) && away.streak > 0 && away.correctness.is_some_and(|right| right > 0.5), "{away:#?}");
    assert!(away.hardware.as_ref().is_some_and(|machine| machine.ram_bytes > 0), "{away:#?}");
    assert!(shown(&network).await.correctness.is_some_and(|right| right < 1.0));
    assert_refused(&network).await;
    pardon(&network, NAME).await.unwrap();
    let network = start(network.stop().await).await;
    let _honest = network.worker("honest too").await;
    assert_works(&network).await;
}
