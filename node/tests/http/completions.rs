//! Whole answers, and what reaches the model.

use serde_json::{Value, json};

use crate::scripted::{CONTEXT, EOS, Step, chat_body, checkpoint, start, text_body, with};

const HELLO: &[Step] = &[Step::Text("Hel"), Step::Text("lo"), Step::End];

fn tokens(text: &str) -> Vec<u32> {
    let tokenizer = std::fs::read(checkpoint().join("tokenizer.json")).unwrap();
    neuro_model::Tokenizer::from_bytes(&tokenizer).unwrap().encode(text, false).unwrap()
}

#[tokio::test]
async fn a_chat_answer_has_openais_shape() {
    let node = start(HELLO).await;
    let response = node.chat(chat_body()).await;
    assert_eq!(response.status(), 200);
    let mut body: Value = response.json().await.unwrap();
    let (id, created) = (body["id"].take(), body["created"].take());
    assert!(id.as_str().unwrap().starts_with("chatcmpl-"), "{id}");
    assert!(created.as_u64().unwrap() > 1_700_000_000);
    let prompt = tokens("<s>user: hi</s><s>assistant: ");
    let expected = json!({
        "id": null, "object": "chat.completion", "created": null, "model": "scripted",
        "system_fingerprint": "neuro-0123456789abcdef",
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": "Hello", "refusal": null },
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": { "prompt_tokens": prompt.len(), "completion_tokens": 3, "total_tokens": prompt.len() + 3 },
    });
    assert_eq!(body, expected);
    assert_eq!(node.asked()[0].prompt, prompt, "the template's text is tokenized as it is");
}

#[tokio::test]
async fn the_model_gets_what_was_asked_clipped_to_its_context() {
    let node = start(HELLO).await;
    let extra = json!({ "temperature": 0, "top_p": 0.5, "seed": 7, "stop": ["x"], "max_tokens": 5 });
    node.chat(with(chat_body(), extra)).await;
    node.chat(with(chat_body(), json!({ "max_completion_tokens": 1_000_000 }))).await;
    node.chat(chat_body()).await;
    let asked = node.asked();
    let sampling = &asked[0].sampling;
    assert_eq!((sampling.temperature, sampling.top_p, sampling.seed, sampling.choice), (0.0, 0.5, 7, 0));
    assert_eq!((asked[0].max_tokens, asked[0].stop.as_slice()), (5, ["x".to_owned()].as_slice()));
    assert_eq!((asked[0].stop_ids.as_slice(), asked[0].skip_special), ([EOS].as_slice(), true));
    let room = CONTEXT - asked[0].prompt.len();
    assert_eq!((asked[1].max_tokens, asked[2].max_tokens), (room, room));
    assert_ne!(asked[1].sampling.seed, asked[2].sampling.seed, "absent seeds are drawn");
}

#[tokio::test]
async fn an_answer_cut_by_max_tokens_says_so() {
    let node = start(HELLO).await;
    let body: Value = node.text(with(text_body(), json!({ "max_tokens": 1 }))).await.json().await.unwrap();
    assert_eq!(body["choices"][0], json!({ "index": 0, "text": "Hel", "logprobs": null, "finish_reason": "length" }));
    assert_eq!((&body["object"], &body["model"]), (&json!("text_completion"), &json!("scripted")));
    assert!(body["id"].as_str().unwrap().starts_with("cmpl-"));
}

#[tokio::test]
async fn prompts_and_choices_are_numbered_in_order() {
    let node = start(HELLO).await;
    let body = with(text_body(), json!({ "prompt": [[5, 6, 7], [8]], "n": 2, "seed": 3 }));
    let answer: Value = node.text(body).await.json().await.unwrap();
    let indices: Vec<u64> =
        answer["choices"].as_array().unwrap().iter().map(|c| c["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 2, 3]);
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 4, "completion_tokens": 12, "total_tokens": 16 }));
    let mut asked: Vec<_> = node.asked().into_iter().map(|r| (r.prompt, r.sampling.seed, r.sampling.choice)).collect();
    asked.sort();
    assert_eq!(asked, [(vec![5, 6, 7], 3, 0), (vec![5, 6, 7], 3, 1), (vec![8], 3, 0), (vec![8], 3, 1)]);
}

#[tokio::test]
async fn chat_logprobs_list_tokens_bytes_and_alternatives_without_the_end_token() {
    let node = start(HELLO).await;
    let body = with(chat_body(), json!({ "logprobs": true, "top_logprobs": 2 }));
    let answer: Value = node.chat(body).await.json().await.unwrap();
    let content = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(content.len(), 2);
    let expected = json!({
        "token": "lo", "logprob": -0.5, "bytes": [108, 111],
        "top_logprobs": [
            { "token": "lo", "logprob": -0.5, "bytes": [108, 111] },
            { "token": "\u{fffd}", "logprob": -9999.0, "bytes": [226] },
        ],
    });
    assert_eq!(content[1], expected);
}

#[tokio::test]
async fn legacy_logprobs_are_parallel_lists_with_offsets() {
    let node = start(HELLO).await;
    let answer: Value = node.text(with(text_body(), json!({ "logprobs": 2 }))).await.json().await.unwrap();
    let expected = json!({
        "tokens": ["Hel", "lo"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{ "Hel": -0.5, "bytes:\\xe2": -9999.0 }, { "lo": -0.5, "bytes:\\xe2": -9999.0 }],
        "text_offset": [0, 3],
    });
    assert_eq!(answer["choices"][0]["logprobs"], expected);
}

#[tokio::test]
async fn the_model_is_listed_and_answers_to_name_and_id() {
    let node = start(HELLO).await;
    let list: Value = node.get("/v1/models").await.json().await.unwrap();
    let model = &list["data"][0];
    assert_eq!(
        (&list["object"], &model["id"], &model["object"]),
        (&json!("list"), &json!("scripted"), &json!("model"))
    );
    assert_eq!((&model["created"], &model["owned_by"]), (&json!(1_700_000_000), &json!("neuro")));
    let id = model["root"].as_str().unwrap();
    for name in ["scripted", id] {
        let one: Value = node.get(&format!("/v1/models/{name}")).await.json().await.unwrap();
        assert_eq!(&one, model);
        let answer = node.chat(with(chat_body(), json!({ "model": name }))).await;
        assert_eq!(answer.json::<Value>().await.unwrap()["model"], "scripted");
    }
}

#[tokio::test]
async fn parameters_without_effect_are_told_in_a_header() {
    let node = start(HELLO).await;
    let response = node.chat(with(chat_body(), json!({ "user": "u", "metadata": { "a": "b" } }))).await;
    assert_eq!(response.headers()["x-neuro-ignored"], "user, metadata");
    assert!(!node.chat(chat_body()).await.headers().contains_key("x-neuro-ignored"));
}

#[tokio::test]
async fn who_computed_is_told_when_asked() {
    let node = start(HELLO).await;
    let ask = |body: Value| {
        let post = node.client.post(node.url("/v1/chat/completions")).header("x-neuro-explain", "1");
        async move { post.json(&body).send().await.unwrap() }
    };
    let whole: Value = ask(chat_body()).await.json().await.unwrap();
    assert_eq!(whole["neuro"][0]["shares"][0]["name"], "worker of job 1");
    let streamed = ask(with(chat_body(), json!({ "stream": true }))).await.text().await.unwrap();
    let finish = streamed.lines().find(|line| line.contains("\"finish_reason\":\"stop\"")).unwrap();
    assert!(finish.contains("\"neuro\":{\"engine\":\"scripted\",\"shares\":[{\"worker\":\"abab"), "{finish}");
    let unasked: Value = node.chat(chat_body()).await.json().await.unwrap();
    assert!(unasked.get("neuro").is_none());
}
