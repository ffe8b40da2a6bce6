//! The orchestrator stops in the middle of an answer, and comes back.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use neuro_node::worker_role::WorkerEvent;
use serde_json::json;

use crate::network::{Network, Worker, holds_all, of, within};
use crate::twin_worker::{Conduct, Reply};

fn tensors(worker: &Worker) -> Vec<std::path::PathBuf> {
    let folder = fs::read_dir(worker.data_dir.join("tensors")).unwrap();
    folder.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_ends_with_an_error_and_the_owner_is_answered() {
    let network = Network::start().await;
    let stall = Arc::new(AtomicBool::new(false));
    let stalls = Arc::clone(&stall);
    // The only worker: once it stalls, the answer cannot go on.
    let conduct =
        Conduct::lying(
            "staller",
            move |_, answer| {
                if stalls.load(Ordering::Relaxed) { vec![] } else { Reply::answer(answer) }
            },
        );
    let _twin = network.twin(conduct).await;
    network.until("all experts", |status| of(status, "staller").is_some_and(holds_all)).await;
    assert_eq!(network.ask().await, "47");
    stall.store(true, Ordering::Relaxed);
    let mut response = network.request(json!({ "stream": true }), "What is 12+35?").await;
    let mut text = String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    within("the answer to the owner", network.owner.stop()).await.unwrap();
    while let Some(chunk) = within("the end of the stream", response.chunk()).await.unwrap() {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(text.contains("\"error\"") && !text.contains("[DONE]"), "{text}");
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_comes_back_to_the_orchestrator_and_fetches_nothing_again() {
    let network = Network::start().await;
    let mut worker = Worker::start(Worker::config("faithful", &network.addresses.ticket));
    worker.joined().await;
    network.until("all experts", |status| of(status, "faithful").is_some_and(holds_all)).await;
    assert_eq!(network.ask().await, "47");
    let (control, p2p) = (network.addresses.control.clone(), network.addresses.p2p.clone());
    let folder = network.stop().await;
    let lost = |event| matches!(event, WorkerEvent::Lost { .. }).then_some(());
    worker.hears("the loss", lost).await;
    // What is fetched again would show in the empty folder.
    let cached = tensors(&worker);
    assert_eq!(cached.len(), 3 * 32);
    cached.iter().for_each(|tensor| fs::remove_file(tensor).unwrap());
    let network = Network::at(folder, &control, p2p).await;
    worker.joined().await;
    network.until("all experts", |status| of(status, "faithful").is_some_and(holds_all)).await;
    assert_eq!(network.ask().await, "47");
    assert_eq!(tensors(&worker), Vec::<std::path::PathBuf>::new());
}
