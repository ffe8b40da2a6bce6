//! An aggregator that is at work on a round, and those who come meanwhile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use neuro_node::aggregator_role::{AggregatorEvent, serve_aggregator};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::federation::Federation;

const PLAN: &str = "[rounds]\ncount = 1\n[cohort]\nleast = 8\ndropout = 0.25\n";

/// Far more than any step here takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_a_round_is_begun_is_let_in() {
    let federation = Federation::at_rest(PLAN, &[("w", &[2])], Some(8), 1);
    let (sender, mut events) = mpsc::unbounded_channel();
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let report = Arc::new(move |event| {
        let begins = matches!(event, AggregatorEvent::Began { .. });
        drop(sender.send(event));
        if begins {
            // As if gigabytes were read here.
            gate.lock().unwrap().recv().ok();
        }
    });
    let stop = CancellationToken::new();
    let _stop_at_the_end = stop.clone().drop_guard();
    let (options, ending) = (federation.options(), stop.clone());
    // The program's own runtime.
    let aggregator = tokio::task::spawn_blocking(move || {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(serve_aggregator(options, report, ending)).unwrap();
    });
    until(&mut events, |event| matches!(event, AggregatorEvent::Ready { .. })).await;
    let update = |number| federation.trainer(number, &[("w", &[2], &[0.5, 0.25])], 1);
    let _participants = federation.join_all(8, update).await;
    until(&mut events, |event| matches!(event, AggregatorEvent::Began { .. })).await;
    let status = timeout(PATIENCE, federation.status()).await.unwrap();
    assert_eq!(status.task.unwrap().attending, 8);
    drop(go_on);
    until(&mut events, |event| matches!(event, AggregatorEvent::Ended(round) if round.done)).await;
    stop.cancel();
    aggregator.await.unwrap();
}

async fn until(events: &mut mpsc::UnboundedReceiver<AggregatorEvent>, wanted: impl Fn(&AggregatorEvent) -> bool) {
    while !wanted(&timeout(PATIENCE, events.recv()).await.unwrap().unwrap()) {}
}
