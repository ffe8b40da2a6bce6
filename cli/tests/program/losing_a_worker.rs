//! A worker that dies in the middle of an answer changes nothing but the time it takes.

use serde_json::{Value, json};

use crate::api::{self, Streamed};
use crate::models;
use crate::network::Network;
use crate::stage::{Stage, eventually};

/// Pieces of text after which the first worker dies: the answer has begun and is far from its end.
const FIRST_CHUNKS: usize = 20;

#[test]
fn a_killed_worker_changes_no_word() {
    let stage = Stage::new();
    let mut network = Network::start(&stage, &models::endless(&stage), 4);
    let expected = expected(&network, 500);
    let mut streamed = Streamed::default();
    let mut events = api::stream(&network.api, "/v1/completions", &request(500, true));
    events.take_chunks(FIRST_CHUNKS, &mut streamed);
    network.workers[1].kill();
    events.take_rest(&mut streamed);
    assert_eq!(streamed, Streamed { text: expected, done: true, error: None });
}

#[test]
fn one_worker_after_the_other_may_die_while_experts_find_new_holders() {
    let stage = Stage::new();
    let mut network = Network::start(&stage, &models::endless(&stage), 4);
    let expected = expected(&network, 2500);
    let mut streamed = Streamed::default();
    let mut events = api::stream(&network.api, "/v1/completions", &request(2500, true));
    events.take_chunks(FIRST_CHUNKS, &mut streamed);
    for left in [3, 2, 1] {
        network.workers[left].kill();
        network.wait_holders(left.min(2) as u64);
    }
    assert_eq!(network.status()["jobs"][0]["state"], "decode", "the answer was to be longer");
    events.take_rest(&mut streamed);
    assert_eq!(streamed, Streamed { text: expected, done: true, error: None });
}

#[test]
fn an_answer_waits_for_a_new_worker_when_the_last_one_died() {
    let stage = Stage::new();
    let mut network = Network::start(&stage, &models::endless(&stage), 1);
    let expected = expected(&network, 300);
    let mut streamed = Streamed::default();
    let mut events = api::stream(&network.api, "/v1/completions", &request(300, true));
    events.take_chunks(FIRST_CHUNKS, &mut streamed);
    network.workers[0].kill();
    network.add("substitute");
    events.take_rest(&mut streamed);
    assert_eq!(streamed, Streamed { text: expected, done: true, error: None });
}

#[test]
fn a_request_that_comes_when_the_last_one_has_died_waits_too() {
    let stage = Stage::new();
    let mut network = Network::start(&stage, &models::endless(&stage), 1);
    let expected = expected(&network, 30);
    network.workers[0].kill();
    let holders = |status: &Value| status["holders"][0]["counts"][0].as_u64();
    eventually("nobody holds anything", || holders(&network.status()) == Some(0));
    let mut streamed = Streamed::default();
    let events = api::stream(&network.api, "/v1/completions", &request(30, true));
    network.add("substitute");
    events.take_rest(&mut streamed);
    assert_eq!(streamed, Streamed { text: expected, done: true, error: None });
}

#[test]
fn without_a_new_worker_the_answer_ends_with_an_error() {
    let stage = Stage::new();
    let model = models::endless(&stage);
    let mut network = Network::orchestrator(&stage, &model, &["--call-patience-ms", "300"]);
    network.add("only");
    network.orchestrator.event("serving");
    let expected = expected(&network, 300);
    let mut streamed = Streamed::default();
    let mut events = api::stream(&network.api, "/v1/completions", &request(300, true));
    events.take_chunks(FIRST_CHUNKS, &mut streamed);
    network.workers[0].kill();
    events.take_rest(&mut streamed);
    assert!(expected.starts_with(&streamed.text), "what came is right: {}", streamed.text);
    assert!(streamed.text.len() < expected.len());
    let error = streamed.error.expect("an error object");
    assert!(error["message"].as_str().unwrap().contains("no worker was connected"), "{error}");

    let (status, refused) = api::post(&network.api, "/v1/completions", &request(1, false));
    assert_eq!(status, 503, "{refused}");
}

/// A sampled answer: a single wrong bit would soon lead it elsewhere.
fn request(tokens: usize, stream: bool) -> Value {
    json!({
        "model": "endless", "prompt": [0, 10, 20, 30], "max_tokens": tokens, "temperature": 1, "seed": 5,
        "stream": stream,
    })
}

fn expected(network: &Network<'_>, tokens: usize) -> String {
    let choice = api::complete(&network.api, &request(tokens, false));
    assert_eq!(choice["finish_reason"], "length");
    choice["text"].as_str().unwrap().to_owned()
}
