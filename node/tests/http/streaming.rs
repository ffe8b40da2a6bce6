//! Streamed answers, chunk by chunk.

use serde_json::{Value, json};

use neuro_node::http::{HttpLimits, HttpOptions};
use neuro_node::jobs::JobLimits;

use crate::raw;
use crate::scripted::{Node, Step, chat_body, start, start_with, text_body, with};

const HELLO: &[Step] = &[Step::Text("Hel"), Step::Text(""), Step::Text("lo"), Step::End];

/// The data lines of a stream, checked for framing: each a `data: ` line and an empty one.
async fn data(response: reqwest::Response) -> Vec<String> {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    let events = text.strip_suffix("\n\n").unwrap().split("\n\n");
    events.map(|event| event.strip_prefix("data: ").unwrap_or_else(|| panic!("{event:?}")).to_owned()).collect()
}

/// The chunks before `[DONE]`.
async fn chunks(response: reqwest::Response) -> Vec<Value> {
    let mut data = data(response).await;
    assert_eq!(data.pop().unwrap(), "[DONE]");
    data.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn streamed(body: Value) -> Value {
    with(body, json!({ "stream": true }))
}

#[tokio::test]
async fn a_chat_stream_is_role_then_text_then_an_empty_delta_with_the_reason() {
    let node = start(HELLO).await;
    let chunks = chunks(node.chat(streamed(chat_body())).await).await;
    let deltas: Vec<Value> = chunks.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    let expected = [
        json!({ "role": "assistant", "content": "" }),
        json!({ "content": "Hel" }),
        json!({ "content": "lo" }),
        json!({}),
    ];
    assert_eq!(deltas, expected);
    let reasons: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
    assert_eq!(reasons, [&Value::Null, &Value::Null, &Value::Null, &json!("stop")]);
    for chunk in &chunks {
        assert_eq!((&chunk["id"], &chunk["created"]), (&chunks[0]["id"], &chunks[0]["created"]));
        assert_eq!((&chunk["object"], &chunk["model"]), (&json!("chat.completion.chunk"), &json!("scripted")));
        let choice = chunk["choices"].as_array().unwrap();
        assert!(choice.len() == 1 && choice[0].get("finish_reason").is_some() && choice[0]["logprobs"].is_null());
        assert!(chunk.get("usage").is_none(), "usage was not asked for");
    }
}

#[tokio::test]
async fn a_legacy_stream_is_text_then_an_empty_text_with_the_reason() {
    let node = start(HELLO).await;
    let chunks = chunks(node.text(streamed(text_body())).await).await;
    let texts: Vec<&str> = chunks.iter().map(|chunk| chunk["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["Hel", "lo", ""]);
    assert_eq!(chunks[2]["choices"][0]["finish_reason"], "stop");
    assert!(chunks.iter().all(|chunk| chunk["object"] == "text_completion"));
}

#[tokio::test]
async fn usage_comes_once_in_a_last_chunk_without_choices_and_is_null_before() {
    let node = start(HELLO).await;
    let body = with(streamed(chat_body()), json!({ "stream_options": { "include_usage": true } }));
    let chunks = chunks(node.chat(body).await).await;
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 4);
    assert_eq!(last["id"], others[0]["id"]);
    assert!(others.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null) && chunk["choices"][0].is_object()));
}

#[tokio::test]
async fn choices_interleave_and_each_begins_and_ends_once() {
    let node = start(&[Step::Text("a"), Step::Wait, Step::Text("b"), Step::End]).await;
    let response = node.chat(with(streamed(chat_body()), json!({ "n": 2, "logprobs": true }))).await;
    // Both choices stand before their second token now: neither waited for the other's end.
    node.until(|runner| runner.jobs().iter().filter(|job| job.completion_tokens == 1).count() == 2).await;
    node.open(2);
    let chunks = chunks(response).await;
    for index in 0..2 {
        let own: Vec<&Value> =
            chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|c| c["index"] == index).collect();
        let text: String = own.iter().filter_map(|choice| choice["delta"]["content"].as_str()).collect();
        assert_eq!(text, "ab");
        assert_eq!(own[0]["delta"]["role"], "assistant");
        assert_eq!(own.iter().filter(|choice| choice["finish_reason"] == "stop").count(), 1);
        let tokens = own.iter().filter(|choice| choice["logprobs"]["content"][0]["token"].is_string()).count();
        assert_eq!(tokens, 2, "a logprob per token of the answer");
    }
}

#[tokio::test]
async fn legacy_logprob_offsets_go_on_through_the_stream() {
    let node = start(HELLO).await;
    let chunks = chunks(node.text(with(streamed(text_body()), json!({ "logprobs": 0 }))).await).await;
    let offsets: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["logprobs"]["text_offset"][0]).collect();
    assert_eq!(offsets, [&json!(0), &json!(3), &json!(3), &Value::Null]);
}

#[tokio::test]
async fn a_failure_is_an_error_object_and_the_end_without_done() {
    for (last, code) in [
        (Step::Fail { retryable: true }, "generation_interrupted"),
        (Step::Fail { retryable: false }, "generation_failed"),
        (Step::Panic, "generation_failed"),
    ] {
        let node = start(&[Step::Text("a"), last]).await;
        let data = data(node.chat(streamed(chat_body())).await).await;
        let (last, others) = data.split_last().unwrap();
        let error: Value = serde_json::from_str(last).unwrap();
        assert_eq!((&error["error"]["type"], &error["error"]["code"]), (&json!("server_error"), &json!(code)));
        assert!(!data.iter().any(|line| line == "[DONE]"));
        assert!(others.iter().all(|line| line.contains("\"finish_reason\":null")), "{others:?}");
    }
}

#[tokio::test]
async fn a_silent_stream_is_kept_open_with_comments() {
    let limits = HttpLimits { keep_alive: std::time::Duration::from_millis(10), ..HttpLimits::default() };
    let options = HttpOptions { limits, ..HttpOptions::default() };
    let node = start_with(&[Step::Wait, Step::Text("late"), Step::End], JobLimits::default(), options).await;
    let body = streamed(chat_body()).to_string();
    let mut stream = raw::send(node.address, &raw::post("/v1/chat/completions", &body)).await;
    raw::read_until(&mut stream, "\n:\n\n").await;
    node.open(1);
    raw::read_until(&mut stream, "data: [DONE]\n\n").await;
}

#[tokio::test]
async fn tokens_travel_one_by_one_as_they_are_made() {
    let node: Node = start(&[Step::Text("first"), Step::Wait, Step::Text("second"), Step::End]).await;
    let body = streamed(chat_body()).to_string();
    let mut stream = raw::send(node.address, &raw::post("/v1/chat/completions", &body)).await;
    let seen = raw::read_until(&mut stream, "first").await;
    assert!(!seen.contains("second"));
    node.open(1);
    raw::read_until(&mut stream, "second").await;
}
