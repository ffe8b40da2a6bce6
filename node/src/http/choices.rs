//! The choices of one answer: each a job, heard together.

use std::sync::Arc;

use futures::Stream;
use futures::stream::{self, SelectAll, StreamExt};
use neuro_inference::{FinishReason, GenerateRequest, Generated, SamplingParams, TokenEvent, TokenLogprob};
use neuro_primitives::JobId;
use tokio_stream::wrappers::ReceiverStream;

use super::error::ApiError;
use super::metrics::Meter;
use super::parameters::Parameters;
use crate::completer::{Caller, Completer, Explanation, Job, JobEvent, ModelSummary};

/// A choice that came to its end.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) generated: Generated,
    pub(super) logprobs: Vec<TokenLogprob>,
}

/// What was asked for, on its way.
pub(super) struct Asked {
    /// A job per choice.
    pub(super) jobs: Vec<Job>,
    /// How many prompts the choices belong to, in order.
    pub(super) prompts: usize,
    /// The tokens that end an answer.
    pub(super) eos: Vec<u32>,
    pub(super) explainer: Explainer,
}

/// Tells who computed a choice, when the client asked.
pub(super) struct Explainer {
    ids: Vec<JobId>,
    completer: Option<Arc<dyn Completer>>,
}

impl Explainer {
    /// For these jobs; silent without a completer to ask.
    pub(super) fn new(jobs: &[Job], completer: Option<Arc<dyn Completer>>) -> Self {
        Self { ids: jobs.iter().map(|job| job.id).collect(), completer }
    }

    /// How many choices there are.
    pub(super) fn choices(&self) -> usize {
        self.ids.len()
    }

    /// Who computed choice `index`, if that was asked and is known. To be asked at the choice's end.
    pub(super) fn explain(&self, index: usize) -> Option<Explanation> {
        self.completer.as_ref()?.explain(*self.ids.get(index)?)
    }

    /// Who computed each choice; `None` when it was not asked.
    pub(super) fn explain_all(&self) -> Option<Vec<Option<Explanation>>> {
        self.completer.as_ref()?;
        Some((0..self.choices()).map(|index| self.explain(index)).collect())
    }
}

/// Submits `parameters.choices` jobs for each prompt: choice `p * n + c` is the `c`-th for prompt `p`. On an error the
/// jobs already submitted are cancelled.
pub(super) fn submit(
    completer: &dyn Completer,
    caller: &Caller,
    model: &ModelSummary,
    parameters: &Parameters,
    prompts: &[Vec<u32>],
) -> Result<Vec<Job>, ApiError> {
    let load = completer.load();
    let jobs = parameters.jobs();
    let most = if caller.account.is_named() { load.per_account } else { load.slots + load.queue };
    // Waiting would not help: the request never fits.
    if jobs > most {
        let message = format!("{jobs} answers, expected at most {most}: as many as this node runs and queues for you");
        return Err(ApiError::invalid("n", message));
    }
    let mut submitted = Vec::with_capacity(jobs);
    for prompt in prompts {
        for choice in 0..parameters.choices {
            let request = request(model, parameters, prompt, choice as u32);
            submitted.push(completer.submit(request, caller.clone())?);
        }
    }
    Ok(submitted)
}

fn request(model: &ModelSummary, parameters: &Parameters, prompt: &[u32], choice: u32) -> GenerateRequest {
    let room = model.context - prompt.len().min(model.context);
    GenerateRequest {
        prompt: prompt.to_vec(),
        max_tokens: parameters.max_tokens.unwrap_or(room).min(room),
        sampling: SamplingParams {
            temperature: parameters.temperature,
            top_p: parameters.top_p,
            seed: parameters.seed,
            choice,
            top_logprobs: parameters.top_logprobs,
        },
        stop: parameters.stop.clone(),
        stop_ids: model.eos.clone(),
        skip_special: true,
    }
}

/// All choices' events as they come, each with its choice's index. Dropping the stream cancels them all. A job that
/// closes its channel without a last word is heard as a failure; after a last word nothing is heard of it. The token
/// that ends an answer is no part of it, so its logprob is left out.
pub(super) fn events(
    jobs: Vec<Job>,
    eos: &[u32],
) -> SelectAll<impl Stream<Item = (usize, JobEvent)> + Send + Unpin + use<>> {
    let eos: Arc<[u32]> = eos.into();
    let lost = || JobEvent::Failed { message: "the job was lost".to_owned(), retryable: true };
    let choice = |(index, job): (usize, Job)| {
        let events = ReceiverStream::new(job.events).chain(stream::once(std::future::ready(lost())));
        let until_last = events.scan(false, |over, event| {
            let heard = (!*over).then_some(event);
            *over = !matches!(heard, Some(JobEvent::Token(_)));
            std::future::ready(heard)
        });
        let eos = Arc::clone(&eos);
        Box::pin(until_last.map(move |event| (index, answer_part(event, &eos))))
    };
    stream::select_all(jobs.into_iter().enumerate().map(choice))
}

/// Waits for all choices. The first failure ends the others.
pub(super) async fn collect(jobs: Vec<Job>, eos: &[u32], mut meter: Meter) -> Result<Vec<Finished>, ApiError> {
    let mut logprobs = vec![Vec::new(); jobs.len()];
    let mut finished: Vec<Option<Finished>> = vec![None; jobs.len()];
    let mut events = events(jobs, eos);
    while let Some((index, event)) = events.next().await {
        match event {
            JobEvent::Token(token) => {
                meter.token(index);
                logprobs[index].extend(token.logprob);
            }
            JobEvent::Done(generated) => {
                meter.done(&generated);
                finished[index] = Some(Finished { generated, logprobs: std::mem::take(&mut logprobs[index]) });
            }
            JobEvent::Failed { message, retryable } => {
                meter.failed();
                return Err(ApiError::failed(message, retryable));
            }
        }
    }
    Ok(finished.into_iter().flatten().collect())
}

/// What of an event belongs to the answer. A cancelled one is a failure to whoever still listens: nobody may take it
/// for whole.
fn answer_part(event: JobEvent, eos: &[u32]) -> JobEvent {
    match event {
        JobEvent::Token(token) if eos.contains(&token.id) => JobEvent::Token(TokenEvent { logprob: None, ..token }),
        JobEvent::Done(generated) if generated.finish == FinishReason::Cancelled => {
            JobEvent::Failed { message: "the answer was broken off".to_owned(), retryable: true }
        }
        other => other,
    }
}

/// OpenAI's word for how an answer ended. It has none for a cancelled one, which [`events`] never shows as done.
pub(super) const fn finish_reason(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Cancelled => "cancelled",
    }
}
