//! A client that leaves frees its slot, however it asked.

use neuro_node::completer::{Caller, JobEvent};
use neuro_node::http::HttpOptions;
use neuro_node::jobs::{JobLimits, JobState};
use serde_json::json;

use crate::raw;
use crate::scripted::{Step, chat_body, start_with, with};

const ENDLESS: &[Step] = &[Step::Forever("again ")];
const ONE: JobLimits = JobLimits { slots: 1, queue: 1 };

#[tokio::test]
async fn leaving_a_stream_frees_the_slot() {
    let node = start_with(ENDLESS, ONE, HttpOptions::default()).await;
    let body = with(chat_body(), json!({ "stream": true })).to_string();
    let mut stream = raw::send(node.address, &raw::post("/v1/chat/completions", &body)).await;
    raw::read_until(&mut stream, "again").await;
    drop(stream);
    node.until(|runner| runner.load().running == 0).await;
    assert_eq!(node.completer.runner.totals().cancelled, 1);
}

#[tokio::test]
async fn leaving_a_whole_answer_frees_the_slot() {
    let node = start_with(ENDLESS, ONE, HttpOptions::default()).await;
    let stream = raw::send(node.address, &raw::post("/v1/chat/completions", &chat_body().to_string())).await;
    node.until(|runner| runner.jobs().iter().any(|job| job.state == JobState::Decode)).await;
    drop(stream);
    node.until(|runner| runner.load().running == 0).await;
    assert_eq!(node.completer.runner.totals().cancelled, 1);
}

#[tokio::test]
async fn leaving_with_many_choices_frees_all_their_slots() {
    let node = start_with(ENDLESS, JobLimits { slots: 3, queue: 0 }, HttpOptions::default()).await;
    let body = with(chat_body(), json!({ "n": 3 })).to_string();
    let stream = raw::send(node.address, &raw::post("/v1/chat/completions", &body)).await;
    node.until(|runner| runner.load().running == 3).await;
    drop(stream);
    node.until(|runner| runner.load().running == 0).await;
    assert_eq!(node.completer.runner.totals().cancelled, 3);
}

#[tokio::test]
async fn the_failure_of_one_choice_ends_the_others() {
    let limits = JobLimits { slots: 2, queue: 0 };
    let node = start_with(&[Step::Wait, Step::Fail { retryable: false }], limits, HttpOptions::default()).await;
    let ask = tokio::spawn(
        node.client.post(node.url("/v1/chat/completions")).json(&with(chat_body(), json!({ "n": 2 }))).send(),
    );
    node.until(|runner| runner.load().running == 2).await;
    node.open(1);
    assert_eq!(ask.await.unwrap().unwrap().status(), 500);
    node.until(|runner| runner.load().running == 0).await;
    let totals = node.completer.runner.totals();
    assert_eq!((totals.failed, totals.cancelled), (1, 1));
}

#[tokio::test]
async fn a_waiting_job_whose_reader_left_gives_up_its_place() {
    let node = start_with(&[Step::Wait, Step::Text("ok"), Step::End], ONE, HttpOptions::default()).await;
    let submit = || {
        let request = neuro_inference::GenerateRequest {
            prompt: vec![5],
            max_tokens: 9,
            sampling: neuro_inference::SamplingParams {
                temperature: 0.0,
                top_p: 1.0,
                seed: 0,
                choice: 0,
                top_logprobs: None,
            },
            stop: Vec::new(),
            stop_ids: Vec::new(),
            skip_special: true,
        };
        node.completer.runner.submit(request, Caller::at("test"))
    };
    let mut first = submit().unwrap();
    node.until(|runner| runner.load().running == 1).await;
    let second = submit().unwrap();
    assert!(submit().is_err(), "the queue is full");
    drop(second);
    let mut third = submit().unwrap();
    assert_eq!(node.completer.runner.totals().cancelled, 1);
    node.open(2);
    for job in [&mut first, &mut third] {
        let mut last = None;
        while let Some(event) = job.events.recv().await {
            last = Some(event);
        }
        assert!(matches!(last, Some(JobEvent::Done(generated)) if generated.text == "ok"));
    }
}

#[tokio::test]
async fn a_panic_costs_the_running_jobs_and_not_the_node() {
    for step in [Step::Panic, Step::PanicAtStart] {
        let node = start_with(&[step], ONE, HttpOptions::default()).await;
        for answers in 1..3 {
            assert_eq!(node.chat(chat_body()).await.status(), 500);
            assert_eq!(node.completer.runner.totals().failed, answers);
        }
    }
}

#[tokio::test]
async fn a_job_that_is_failed_from_outside_ends_with_an_error_and_never_silently() {
    let node = start_with(&[Step::Text("first"), Step::Wait], ONE, HttpOptions::default()).await;
    let body = with(chat_body(), json!({ "stream": true })).to_string();
    let mut running = raw::send(node.address, &raw::post("/v1/chat/completions", &body)).await;
    raw::read_until(&mut running, "first").await;
    let mut waiting = raw::send(node.address, &raw::post("/v1/chat/completions", &body)).await;
    node.until(|runner| runner.load().waiting == 1).await;
    for job in node.completer.runner.jobs() {
        node.completer.runner.fail(job.id, "a worker lied");
    }
    for stream in [&mut running, &mut waiting] {
        let rest = raw::read_until(stream, "a worker lied").await;
        assert!(rest.contains("\"error\"") && !rest.contains("[DONE]"), "{rest}");
    }
    assert_eq!(node.completer.runner.totals().failed, 2);
}
