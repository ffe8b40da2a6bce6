//! The skills model, whole, in this process, through the API.

use std::sync::Arc;

use neuro_node::completer::{Caller, Completer, JobEvent};
use neuro_node::http::{self, HttpOptions};
use neuro_node::local::{LoadProgress, LocalCompleter, LocalOptions};
use serde_json::{Value, json};

use crate::scripted::{PATIENCE, checkpoint};

fn load() -> (LocalCompleter, Vec<LoadProgress>) {
    let mut heard = Vec::new();
    let completer = LocalCompleter::load(&checkpoint(), LocalOptions::default(), &mut |progress| heard.push(progress));
    (completer.unwrap(), heard)
}

async fn ask(address: std::net::SocketAddr, body: Value) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    client.post(format!("http://{address}/v1/chat/completions")).json(&body).send().await.unwrap()
}

fn question(extra: Value) -> Value {
    let body = json!({
        "model": "skills", "temperature": 0, "messages": [{ "role": "user", "content": "What is 12+35?" }],
    });
    crate::scripted::with(body, extra)
}

#[tokio::test]
async fn a_question_is_answered_right_whole_and_streamed() {
    let (completer, heard) = load();
    let last = heard.last().unwrap();
    assert_eq!(last.bytes_done, last.bytes_total, "progress ends at the whole");
    assert!(heard.windows(2).all(|two| two[0].bytes_done <= two[1].bytes_done));
    let model = completer.model();
    assert_eq!((model.name.as_str(), model.context, model.vocab_size), ("skills", 512, 512));
    let listener = http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving =
        tokio::spawn(http::serve(listener, Arc::new(completer), HttpOptions::default(), std::future::pending()));

    let answer: Value = ask(address, question(json!({ "logprobs": true }))).await.json().await.unwrap();
    let choice = &answer["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!("47"), &json!("stop")));
    let logprobs = choice["logprobs"]["content"].as_array().unwrap();
    let spelled: String = logprobs.iter().map(|token| token["token"].as_str().unwrap()).collect();
    assert_eq!(spelled, "47");

    let streamed = ask(address, question(json!({ "stream": true }))).await.text().await.unwrap();
    let chunks = streamed.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let text: String = chunks
        .map(|data| serde_json::from_str::<Value>(data).unwrap())
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, "47");
    serving.abort();
}

#[tokio::test]
async fn the_same_seed_gives_the_same_answers_choice_by_choice() {
    let (completer, _) = load();
    let listener = http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving =
        tokio::spawn(http::serve(listener, Arc::new(completer), HttpOptions::default(), std::future::pending()));
    let sampled = || async move {
        // No question of the training set: the model is sure of those, whatever the temperature.
        let messages = json!([{ "role": "user", "content": "Sing of the sea, the wind and the moon" }]);
        let sampling = json!({ "messages": messages, "temperature": 2, "seed": 11, "n": 3, "max_tokens": 12 });
        let body = question(sampling);
        let answer: Value = ask(address, body).await.json().await.unwrap();
        let choices = answer["choices"].as_array().unwrap();
        choices.iter().map(|choice| choice["message"]["content"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (first, second) = (sampled().await, sampled().await);
    assert_eq!(first, second);
    assert!(first.iter().any(|text| text != &first[0]), "the choices differ among themselves: {first:?}");
    serving.abort();
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_frees_its_pages_at_once() {
    let (completer, _) = load();
    let completer = Arc::new(completer);
    let request = neuro_inference::GenerateRequest {
        prompt: vec![5; 20],
        max_tokens: 480,
        sampling: neuro_inference::SamplingParams::default(),
        stop: Vec::new(),
        stop_ids: Vec::new(),
        skip_special: true,
    };
    let mut changes = completer.jobs().changes();
    let mut job = completer.submit(request, Caller::at("test")).unwrap();
    assert!(matches!(job.events.recv().await, Some(JobEvent::Token(_))));
    drop(job);
    let left = async {
        while completer.load().running > 0 {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("it runs on");
    let (pages, totals) = (completer.load().batch.pages, completer.jobs().totals());
    assert_eq!((totals.cancelled, totals.done), (1, 0));
    assert_eq!(pages.used, pages.idle, "nothing is left but what another prompt may use again");
}

#[test]
fn a_folder_without_a_model_says_which_file_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let error = LocalCompleter::load(dir.path(), LocalOptions::default(), &mut |_| {}).err().unwrap();
    assert!(error.to_string().contains("config.json") && !error.is_retryable(), "{error}");
}
