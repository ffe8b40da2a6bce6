//! Answers as OpenAI's clients read them, whole and in chunks.

use neuro_inference::{TokenLogprob, Usage};
use serde_json::{Map, Value, json};

use super::choices::{Finished, finish_reason};
use super::endpoint::Endpoint;
use super::request_id::random_hex;
use crate::completer::{Explanation, ModelSummary};

/// What stands for a probability of zero, whose logarithm JSON cannot hold; other servers use the same.
const LOG_OF_ZERO: f32 = -9_999.0;

/// The field that says who computed an answer: our own addition to OpenAI's objects, only when asked for.
const EXPLANATION: &str = "neuro";

/// What all parts of one answer share.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    endpoint: Endpoint,
    id: String,
    created_unix_s: u64,
    model: String,
    fingerprint: String,
}

/// The logprobs of one choice as they are written; remembers how far its text went.
#[derive(Debug, Clone, Default)]
pub(super) struct LogprobWriter {
    /// Characters of the tokens written so far.
    offset: usize,
}

impl Reply {
    /// A new answer of `model`, with an id of its own.
    pub(super) fn new(endpoint: Endpoint, model: &ModelSummary) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self {
            endpoint,
            id: format!("{}{}", endpoint.id_prefix(), random_hex()),
            created_unix_s: now.as_secs(),
            model: model.name.clone(),
            fingerprint: format!("neuro-{}", model.id.chars().take(16).collect::<String>()),
        }
    }

    /// The whole answer. `prompts` says how many prompts the choices belong to, in order; `explanations`, where asked
    /// for, are one per choice.
    pub(super) fn whole(
        &self,
        finished: &[Finished],
        prompts: usize,
        with_logprobs: bool,
        explanations: Option<Vec<Option<Explanation>>>,
    ) -> Value {
        let choices =
            finished.iter().enumerate().map(|(index, choice)| self.whole_choice(index, choice, with_logprobs));
        let choices = choices.collect();
        let usages: Vec<Usage> = finished.iter().map(|choice| choice.generated.usage).collect();
        let mut object = self.object(self.endpoint.object(), choices);
        object.insert("usage".to_owned(), usage(&usages, prompts));
        if let Some(explanations) = explanations {
            object.insert(EXPLANATION.to_owned(), json!(explanations));
        }
        Value::Object(object)
    }

    /// The first chunk of a choice: who speaks. Legacy completions have none.
    pub(super) fn role_chunk(&self, index: usize) -> Option<Map<String, Value>> {
        let delta = json!({ "role": "assistant", "content": "" });
        (self.endpoint == Endpoint::Chat).then(|| self.chunk(index, delta, Value::Null, Value::Null))
    }

    /// A chunk with text of a choice.
    pub(super) fn text_chunk(&self, index: usize, text: &str, logprobs: Value) -> Map<String, Value> {
        let text = match self.endpoint {
            Endpoint::Chat => json!({ "content": text }),
            Endpoint::Text => json!(text),
        };
        self.chunk(index, text, logprobs, Value::Null)
    }

    /// The last chunk of a choice: no text, only how it ended, and who computed it if that was asked and is known.
    pub(super) fn finish_chunk(
        &self,
        index: usize,
        reason: &str,
        explanation: Option<&Explanation>,
    ) -> Map<String, Value> {
        let nothing = match self.endpoint {
            Endpoint::Chat => json!({}),
            Endpoint::Text => json!(""),
        };
        let mut chunk = self.chunk(index, nothing, Value::Null, json!(reason));
        if let Some(explanation) = explanation {
            chunk.insert(EXPLANATION.to_owned(), json!(explanation));
        }
        chunk
    }

    /// The chunk after the last: no choices, only the tokens used.
    pub(super) fn usage_chunk(&self, usages: &[Usage], prompts: usize) -> Map<String, Value> {
        let mut object = self.object(self.endpoint.chunk_object(), Vec::new());
        object.insert("usage".to_owned(), usage(usages, prompts));
        object
    }

    /// `logprobs` of a chunk or a choice, in the endpoint's form.
    pub(super) fn logprobs(&self, writer: &mut LogprobWriter, tokens: &[TokenLogprob]) -> Value {
        match self.endpoint {
            Endpoint::Chat => {
                json!({ "content": tokens.iter().map(chat_logprob).collect::<Vec<_>>(), "refusal": null })
            }
            Endpoint::Text => writer.text_logprobs(tokens),
        }
    }

    fn whole_choice(&self, index: usize, choice: &Finished, with_logprobs: bool) -> Value {
        let logprobs =
            if with_logprobs { self.logprobs(&mut LogprobWriter::default(), &choice.logprobs) } else { Value::Null };
        let (text, reason) = (&choice.generated.text, finish_reason(choice.generated.finish));
        match self.endpoint {
            Endpoint::Chat => json!({
                "index": index,
                "message": { "role": "assistant", "content": text, "refusal": null },
                "logprobs": logprobs,
                "finish_reason": reason,
            }),
            Endpoint::Text => json!({ "index": index, "text": text, "logprobs": logprobs, "finish_reason": reason }),
        }
    }

    fn chunk(&self, index: usize, text: Value, logprobs: Value, reason: Value) -> Map<String, Value> {
        let field = match self.endpoint {
            Endpoint::Chat => "delta",
            Endpoint::Text => "text",
        };
        let choice = json!({ "index": index, field: text, "logprobs": logprobs, "finish_reason": reason });
        self.object(self.endpoint.chunk_object(), vec![choice])
    }

    fn object(&self, kind: &str, choices: Vec<Value>) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("id".to_owned(), json!(self.id));
        object.insert("object".to_owned(), json!(kind));
        object.insert("created".to_owned(), json!(self.created_unix_s));
        object.insert("model".to_owned(), json!(self.model));
        object.insert("system_fingerprint".to_owned(), json!(self.fingerprint));
        object.insert("choices".to_owned(), Value::Array(choices));
        object
    }
}

impl LogprobWriter {
    /// Legacy form: parallel lists, and where each token begins in the answer, in characters.
    fn text_logprobs(&mut self, tokens: &[TokenLogprob]) -> Value {
        let mut offsets = Vec::with_capacity(tokens.len());
        for token in tokens {
            offsets.push(self.offset);
            self.offset += token.text.chars().count();
        }
        let name = |token: &TokenLogprob| token_name(&token.text, &token.bytes);
        json!({
            "tokens": tokens.iter().map(name).collect::<Vec<_>>(),
            "token_logprobs": tokens.iter().map(|token| finite(token.logprob)).collect::<Vec<_>>(),
            "top_logprobs": tokens.iter().map(top_by_name).collect::<Vec<_>>(),
            "text_offset": offsets,
        })
    }
}

/// The models' object for `GET /v1/models`.
pub(super) fn model_object(model: &ModelSummary) -> Value {
    json!({
        "id": model.name,
        "object": "model",
        "created": model.created_unix_s,
        "owned_by": "neuro",
        "root": model.id,
        "max_model_len": model.context,
    })
}

/// Tokens used. A prompt counts once, however many choices answer it.
fn usage(usages: &[Usage], prompts: usize) -> Value {
    let per_prompt = (usages.len() / prompts.max(1)).max(1);
    let prompt: usize = usages.iter().step_by(per_prompt).map(|usage| usage.prompt_tokens).sum();
    let completion: usize = usages.iter().map(|usage| usage.completion_tokens).sum();
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

fn chat_logprob(token: &TokenLogprob) -> Value {
    let top = token
        .top
        .iter()
        .map(|(_, logprob, text, bytes)| json!({ "token": text, "logprob": finite(*logprob), "bytes": bytes }));
    json!({
        "token": token.text,
        "logprob": finite(token.logprob),
        "bytes": token.bytes,
        "top_logprobs": top.collect::<Vec<_>>(),
    })
}

fn top_by_name(token: &TokenLogprob) -> Value {
    let named =
        |(_, logprob, text, bytes): &(u32, f32, String, Vec<u8>)| (token_name(text, bytes), json!(finite(*logprob)));
    Value::Object(token.top.iter().map(named).collect())
}

/// A token as the legacy form names it: its text, or its bytes when they are only a part of a character.
fn token_name(text: &str, bytes: &[u8]) -> String {
    if std::str::from_utf8(bytes).is_ok() {
        return text.to_owned();
    }
    let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("bytes:{escaped}")
}

fn finite(logprob: f32) -> f32 {
    if logprob.is_finite() { logprob } else { LOG_OF_ZERO }
}
