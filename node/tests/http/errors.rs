//! Every refusal is the same object, with a status that clients map to the right class.

use serde_json::{Value, json};

use crate::scripted::{Step, chat_body, refusal, start, text_body, with};

const HELLO: &[Step] = &[Step::Text("Hello"), Step::End];

#[tokio::test]
async fn unknown_routes_and_methods_get_error_objects() {
    let node = start(HELLO).await;
    let (status, error) = refusal(node.get("/v1/embeddings").await).await;
    assert_eq!((status, &error["code"]), (404, &json!("unknown_route")));
    assert!(error["message"].as_str().unwrap().contains("GET /v1/embeddings"));
    let response = node.get("/v1/chat/completions").await;
    assert_eq!(response.headers()["allow"], "POST");
    let (status, error) = refusal(response).await;
    assert_eq!((status, &error["code"]), (405, &json!("method_not_allowed")));
    let options = node.client.request(reqwest::Method::OPTIONS, node.url("/v1/completions")).send().await.unwrap();
    assert!(!options.headers().contains_key("access-control-allow-origin"));
    assert_eq!(refusal(options).await.0, 405);
}

#[tokio::test]
async fn bodies_that_are_no_json_object_are_refused() {
    let node = start(HELLO).await;
    for body in ["{\"model\": ", "[]", "", "\"text\"", &"[".repeat(10_000)] {
        let post = node.client.post(node.url("/v1/completions")).header("content-type", "application/json");
        let (status, error) = refusal(post.body(body.to_owned()).send().await.unwrap()).await;
        assert_eq!(
            (status, &error["type"], &error["code"]),
            (400, &json!("invalid_request_error"), &json!("invalid_json"))
        );
    }
}

#[tokio::test]
async fn other_content_types_are_refused_and_parameters_of_the_right_one_are_not() {
    let node = start(HELLO).await;
    let post = |kind: Option<&'static str>| {
        let mut post = node.client.post(node.url("/v1/completions")).body(text_body().to_string());
        if let Some(kind) = kind {
            post = post.header("content-type", kind);
        }
        async move { post.send().await.unwrap() }
    };
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonp")] {
        let (status, error) = refusal(post(kind).await).await;
        assert_eq!((status, &error["code"]), (415, &json!("unsupported_media_type")), "{kind:?}");
    }
    assert_eq!(post(Some("Application/JSON; charset=utf-8")).await.status(), 200);
}

#[tokio::test]
async fn parameters_are_refused_by_name() {
    let node = start(HELLO).await;
    let cases = [
        (json!({ "temprature": 1 }), "unknown_parameter", "temprature"),
        (json!({ "tools": [{}] }), "unsupported_parameter", "tools"),
        (json!({ "temperature": 3 }), "invalid_value", "temperature"),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
            "unsupported_content",
            "messages[0].content[0].type",
        ),
    ];
    for (extra, code, param) in cases {
        let (status, error) = refusal(node.chat(with(chat_body(), extra)).await).await;
        assert_eq!((status, &error["code"], &error["param"]), (400, &json!(code), &json!(param)));
    }
    assert!(node.asked().is_empty(), "no refused request reached the model");
}

#[tokio::test]
async fn another_model_is_not_found() {
    let node = start(HELLO).await;
    let (status, error) = refusal(node.chat(with(chat_body(), json!({ "model": "gpt-4" }))).await).await;
    assert_eq!((status, &error["code"], &error["param"]), (404, &json!("model_not_found"), &json!("model")));
    assert!(error["message"].as_str().unwrap().contains("scripted"), "the message names what is served");
    let (status, error) = refusal(node.get("/v1/models/org/gpt-4").await).await;
    assert_eq!((status, &error["code"]), (404, &json!("model_not_found")));
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_refused_with_both_numbers() {
    let node = start(HELLO).await;
    let ids = |count: usize| with(text_body(), json!({ "prompt": vec![5; count] }));
    let (status, error) = refusal(node.text(ids(64)).await).await;
    assert_eq!((status, &error["code"], &error["param"]), (400, &json!("context_length_exceeded"), &json!("prompt")));
    assert_eq!(
        error["message"],
        "prompt: this model's context is 64 tokens, prompt and answer together; the prompt has 64"
    );
    assert_eq!(node.text(ids(63)).await.status(), 200);
    let long = json!({ "messages": [{ "role": "user", "content": "12 ".repeat(200) }] });
    let (_, error) = refusal(node.chat(with(chat_body(), long)).await).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("context_length_exceeded"), &json!("messages")));
}

#[tokio::test]
async fn tokens_outside_the_vocabulary_and_empty_prompts_are_refused() {
    let node = start(HELLO).await;
    let (status, error) = refusal(node.text(with(text_body(), json!({ "prompt": [5, 512] }))).await).await;
    assert_eq!((status, &error["param"]), (400, &json!("prompt")));
    assert_eq!(error["message"], "prompt: token id 512 lies outside the vocabulary of 512");
    let (status, error) = refusal(node.text(with(text_body(), json!({ "prompt": "" }))).await).await;
    assert_eq!((status, &error["message"]), (400, &json!("prompt: has no tokens")));
}

#[tokio::test]
async fn failures_of_the_model_are_server_errors_that_say_whether_to_retry() {
    let node = start(&[Step::Text("a"), Step::Fail { retryable: true }]).await;
    let response = node.chat(chat_body()).await;
    assert_eq!(response.headers()["retry-after"], "5");
    let (status, error) = refusal(response).await;
    assert_eq!((status, &error["type"], &error["message"]), (503, &json!("server_error"), &json!("a worker is gone")));
    let node = start(&[Step::Fail { retryable: false }]).await;
    let response = node.chat(chat_body()).await;
    assert!(!response.headers().contains_key("retry-after"));
    assert_eq!(refusal(response).await.0, 500);
}

#[tokio::test]
async fn a_panic_costs_its_job_and_not_the_slot() {
    let limits = neuro_node::jobs::JobLimits { slots: 1, queue: 0 };
    let node = crate::scripted::start_with(&[Step::Panic], limits, Default::default()).await;
    for _ in 0..2 {
        let (status, error) = refusal(node.chat(chat_body()).await).await;
        assert_eq!((status, &error["code"]), (500, &json!("generation_failed")));
    }
    assert_eq!(node.completer.runner.totals().failed, 2);
}

#[tokio::test]
async fn request_ids_are_echoed_or_made_on_every_answer() {
    let node = start(HELLO).await;
    for path in ["/v1/models", "/nowhere", "/healthz"] {
        let echoed = node.client.get(node.url(path)).header("x-request-id", "trace-7").send().await.unwrap();
        assert_eq!(echoed.headers()["x-request-id"], "trace-7");
        let (a, b) = (node.get(path).await, node.get(path).await);
        let (a, b) = (&a.headers()["x-request-id"], &b.headers()["x-request-id"]);
        assert!(a != b && a.to_str().unwrap().starts_with("req-"), "{path}");
    }
    let answer: Value = node.chat(chat_body()).await.json().await.unwrap();
    assert!(answer["id"].is_string());
}
