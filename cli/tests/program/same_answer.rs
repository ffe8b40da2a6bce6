//! The same request gives the same numbers, bit for bit, however many workers compute them.

use neuro_inference::{GenerateRequest, SamplingParams, TokenLogprob};
use neuro_node::completer::{Caller, Completer, JobEvent};
use neuro_node::local::{LocalCompleter, LocalOptions};
use serde_json::{Value, json};

use crate::network::Network;
use crate::stage::Stage;
use crate::{api, models};

const TOKENS: usize = 60;
const PROMPT: [u32; 5] = [0, 10, 20, 30, 40];

#[test]
fn one_two_and_four_workers_compute_what_one_process_does() {
    let stage = Stage::new();
    let model = models::endless(&stage);
    let here = LocalCompleter::load(&model, LocalOptions::default(), &mut |_| {}).unwrap();
    let expected: Vec<_> = REQUESTS.iter().map(|request| in_one_process(&here, request)).collect();
    assert_ne!(expected[0].0, expected[1].0, "sampling says something else than the likeliest");
    for workers in [1, 2, 4] {
        let stage = Stage::new();
        let network = Network::start(&stage, &model, workers);
        for (request, (text, logprobs)) in REQUESTS.iter().zip(&expected) {
            let choice = api::complete(&network.api, &request.as_json());
            assert_eq!(choice["text"], **text, "{workers} workers, {request:?}");
            assert_eq!(numbers(&choice), bits(logprobs), "{workers} workers, {request:?}");
        }
    }
}

#[test]
fn a_node_says_what_ask_says_without_one() {
    let stage = Stage::new();
    let model = models::skills().display().to_string();
    let network = Network::start(&stage, &models::skills(), 3);
    for question in ["What is an expert?", "Reverse: marble", "What day comes after Monday?"] {
        let here = stage.run(&["ask", "--model", &model, "--json", question]);
        let answer: Value = serde_json::from_str(&here.stdout).unwrap();
        assert_ne!(answer["answer"], "");
        assert_eq!(answer["answer"], network.ask(question).as_str(), "{question}");
    }
}

#[derive(Debug)]
struct Request {
    temperature: f32,
    seed: u64,
}

const REQUESTS: [Request; 3] = [
    Request { temperature: 0.0, seed: 0 },
    Request { temperature: 1.0, seed: 7 },
    Request { temperature: 1.5, seed: 8 },
];

impl Request {
    fn as_json(&self) -> Value {
        json!({
            "model": "endless", "prompt": PROMPT, "max_tokens": TOKENS, "temperature": self.temperature,
            "seed": self.seed, "logprobs": 3,
        })
    }
}

/// The text and the logprobs of `request`, computed in this process.
fn in_one_process(model: &LocalCompleter, request: &Request) -> (String, Vec<TokenLogprob>) {
    let sampling = SamplingParams {
        temperature: request.temperature,
        top_p: 1.0,
        seed: request.seed,
        choice: 0,
        top_logprobs: Some(3),
    };
    let generate = GenerateRequest {
        prompt: PROMPT.to_vec(),
        max_tokens: TOKENS,
        sampling,
        stop: Vec::new(),
        stop_ids: model.model().eos,
        skip_special: true,
    };
    let mut job = model.submit(generate, Caller::at("test")).unwrap();
    let mut logprobs = Vec::new();
    loop {
        match job.events.blocking_recv().expect("a last word") {
            JobEvent::Token(token) => logprobs.extend(token.logprob),
            JobEvent::Done(generated) => return (generated.text, logprobs),
            JobEvent::Failed { message, .. } => panic!("{message}"),
        }
    }
}

/// Every logprob that a choice tells, as bits: the tokens', then the likeliest alternatives', lowest first.
fn numbers(choice: &Value) -> Vec<u32> {
    let told = &choice["logprobs"];
    let chosen = told["token_logprobs"].as_array().unwrap().iter();
    let top = told["top_logprobs"].as_array().unwrap().iter().flat_map(|top| {
        let mut values: Vec<&Value> = top.as_object().unwrap().values().collect();
        values.sort_by(|a, b| a.as_f64().unwrap().total_cmp(&b.as_f64().unwrap()));
        values
    });
    chosen.chain(top).map(|number| (number.as_f64().unwrap() as f32).to_bits()).collect()
}

fn bits(logprobs: &[TokenLogprob]) -> Vec<u32> {
    assert_eq!(logprobs.len(), TOKENS);
    let chosen = logprobs.iter().map(|token| token.logprob);
    let top = logprobs.iter().flat_map(|token| {
        let mut values: Vec<f32> = token.top.iter().map(|(_, logprob, ..)| *logprob).collect();
        values.sort_by(f32::total_cmp);
        values
    });
    chosen.chain(top).map(f32::to_bits).collect()
}
