//! Prompts that belong to nobody, so that checks have rows that nobody minds showing to one more worker.
//!
//! A checked result was accepted already; asking others about it shows them the rows again. So the node asks its own model
//! something now and then: a few random tokens, and what the model makes of them. These rows run in the same passes as
//! those of users, in the same messages, and no worker can tell which they are. Where a checked task has some, every
//! second check shows witnesses them alone.

use std::time::Duration;

use neuro_inference::{Account, GenerateRequest, Priority, SamplingParams};

use super::experts::RemoteExperts;
use super::shared::Shared;
use crate::completer::Caller;

/// Tokens of users between two prompts of nobody's. With what one takes, 3 % more work.
const TOKENS_BETWEEN: u64 = 600;

/// Random tokens that begin one.
const PROMPT_TOKENS: usize = 4;

/// Tokens that the model adds: rows of a text, which look like everybody's.
const ANSWER_TOKENS: usize = 16;

/// How often it is looked whether another one is due.
const LOOK: Duration = Duration::from_millis(500);

/// An account that no key file names by accident: it begins with a control character.
const NOBODY: &str = "\u{1}nobody";

/// Asks whenever users got enough tokens and nobody waits. Runs until the future is dropped.
pub async fn ask_now_and_then(shared: &Shared, experts: &RemoteExperts) {
    let tokens = || shared.runner.totals().completion_tokens;
    let (mut last, mut interval) = (tokens(), tokio::time::interval(LOOK));
    loop {
        interval.tick().await;
        if tokens() >= last + TOKENS_BETWEEN && shared.runner.load().waiting == 0 {
            ask(shared, experts).await;
            last = tokens();
        }
    }
}

/// One prompt to its end. That it finds no place is no harm: another one follows.
async fn ask(shared: &Shared, experts: &RemoteExperts) {
    let Some(request) = request(shared.trunk.config().vocab_size) else { return };
    let caller = Caller { endpoint: "own", account: Account::named(NOBODY), priority: Priority::Low, twice: false };
    let Ok(mut job) = shared.runner.submit(request, caller) else { return };
    experts.belongs_to_nobody(job.id);
    while job.events.recv().await.is_some() {}
}

fn request(vocabulary: usize) -> Option<GenerateRequest> {
    let token = |_| Some(u32::try_from(getrandom::u64().ok()? % vocabulary as u64).unwrap_or(0));
    Some(GenerateRequest {
        prompt: (0..PROMPT_TOKENS).map(token).collect::<Option<_>>()?,
        max_tokens: ANSWER_TOKENS,
        sampling: SamplingParams {
            temperature: 1.0,
            top_p: 1.0,
            seed: getrandom::u64().ok()?,
            choice: 0,
            top_logprobs: None,
        },
        stop: Vec::new(),
        stop_ids: Vec::new(),
        skip_special: true,
    })
}
