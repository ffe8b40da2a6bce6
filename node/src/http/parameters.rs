//! A request's parameters, from JSON to values that can be served.
//!
//! Nothing is silently dropped: a parameter is served, or refused by name, or is one of [`IGNORED`], which cannot
//! change an answer; those are listed in the answer's `x-neuro-ignored` header. `null` means absent, as in OpenAI's
//! API.

mod fields;
mod input;

use neuro_inference::Priority;
use serde_json::{Map, Value};

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::limits::{CHOICES, STOP_STRING_BYTES, STOP_STRINGS, TOP_LOGPROBS};
use super::request_id::random_u64;
use fields::Fields;
pub(super) use input::Input;

/// Parameters without influence on the answer, accepted from any client.
const IGNORED: &[&str] = &["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"];

/// Tokens of a legacy completion when the request does not say, as OpenAI.
const TEXT_MAX_TOKENS: usize = 16;

/// A parameter that is not served, with the test for values that ask for nothing.
type Unserved = (&'static str, fn(&Value) -> bool);

const UNSERVED: &[Unserved] =
    &[("frequency_penalty", is_zero), ("presence_penalty", is_zero), ("logit_bias", is_empty)];

const UNSERVED_IN_CHAT: &[Unserved] = &[
    ("tools", is_empty),
    ("tool_choice", |value| value == "none"),
    ("parallel_tool_calls", Value::is_boolean),
    ("functions", is_empty),
    ("function_call", |value| value == "none"),
    ("response_format", |value| value.get("type").is_some_and(|kind| kind == "text")),
    ("modalities", |value| value.as_array().is_some_and(|kinds| kinds.iter().all(|kind| kind == "text"))),
    ("audio", never),
    ("prediction", never),
    ("reasoning_effort", never),
    ("verbosity", never),
    ("web_search_options", never),
];

const UNSERVED_IN_TEXT: &[Unserved] =
    &[("echo", |value| value == false), ("suffix", |value| value == ""), ("best_of", |value| value == 1)];

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameters {
    /// The model that shall answer: id or name.
    pub(super) model: String,
    pub(super) input: Input,
    /// Answers per prompt.
    pub(super) choices: usize,
    /// Tokens per answer; `None` is as many as fit the context.
    pub(super) max_tokens: Option<usize>,
    pub(super) temperature: f32,
    pub(super) top_p: f32,
    pub(super) seed: u64,
    pub(super) stop: Vec<String>,
    /// Alternatives per token; `None` is no logprobs at all.
    pub(super) top_logprobs: Option<u8>,
    /// `None` is one whole answer.
    pub(super) stream: Option<StreamOptions>,
    /// How urgent it is: not OpenAI's, whose clients never send it.
    pub(super) priority: Priority,
    /// Whether two workers are asked for everything from the start; ours, too.
    pub(super) twice: bool,
    /// Which of [`IGNORED`] were given.
    pub(super) ignored: Vec<&'static str>,
}

/// How to stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamOptions {
    /// Whether a last chunk tells the tokens used.
    pub(super) include_usage: bool,
}

impl Parameters {
    /// Reads `body` as a request to `endpoint`.
    ///
    /// # Errors
    /// 400 naming the first parameter that is missing, wrong, not served or unknown.
    pub(super) fn parse(endpoint: Endpoint, body: Map<String, Value>) -> Result<Self, ApiError> {
        let mut fields = Fields::new(body);
        let parameters = Self {
            model: fields.text("model")?.ok_or_else(|| missing("model"))?,
            input: Input::parse(endpoint, &mut fields)?,
            choices: fields.integer("n", 1..=CHOICES as u64)?.unwrap_or(1) as usize,
            max_tokens: max_tokens(endpoint, &mut fields)?,
            temperature: fields.number("temperature", 0.0..=2.0)?.unwrap_or(1.0) as f32,
            // Zero is the smallest nucleus, one token; the sampler wants a number above it.
            top_p: (fields.number("top_p", 0.0..=1.0)?.unwrap_or(1.0) as f32).max(f32::MIN_POSITIVE),
            seed: seed(&mut fields)?,
            stop: stop(&mut fields)?,
            top_logprobs: top_logprobs(endpoint, &mut fields)?,
            stream: stream(&mut fields)?,
            priority: priority(&mut fields)?,
            twice: fields.integer("redundancy", 1..=2)? == Some(2),
            ignored: IGNORED.iter().copied().filter(|name| fields.take(name).is_some()).collect(),
        };
        refuse_unserved(endpoint, &mut fields)?;
        fields.finish()?;
        parameters.check_count()
    }

    /// How many jobs the request needs.
    pub(super) fn jobs(&self) -> usize {
        self.choices * self.input.prompts()
    }

    fn check_count(self) -> Result<Self, ApiError> {
        if self.jobs() <= CHOICES {
            return Ok(self);
        }
        let message = format!(
            "{} prompts with {} choices each, expected at most {CHOICES} answers",
            self.input.prompts(),
            self.choices
        );
        Err(ApiError::invalid("n", message))
    }
}

/// 400: a parameter that must be given.
pub(super) fn missing(name: &str) -> ApiError {
    ApiError::about(name, "missing_parameter", "this parameter is required")
}

fn refuse_unserved(endpoint: Endpoint, fields: &mut Fields) -> Result<(), ApiError> {
    let own = match endpoint {
        Endpoint::Chat => UNSERVED_IN_CHAT,
        Endpoint::Text => UNSERVED_IN_TEXT,
    };
    for (name, asks_for_nothing) in UNSERVED.iter().chain(own) {
        if fields.take(name).is_some_and(|value| !asks_for_nothing(&value)) {
            return Err(ApiError::about(*name, "unsupported_parameter", "this parameter is not supported here"));
        }
    }
    Ok(())
}

/// OpenAI renamed `max_tokens` for chat; both names are served there.
fn max_tokens(endpoint: Endpoint, fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    let old = fields.integer("max_tokens", 1..=u64::from(u32::MAX))?;
    if endpoint == Endpoint::Text {
        return Ok(Some(old.map_or(TEXT_MAX_TOKENS, |tokens| tokens as usize)));
    }
    let new = fields.integer("max_completion_tokens", 1..=u64::from(u32::MAX))?;
    if let (Some(old), Some(new)) = (old, new)
        && old != new
    {
        let message = format!("max_tokens says {old} and max_completion_tokens {new}; give one of them");
        return Err(ApiError::invalid("max_tokens", message));
    }
    Ok(new.or(old).map(|tokens| tokens as usize))
}

/// `"low"`, `"normal"` or `"high"`.
fn priority(fields: &mut Fields) -> Result<Priority, ApiError> {
    match fields.text("priority")?.as_deref() {
        None | Some("normal") => Ok(Priority::Normal),
        Some("low") => Ok(Priority::Low),
        Some("high") => Ok(Priority::High),
        Some(_) => Err(ApiError::invalid("priority", "expected \"low\", \"normal\" or \"high\"")),
    }
}

/// A negative seed is as good as any: its bits are taken.
fn seed(fields: &mut Fields) -> Result<u64, ApiError> {
    let Some(value) = fields.take("seed") else { return Ok(random_u64()) };
    let seed = value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned));
    seed.ok_or_else(|| ApiError::invalid("seed", format!("expected an integer of 64 bits, got {value}")))
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let stop = match fields.take("stop") {
        None => Vec::new(),
        Some(Value::String(stop)) => vec![stop],
        Some(Value::Array(list)) => list.into_iter().map(stop_string).collect::<Result<_, _>>()?,
        Some(other) => {
            return Err(ApiError::invalid("stop", format!("expected a string or a list of strings, got {other}")));
        }
    };
    if stop.len() > STOP_STRINGS {
        return Err(ApiError::invalid("stop", format!("expected at most {STOP_STRINGS} strings, got {}", stop.len())));
    }
    if stop.iter().any(|text| text.is_empty() || text.len() > STOP_STRING_BYTES) {
        return Err(ApiError::invalid("stop", format!("each string needs 1 to {STOP_STRING_BYTES} bytes")));
    }
    Ok(stop)
}

fn stop_string(value: Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(ApiError::invalid("stop", format!("expected a list of strings, got {other} in it"))),
    }
}

/// Chat: `logprobs` switches on, `top_logprobs` counts. Legacy: `logprobs` does both.
fn top_logprobs(endpoint: Endpoint, fields: &mut Fields) -> Result<Option<u8>, ApiError> {
    let counted = |tokens: Option<u64>| tokens.map(|tokens| tokens as u8);
    if endpoint == Endpoint::Text {
        return fields.integer("logprobs", 0..=TOP_LOGPROBS).map(counted);
    }
    let on = fields.boolean("logprobs")?.unwrap_or(false);
    let top = fields.integer("top_logprobs", 0..=TOP_LOGPROBS)?;
    match (on, top) {
        (false, Some(1..)) => Err(ApiError::invalid("top_logprobs", "needs `logprobs` to be true")),
        (false, _) => Ok(None),
        (true, top) => Ok(counted(top.or(Some(0)))),
    }
}

fn stream(fields: &mut Fields) -> Result<Option<StreamOptions>, ApiError> {
    let on = fields.boolean("stream")?.unwrap_or(false);
    let Some(options) = fields.take("stream_options") else {
        return Ok(on.then_some(StreamOptions { include_usage: false }));
    };
    if !on {
        return Err(ApiError::invalid("stream_options", "needs `stream` to be true"));
    }
    let Value::Object(options) = options else {
        return Err(ApiError::invalid("stream_options", format!("expected an object, got {options}")));
    };
    let mut options = Fields::within("stream_options", options);
    let include_usage = options.boolean("include_usage")?.unwrap_or(false);
    // Asks for padding that hides token lengths; there is none to leave out.
    options.boolean("include_obfuscation")?;
    options.finish()?;
    Ok(Some(StreamOptions { include_usage }))
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

fn never(_: &Value) -> bool {
    false
}

#[cfg(test)]
mod tests;
