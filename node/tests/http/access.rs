//! Keys, host names, origins, addresses.

use neuro_node::http::{self, ApiKeys, HttpError, HttpOptions};
use neuro_node::jobs::JobLimits;
use serde_json::json;

use crate::scripted::{Node, Step, refusal, start, start_with};

const HELLO: &[Step] = &[Step::Text("Hello"), Step::End];
const KEY: &str = "0123456789abcdef";

async fn start_with_keys() -> Node {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    std::fs::write(&path, format!("# clients\nalice: {KEY}\nbob: fedcba9876543210\n")).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let options = HttpOptions { keys: Some(ApiKeys::from_file(&path).unwrap()), ..HttpOptions::default() };
    start_with(HELLO, JobLimits::default(), options).await
}

/// The status and code of `GET /v1/models` with one more header.
async fn ask(node: &Node, header: &str, value: &str) -> (u16, String) {
    let response = node.client.get(node.url("/v1/models")).header(header, value).send().await.unwrap();
    if response.status() == 200 {
        return (200, String::new());
    }
    let (status, error) = refusal(response).await;
    (status, error["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn without_a_known_key_there_is_no_answer() {
    let node = start_with_keys().await;
    let response = node.get("/v1/models").await;
    assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let (status, error) = refusal(response).await;
    assert_eq!(
        (status, &error["type"], &error["code"]),
        (401, &json!("authentication_error"), &json!("missing_api_key"))
    );
    for wrong in ["Bearer 0123456789abcdeg", "Bearer alice", "bearer 0123456789abcdef0"] {
        assert_eq!(ask(&node, "authorization", wrong).await, (401, "invalid_api_key".to_owned()), "{wrong}");
    }
    for none in [format!("Basic {KEY}"), "Bearer".to_owned(), KEY.to_owned()] {
        assert_eq!(ask(&node, "authorization", &none).await, (401, "missing_api_key".to_owned()), "{none}");
    }
    for right in [KEY, "fedcba9876543210"] {
        assert_eq!(ask(&node, "authorization", &format!("Bearer {right}")).await.0, 200);
    }
}

#[tokio::test]
async fn only_health_is_told_without_a_key() {
    let node = start_with_keys().await;
    for (path, status) in
        [("/healthz", 200), ("/readyz", 200), ("/metrics", 401), ("/v1/models", 401), ("/nowhere", 401)]
    {
        assert_eq!(node.get(path).await.status(), status, "{path}");
    }
    let unseen = node.post("/v1/chat/completions", &json!({})).await;
    assert_eq!(refusal(unseen).await.0, 401, "the key is checked before the body is read");
}

#[tokio::test]
async fn a_request_for_another_host_is_refused_even_for_health() {
    let node = start(HELLO).await;
    assert_eq!(ask(&node, "host", "rebound.example").await, (403, "host_not_allowed".to_owned()));
    assert_eq!(ask(&node, "host", &format!("localhost:{}", node.address.port())).await.0, 200);
    let health = node.client.get(node.url("/healthz")).header("host", "rebound.example").send().await.unwrap();
    assert_eq!(refusal(health).await.0, 403);
}

#[tokio::test]
async fn an_allowed_host_name_is_served() {
    let options = HttpOptions { allowed_hosts: vec!["neuro.example".to_owned()], ..HttpOptions::default() };
    let node = start_with(HELLO, JobLimits::default(), options).await;
    assert_eq!(ask(&node, "host", "neuro.example:8080").await.0, 200);
    assert_eq!(ask(&node, "host", "neuro.example.org").await.0, 403);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let options = HttpOptions { allowed_origins: vec!["https://chat.example".to_owned()], ..HttpOptions::default() };
    let node = start_with(HELLO, JobLimits::default(), options).await;
    for origin in ["https://elsewhere.example", "null", "http://localhost"] {
        assert_eq!(ask(&node, "origin", origin).await, (403, "origin_not_allowed".to_owned()), "{origin}");
    }
    assert_eq!(ask(&node, "origin", "https://chat.example").await.0, 200);
    assert_eq!(ask(&node, "origin", &format!("http://{}", node.address)).await.0, 200);
}

#[tokio::test]
async fn an_address_that_others_reach_needs_keys() {
    let node = start(HELLO).await;
    let listener = http::bind("0.0.0.0:0".parse().unwrap()).await.unwrap();
    let served = http::serve(listener, node.completer.clone(), HttpOptions::default(), std::future::pending()).await;
    let error = served.unwrap_err();
    assert!(matches!(error, HttpError::KeysRequired { .. }), "{error}");
    assert!(error.to_string().contains("0.0.0.0") && error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let node = start(HELLO).await;
    let error = http::bind(node.address).await.unwrap_err();
    assert!(matches!(error, HttpError::InUse { .. }) && error.is_retryable());
    let text = error.to_string();
    assert!(text.contains(&node.address.to_string()) && text.contains("choose another address"), "{text}");
}
