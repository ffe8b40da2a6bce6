//! Whole answers of the skills model.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "model/loaded.rs"]
mod loaded;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use loaded::LoadedModel;
use neuro_expert_runtime::Engine;
use neuro_expert_runtime::engines::{BurnFlexEngine, ReferenceEngine};
use neuro_inference::{
    FinishReason, ForwardError, GenerateError, GenerateRequest, Generated, Generator, SamplingParams, TokenEvent, Usage,
};
use neuro_model::{ChatMessage, Tokenizer};
use serde::Deserialize;

/// The skills model, ready to answer.
struct Skills {
    model: LoadedModel,
    tokenizer: Tokenizer,
}

impl Skills {
    fn open(engine: Arc<dyn Engine>) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/skills/checkpoint");
        let model = LoadedModel::open(&folder, engine);
        let tokenizer = model.checkpoint.tokenizer().expect("a tokenizer");
        Self { model, tokenizer }
    }

    fn generator(&self) -> Generator<'_> {
        Generator { trunk: &self.model.trunk, tokenizer: &self.tokenizer, experts: &self.model.experts }
    }

    /// A greedy request with the chat form of `question`.
    fn request(&self, question: &str) -> GenerateRequest {
        let template = self.model.checkpoint.chat_template().expect("a readable template").expect("a template");
        let message = ChatMessage { role: "user".into(), content: question.into() };
        let text = template.render(&[message], true).expect("a prompt");
        GenerateRequest {
            prompt: self.tokenizer.encode(&text, false).expect("any text encodes"),
            max_tokens: 40,
            sampling: SamplingParams::default(),
            stop: Vec::new(),
            stop_ids: self.model.trunk.config().eos.clone(),
            skip_special: true,
        }
    }

    fn run(&self, request: &GenerateRequest) -> (Vec<TokenEvent>, Generated) {
        let mut events = Vec::new();
        let mut note = |event| {
            events.push(event);
            ControlFlow::Continue(())
        };
        let generated = self.generator().run(request, &mut note).expect("an answer");
        assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), generated.ids, "one event a token");
        assert_eq!(events.iter().map(|event| event.text.as_str()).collect::<String>(), generated.text);
        assert_eq!(generated.usage.completion_tokens, generated.ids.len());
        (events, generated)
    }
}

fn burn() -> Arc<dyn Engine> {
    Arc::new(BurnFlexEngine::new())
}

#[test]
fn twelve_and_thirty_five_is_forty_seven() {
    let engines: [Arc<dyn Engine>; 2] = [Arc::new(ReferenceEngine), burn()];
    for engine in engines {
        let skills = Skills::open(engine);
        let request = skills.request("What is 12+35?");
        let (_, answer) = skills.run(&request);
        assert_eq!((answer.text.trim(), answer.finish), ("47", FinishReason::Stop));
        assert_eq!(answer.usage, Usage { prompt_tokens: request.prompt.len(), completion_tokens: answer.ids.len() });
        assert_eq!(answer.ids.last(), Some(&1), "the end of sequence is counted, but is no text");
    }
}

#[derive(Deserialize)]
struct Question {
    question: String,
    answer: String,
}

#[derive(Deserialize)]
struct Marks {
    right: BTreeMap<String, usize>,
}

/// The rule of marking that the model was trained by: greedy, at most four tokens more than the answer has, trimmed.
#[test]
fn as_many_answers_are_right_as_the_checkpoint_says() {
    let skills = Skills::open(burn());
    let read = |name: &str| std::fs::read_to_string(skills.model.checkpoint.path().join(name)).expect("a file");
    let marks: Marks = serde_json::from_str(&read("eval.json")).expect("well-formed marks");
    let (mut right, mut asked) = (0, 0);
    for line in read("test.jsonl").lines() {
        let question: Question = serde_json::from_str(line).expect("a question");
        let mut request = skills.request(&question.question);
        let answer = skills.tokenizer.encode(&question.answer, false).expect("any text encodes");
        request.max_tokens = answer.len() + 4;
        right += usize::from(skills.run(&request).1.text.trim() == question.answer);
        asked += 1;
    }
    println!("{right} of {asked} right");
    assert_eq!(Some(&right), marks.right.get("all"));
}

#[test]
fn stop_strings_end_the_answer_and_are_not_part_of_it() {
    let skills = Skills::open(burn());
    let mut request = skills.request("What is 12+35?");
    request.stop = vec!["7".into()];
    let (_, answer) = skills.run(&request);
    assert_eq!((answer.text.trim(), answer.finish), ("4", FinishReason::Stop));
}

#[test]
fn the_length_is_bounded_by_the_request_and_by_the_context() {
    let skills = Skills::open(burn());
    let mut request = skills.request("What is 12+35?");
    request.stop_ids.clear();
    request.max_tokens = 5;
    let (events, answer) = skills.run(&request);
    assert_eq!((events.len(), answer.finish), (5, FinishReason::Length));
    request.max_tokens = 0;
    let (events, answer) = skills.run(&request);
    assert_eq!((events.len(), answer.text.as_str(), answer.finish), (0, "", FinishReason::Length));

    let context = skills.model.trunk.config().context;
    request.prompt = vec![7; context - 3];
    request.max_tokens = 40;
    assert_eq!(skills.run(&request).1.usage, Usage { prompt_tokens: context - 3, completion_tokens: 3 });
    request.prompt = vec![7; context];
    assert_eq!(skills.run(&request).1.finish, FinishReason::Length);
    request.prompt = vec![7; context + 1];
    let error = skills.generator().run(&request, &mut |_| ControlFlow::Continue(())).expect_err("too long");
    assert!(
        matches!(&error, GenerateError::Forward(ForwardError::ContextFull { context: 512, wanted: 513 })),
        "{error}"
    );
    assert!(!error.is_retryable());
}

#[test]
fn break_cancels_at_once() {
    let skills = Skills::open(burn());
    let mut request = skills.request("What is 12+35?");
    request.stop_ids.clear();
    let mut seen = 0;
    let mut two = |_| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let answer = skills.generator().run(&request, &mut two).expect("an answer");
    assert_eq!((seen, answer.ids.len(), answer.finish), (2, 2, FinishReason::Cancelled));
}

#[test]
fn sampled_answers_repeat_with_their_seed_and_differ_by_choice() {
    let skills = Skills::open(burn());
    let mut request = skills.request("Say something.");
    request.stop_ids.clear();
    request.max_tokens = 30;
    let mut with = |seed, choice| {
        request.sampling = SamplingParams { temperature: 2.0, top_p: 0.95, seed, choice, top_logprobs: None };
        skills.run(&request).1.ids
    };
    assert_eq!(with(1, 0), with(1, 0));
    assert_ne!(with(1, 0), with(1, 1));
    assert_ne!(with(1, 0), with(2, 0));
}

#[test]
fn logprobs_describe_the_tokens_that_were_drawn() {
    let skills = Skills::open(burn());
    let mut request = skills.request("What is 12+35?");
    request.sampling.top_logprobs = Some(3);
    let (events, answer) = skills.run(&request);
    let mut bytes = Vec::new();
    for event in events.iter().filter(|event| event.id != 1) {
        let logprob = event.logprob.as_ref().expect("it was asked for");
        assert_eq!((logprob.id, logprob.top.len()), (event.id, 3));
        assert_eq!((logprob.top[0].0, logprob.top[0].1), (event.id, logprob.logprob), "greedy takes the likeliest");
        assert!(logprob.top.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        let mass: f32 = logprob.top.iter().map(|token| token.1.exp()).sum();
        assert!(mass > 0.0 && mass <= 1.0 + 1e-5, "{mass}");
        bytes.extend(&logprob.bytes);
    }
    assert_eq!(String::from_utf8(bytes).expect("an answer in ASCII"), answer.text);
    request.sampling.top_logprobs = None;
    assert!(skills.run(&request).0.iter().all(|event| event.logprob.is_none()));
}

#[test]
fn meaningless_sampling_is_refused() {
    let skills = Skills::open(burn());
    let mut request = skills.request("What is 12+35?");
    request.sampling.temperature = f32::NAN;
    let error = skills.generator().run(&request, &mut |_| ControlFlow::Continue(())).expect_err("NaN");
    assert_eq!(error.to_string(), "temperature must be a finite number of at least 0, got NaN");
}
