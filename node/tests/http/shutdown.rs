//! The end of a node: what runs may end, what cannot end is told.

use std::time::Duration;

use neuro_node::http::{HttpLimits, HttpOptions};
use neuro_node::jobs::JobLimits;
use serde_json::json;

use crate::raw;
use crate::scripted::{PATIENCE, Step, chat_body, refusal, start, start_with, with};

fn streamed() -> String {
    raw::post("/v1/chat/completions", &with(chat_body(), json!({ "stream": true })).to_string())
}

#[tokio::test]
async fn a_running_answer_ends_and_no_new_one_begins() {
    let mut node = start(&[Step::Text("first"), Step::Wait, Step::Text("last"), Step::End]).await;
    let mut stream = raw::send(node.address, &streamed()).await;
    raw::read_until(&mut stream, "first").await;
    node.stop.cancel();
    // The listener is gone once a connection is refused.
    let refused = async { while tokio::net::TcpStream::connect(node.address).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.expect("still listening");
    node.open(1);
    let rest = raw::read_to_end(&mut stream).await;
    assert!(rest.contains("last") && rest.contains("data: [DONE]"), "{rest}");
    (&mut node.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_without_end_is_cut_after_the_grace() {
    let limits = HttpLimits { shutdown_grace: Duration::from_millis(50), ..HttpLimits::default() };
    let options = HttpOptions { limits, ..HttpOptions::default() };
    let mut node = start_with(&[Step::Text("first"), Step::Wait], JobLimits::default(), options).await;
    let mut stream = raw::send(node.address, &streamed()).await;
    raw::read_until(&mut stream, "first").await;
    node.stop.cancel();
    tokio::time::timeout(PATIENCE, &mut node.serving).await.expect("still serving").unwrap().unwrap();
    node.until(|runner| runner.load().running == 0).await;
}

#[tokio::test]
async fn closing_the_runner_tells_open_streams_and_refuses_new_jobs() {
    let node = start_with(&[Step::Forever("on ")], JobLimits { slots: 1, queue: 1 }, HttpOptions::default()).await;
    let mut running = raw::send(node.address, &streamed()).await;
    raw::read_until(&mut running, "on ").await;
    let mut waiting = raw::send(node.address, &streamed()).await;
    node.until(|runner| runner.load().waiting == 1).await;
    node.completer.runner.close();
    for stream in [&mut running, &mut waiting] {
        let rest = raw::read_until(stream, "shutting down").await;
        assert!(rest.contains("\"error\"") && !rest.contains("[DONE]"), "{rest}");
    }
    let (status, error) = refusal(node.chat(chat_body()).await).await;
    assert_eq!((status, &error["code"]), (503, &json!("not_ready")));
}
