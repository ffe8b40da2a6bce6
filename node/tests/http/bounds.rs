//! What happens at each bound: queue, body, header, connections, readiness.

use std::sync::atomic::Ordering;
use std::time::Duration;

use neuro_node::completer::Completer;
use neuro_node::http::{ApiKeys, HttpLimits, HttpOptions};
use neuro_node::jobs::{JobLimits, JobRunner};
use serde_json::json;

use crate::raw;
use crate::scripted::{Node, Step, chat_body, refusal, start, start_with, text_body, with};

const WAITING: &[Step] = &[Step::Wait, Step::Text("ok"), Step::End];
const HELLO: &[Step] = &[Step::Text("Hello"), Step::End];

async fn start_limited(limits: HttpLimits) -> Node {
    start_with(HELLO, JobLimits::default(), HttpOptions { limits, ..HttpOptions::default() }).await
}

#[tokio::test]
async fn a_full_queue_answers_429_with_a_time_to_come_back() {
    let node = start_with(WAITING, JobLimits { slots: 1, queue: 1 }, HttpOptions::default()).await;
    let ask = || {
        let post = node.client.post(node.url("/v1/chat/completions")).json(&chat_body()).send();
        tokio::spawn(post)
    };
    let waiting = [ask(), ask()];
    node.until(|runner| runner.load().running == 1 && runner.load().waiting == 1).await;
    let refused = node.chat(chat_body()).await;
    let retry_after: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=120).contains(&retry_after));
    let (status, error) = refusal(refused).await;
    assert_eq!((status, &error["type"], &error["code"]), (429, &json!("rate_limit_error"), &json!("queue_full")));
    node.open(2);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!((node.completer.runner.totals().done, node.completer.runner.totals().refused), (2, 1));
}

#[tokio::test]
async fn of_hundreds_of_requests_at_once_as_many_are_answered_as_there_are_places() {
    let node = start_with(WAITING, JobLimits { slots: 4, queue: 8 }, HttpOptions::default()).await;
    let ask = || tokio::spawn(node.client.post(node.url("/v1/completions")).json(&text_body()).send());
    let asked: Vec<_> = (0..200).map(|_| ask()).collect();
    let settled = |runner: &JobRunner| (runner.totals().refused, runner.load().running, runner.load().waiting);
    node.until(|runner| settled(runner) == (188, 4, 8)).await;
    node.open(12);
    let mut statuses = Vec::new();
    for answer in asked {
        statuses.push(answer.await.unwrap().unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!((&statuses[..12], &statuses[12..]), (&[200; 12][..], &[429; 188][..]));
}

#[tokio::test]
async fn one_key_cannot_shut_out_another() {
    let (folder, mut waiting) = (tempfile::tempdir().unwrap(), Vec::new());
    let keys = key_file(folder.path(), &["alice: 0123456789abcdef", "bob: fedcba9876543210"]);
    let options = HttpOptions { keys: Some(keys), ..HttpOptions::default() };
    let node = start_with(WAITING, JobLimits { slots: 1, queue: 3 }, options).await;
    let ask = |key: &str| node.client.post(node.url("/v1/completions")).bearer_auth(key).json(&text_body()).send();
    for _ in 0..2 {
        waiting.push(tokio::spawn(ask("0123456789abcdef")));
    }
    node.until(|runner| runner.load().running + runner.load().waiting == 2).await;
    let refused = ask("0123456789abcdef").await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    let (status, error) = refusal(refused).await;
    assert_eq!((status, &error["code"]), (429, &json!("account_queue_full")), "half of four places");
    waiting.push(tokio::spawn(ask("fedcba9876543210")));
    node.until(|runner| runner.load().waiting == 2).await;
    node.open(3);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
}

#[cfg(unix)]
fn key_file(folder: &std::path::Path, lines: &[&str]) -> ApiKeys {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("keys");
    std::fs::write(&path, lines.join("\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    ApiKeys::from_file(&path).unwrap()
}

#[tokio::test]
async fn an_urgent_request_passes_those_that_wait() {
    let node = start_with(WAITING, JobLimits { slots: 1, queue: 4 }, HttpOptions::default()).await;
    let ask = |prompt: &str, priority: &str| {
        let body = with(text_body(), json!({ "prompt": prompt, "priority": priority }));
        tokio::spawn(node.client.post(node.url("/v1/completions")).json(&body).send())
    };
    let mut answers = Vec::new();
    for (count, (prompt, priority)) in
        [("a", "normal"), ("bb bb", "low"), ("ccc ccc ccc", "normal"), ("d d d d d", "high")].into_iter().enumerate()
    {
        answers.push(ask(prompt, priority));
        node.until(|runner| runner.jobs().len() == count + 1 && runner.load().running == 1).await;
    }
    node.open(4);
    for answer in answers.drain(..) {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
    let tokens = |text: &str| node.completer.tokenizer().encode(text, true).unwrap();
    let asked: Vec<Vec<u32>> = node.asked().into_iter().map(|request| request.prompt).collect();
    assert_eq!(asked, ["a", "d d d d d", "ccc ccc ccc", "bb bb"].map(tokens));
}

#[tokio::test]
async fn choices_that_find_no_room_leave_none_behind() {
    let node = start_with(WAITING, JobLimits { slots: 1, queue: 1 }, HttpOptions::default()).await;
    let first = tokio::spawn(node.client.post(node.url("/v1/completions")).json(&text_body()).send());
    node.until(|runner| runner.load().running == 1).await;
    let refused = node.text(with(text_body(), json!({ "n": 2 }))).await;
    assert_eq!(refusal(refused).await.0, 429);
    assert_eq!(node.completer.runner.load().waiting, 0, "the choice that had a place gave it back");
    let (status, error) = refusal(node.text(with(text_body(), json!({ "n": 3 }))).await).await;
    assert_eq!((status, &error["param"]), (400, &json!("n")), "three can never fit, so waiting would not help");
    node.open(1);
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_node_that_is_not_ready_says_why() {
    let node = start(HELLO).await;
    assert_eq!(node.get("/readyz").await.text().await.unwrap(), "ready");
    node.completer.ready.store(false, Ordering::SeqCst);
    for response in [node.get("/readyz").await, node.chat(chat_body()).await] {
        assert!(response.headers().contains_key("retry-after"));
        let (status, error) = refusal(response).await;
        assert_eq!((status, &error["code"]), (503, &json!("not_ready")));
        assert!(error["message"].as_str().unwrap().contains("expert L0/E1 has no holder"));
    }
    assert_eq!(node.get("/healthz").await.status(), 200, "alive, though not ready");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_and_while_it_comes() {
    let node = start_limited(HttpLimits { body_bytes: 1_000, ..HttpLimits::default() }).await;
    let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    // Only announced: nothing of the body is ever sent.
    let mut announced = raw::send(node.address, &format!("{head}content-length: 1001\r\n\r\n")).await;
    let answer = raw::read_until(&mut announced, "body_too_large").await;
    assert_eq!(raw::status(&answer), "413");
    let piece = format!("3e8\r\n{}\r\n", " ".repeat(1_000));
    let mut chunked =
        raw::send(node.address, &format!("{head}transfer-encoding: chunked\r\n\r\n{piece}1\r\nx\r\n")).await;
    let answer = raw::read_until(&mut chunked, "body_too_large").await;
    assert_eq!(raw::status(&answer), "413");
    let fits = with(text_body(), json!({ "user": "u".repeat(900) }));
    assert_eq!(node.text(fits).await.status(), 200);
}

#[tokio::test]
async fn half_a_request_does_not_hold_a_connection() {
    let short = Duration::from_millis(100);
    let node = start_limited(HttpLimits { header_read: short, body_read: short, ..HttpLimits::default() }).await;
    let mut half_head = raw::send(node.address, "POST /v1/completions HTTP/1.1\r\nhost: local").await;
    let answer = raw::read_to_end(&mut half_head).await;
    assert!(answer.is_empty() || raw::status(&answer) == "408", "{answer}");
    let mut idle = raw::send(node.address, "").await;
    raw::read_to_end(&mut idle).await;
    let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let mut half_body = raw::send(node.address, &format!("{head}content-length: 100\r\n\r\n{{")).await;
    let answer = raw::read_to_end(&mut half_body).await;
    assert!(raw::status(&answer) == "408" && answer.contains("body_timeout"), "{answer}");
    assert_eq!(node.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_next_is_served() {
    let node = start_limited(HttpLimits { connections: 1, ..HttpLimits::default() }).await;
    let health = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut first = raw::send(node.address, health).await;
    raw::read_until(&mut first, "ok").await;
    let mut second = raw::send(node.address, health).await;
    let answer = raw::read_to_end(&mut second).await;
    assert!(raw::status(&answer) == "503" && answer.contains("too_many_connections"), "{answer}");
    assert!(answer.contains("retry-after: "));
    let mut last = raw::send(node.address, health).await;
    raw::read_to_end(&mut last).await;
    drop(first);
    // The place is free once the server has seen the end of the first connection.
    let served = async {
        loop {
            let mut next = raw::send(node.address, &health.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).await;
            if raw::status(&raw::read_to_end(&mut next).await) == "200" {
                break;
            }
        }
    };
    tokio::time::timeout(crate::scripted::PATIENCE, served).await.expect("the place stays taken");
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let node = start(HELLO).await;
    // A little over the limit, so that the server reads all of it: closing with bytes unread would reset the connection.
    let request = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-filler: {}", "x".repeat(33_000));
    let mut stream = raw::send(node.address, &request).await;
    let answer = raw::read_until(&mut stream, "\r\n").await;
    assert_eq!(raw::status(&answer), "431");
}
