//! One answer by itself: from a prompt to text, token by token. What many answers side by side must equal.

pub(crate) mod completion;

use std::ops::ControlFlow;

use neuro_model::Tokenizer;

use crate::error::ForwardError;
use crate::experts::ExpertLayers;
use crate::sampler::logprob::{Logprob, logprobs};
use crate::sampler::{SamplingError, SamplingParams};
use crate::trunk::Trunk;
use completion::Completion;

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// The prompt's tokens; at least one.
    pub prompt: Vec<u32>,
    /// The most tokens to generate. Fewer fit when prompt and answer together reach the model's context.
    pub max_tokens: usize,
    /// How tokens are drawn.
    pub sampling: SamplingParams,
    /// Strings that end the answer. Neither they nor what follows them is part of the text; empty ones are ignored.
    pub stop: Vec<String>,
    /// Tokens that end the answer and are not part of its text: the model's end of sequence.
    pub stop_ids: Vec<u32>,
    /// Leave special tokens out of the text.
    pub skip_special: bool,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// A stop token or a stop string.
    Stop,
    /// `max_tokens`, or the end of the context.
    Length,
    /// The receiver of the events gave up.
    Cancelled,
}

/// One generated token. Every token of [`Generated::ids`] has one event, and the events' texts add up to its text.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenEvent {
    /// The token; the last may be a stop token.
    pub id: u32,
    /// Text that became certain with this token. Empty while a character is incomplete, or while the text may be the
    /// beginning of a stop string.
    pub text: String,
    /// Present when the request asks for log-probabilities.
    pub logprob: Option<TokenLogprob>,
}

/// A token's log-probability, and those of the likeliest tokens in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub id: u32,
    /// Natural logarithm of its probability under the raw logits.
    pub logprob: f32,
    /// Its text, with U+FFFD for parts of characters.
    pub text: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The likeliest tokens, likeliest first: id, log-probability, text, bytes.
    pub top: Vec<(u32, f32, String, Vec<u8>)>,
}

/// Tokens that went in and came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated, a stop token included.
    pub completion_tokens: usize,
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The whole text.
    pub text: String,
    /// Every token generated, a stop token included.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: FinishReason,
    /// Tokens counted.
    pub usage: Usage,
}

/// An answer that could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The model could not be run.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The sampling parameters mean nothing.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
}

impl GenerateError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Forward(error) => error.is_retryable(),
            Self::Sampling(_) => false,
        }
    }
}

/// What it takes to generate: a trunk, its tokenizer, and someone who computes experts.
#[derive(Clone, Copy)]
pub struct Generator<'a> {
    /// The trunk.
    pub trunk: &'a Trunk,
    /// The tokenizer of the same model.
    pub tokenizer: &'a Tokenizer,
    /// Who computes the experts.
    pub experts: &'a dyn ExpertLayers,
}

impl Generator<'_> {
    /// Generates an answer, and tells `on_event` each token as it is drawn; `Break` cancels. Blocks until the end.
    ///
    /// # Errors
    /// When the sampling parameters mean nothing, the prompt is empty, longer than the context or outside the
    /// vocabulary, or a forward pass fails. What was generated so far has gone to `on_event`.
    pub fn run(
        &self,
        request: &GenerateRequest,
        on_event: &mut dyn FnMut(TokenEvent) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError> {
        request.sampling.check()?;
        let budget = self.budget(request)?;
        let mut cache = self.trunk.new_cache();
        let mut completion = Completion::new(request, self.tokenizer, budget);
        let mut next = request.prompt.clone();
        while !completion.is_full() {
            let logits = self.trunk.forward(&mut cache, &next, self.experts)?;
            let id = request.sampling.sample(&logits, cache.len());
            let (text, finish) = completion.push(id);
            let logprob = token_logprob(self.tokenizer, &request.sampling, &logits, id);
            let event = TokenEvent { id, text, logprob };
            if on_event(event).is_break() {
                return Ok(completion.finish(FinishReason::Cancelled));
            }
            if let Some(finish) = finish {
                return Ok(completion.finish(finish));
            }
            next = vec![id];
        }
        Ok(completion.finish(FinishReason::Length))
    }

    /// How many tokens may be generated: prompt and answer together fill the context at most.
    fn budget(&self, request: &GenerateRequest) -> Result<usize, ForwardError> {
        let (context, wanted) = (self.trunk.config().context, request.prompt.len());
        let left = context.checked_sub(wanted).ok_or(ForwardError::ContextFull { context, wanted })?;
        Ok(request.max_tokens.min(left))
    }
}

/// The log-probability of token `id` under `logits` (`[vocab]`, f32), if `sampling` asks for it.
pub(crate) fn token_logprob(
    tokenizer: &Tokenizer,
    sampling: &SamplingParams,
    logits: &[f32],
    id: u32,
) -> Option<TokenLogprob> {
    let (chosen, top) = logprobs(logits, id, usize::from(sampling.top_logprobs?));
    let (id, logprob, text, bytes) = spelled(tokenizer, chosen);
    let top = top.into_iter().map(|token| spelled(tokenizer, token)).collect();
    Some(TokenLogprob { id, logprob, text, bytes, top })
}

/// A token with its text and bytes, both empty where the tokenizer has no such token.
fn spelled(tokenizer: &Tokenizer, token: Logprob) -> (u32, f32, String, Vec<u8>) {
    let (text, bytes) = (tokenizer.token_text(token.id), tokenizer.token_bytes(token.id));
    (token.id, token.logprob, text.unwrap_or_default(), bytes.unwrap_or_default())
}
