//! What Prometheus reads.

use neuro_node::http::HttpOptions;
use neuro_node::jobs::JobLimits;
use prometheus_client::metrics::counter::Counter;
use serde_json::json;

use crate::raw;
use crate::scripted::{Node, Step, chat_body, start, start_with, with};

async fn metrics(node: &Node) -> String {
    let response = node.get("/metrics").await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"));
    text
}

/// The value of the one line that begins with `name` and a space.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in:\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn answers_are_counted_with_their_tokens_and_times() {
    let node = start(&[Step::Text("a"), Step::Text("b"), Step::End]).await;
    node.chat(with(chat_body(), json!({ "n": 2 }))).await.text().await.unwrap();
    node.chat(with(chat_body(), json!({ "stream": true, "max_tokens": 1 }))).await.text().await.unwrap();
    let text = metrics(&node).await;
    let prompt = node.asked()[0].prompt.len() as f64;
    assert_eq!(value(&text, "neuro_generation_tokens_total"), 7.0);
    assert_eq!(value(&text, "neuro_prompt_tokens_total"), 3.0 * prompt);
    assert_eq!(value(&text, "neuro_request_success_total{finish_reason=\"stop\"}"), 2.0);
    assert_eq!(value(&text, "neuro_request_success_total{finish_reason=\"length\"}"), 1.0);
    assert_eq!(value(&text, "neuro_time_to_first_token_seconds_count"), 3.0);
    assert_eq!(value(&text, "neuro_time_per_output_token_seconds_count"), 4.0);
    assert_eq!(value(&text, "neuro_e2e_request_latency_seconds_count"), 2.0);
    let http = "neuro_http_requests_total{method=\"POST\",route=\"/v1/chat/completions\",status=\"200\"}";
    assert_eq!(value(&text, http), 2.0);
}

#[tokio::test]
async fn running_and_waiting_jobs_show_and_leaving_clients_are_counted() {
    let node = start_with(&[Step::Wait], JobLimits { slots: 1, queue: 1 }, HttpOptions::default()).await;
    let streams = [
        raw::send(node.address, &raw::post("/v1/chat/completions", &chat_body().to_string())).await,
        raw::send(node.address, &raw::post("/v1/chat/completions", &chat_body().to_string())).await,
    ];
    node.until(|runner| runner.load().running == 1 && runner.load().waiting == 1).await;
    let text = metrics(&node).await;
    assert_eq!((value(&text, "neuro_requests_running"), value(&text, "neuro_requests_waiting")), (1.0, 1.0));
    drop(streams);
    node.until(|runner| runner.totals().cancelled == 2).await;
    let text = metrics(&node).await;
    assert_eq!((value(&text, "neuro_requests_running"), value(&text, "neuro_requests_waiting")), (0.0, 0.0));
    assert_eq!(value(&text, "neuro_request_failure_total{reason=\"client_left\"}"), 2.0);
}

#[tokio::test]
async fn what_clients_send_never_becomes_a_label() {
    let node = start(&[Step::End]).await;
    node.get("/a/made-up/path").await;
    node.client.request(reqwest::Method::from_bytes(b"BREW").unwrap(), node.url("/healthz")).send().await.unwrap();
    let text = metrics(&node).await;
    assert!(!text.contains("made-up") && !text.contains("BREW"));
    assert_eq!(value(&text, "neuro_http_requests_total{method=\"GET\",route=\"unknown\",status=\"404\"}"), 1.0);
}

#[tokio::test]
async fn other_parts_metrics_are_shown_too() {
    let mut options = HttpOptions::default();
    let tasks: Counter = Counter::default();
    options.registry.register("tasks", "Tasks sent", tasks.clone());
    let node = start_with(&[Step::End], JobLimits::default(), options).await;
    tasks.inc_by(3);
    assert_eq!(value(&metrics(&node).await, "tasks_total"), 3.0);
}
