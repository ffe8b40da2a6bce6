//! A client of the OpenAI-compatible API, for `ask`, `chat`, `up --ask` and `model eval --url`.

use std::collections::BTreeMap;

use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};

/// Takes each piece of an answer as it comes; an error ends the answer.
pub type OnText<'a> = &'a mut (dyn FnMut(&str) -> CommandResult + Send);

/// Where the API is, and as whom to speak.
#[derive(Debug, Clone)]
pub struct ApiClient {
    base: String,
    key: Option<String>,
    http: reqwest::Client,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// What to ask.
#[derive(Debug, Clone, Serialize)]
pub struct ChatRequest {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The most tokens to produce; none for the context's rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// 0 is greedy.
    pub temperature: f32,
    /// Makes sampling repeatable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// The text.
    pub text: String,
    /// `stop`, `length`, ….
    pub finish_reason: Option<String>,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Who computed what.
    pub explain: Option<Explain>,
}

/// Who computed what for one answer; the `neuro` field of a response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explain {
    /// The engine class that every expert of this answer ran in.
    pub engine: String,
    /// The workers, by name.
    pub shares: Vec<ExplainShare>,
}

/// One worker's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainShare {
    /// The worker's node id.
    pub worker: String,
    /// The name that its owner gave it.
    pub name: String,
    /// Experts that it holds now.
    pub experts_held: u64,
    /// Micro-tasks whose answers were used.
    pub tasks: u64,
    /// Rows × experts computed.
    pub expert_rows: u64,
    /// Microseconds spent computing.
    pub compute_us: u64,
}

/// What a benchmark learns from one completion.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeRun {
    /// Tokens per second after the first.
    pub tokens_per_second: f64,
    /// Who computed what.
    pub explain: Option<Explain>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    neuro: Option<Explain>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

#[derive(Deserialize)]
struct ApiError {
    message: String,
}

impl ApiClient {
    /// A client for the API at `base` (`http://host:port`).
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(base: &str, key: Option<String>) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), key, http })
    }

    /// Sends the conversation and hands each piece of the answer to `on_text` as it comes.
    ///
    /// # Errors
    /// When the node cannot be reached, refuses, or breaks off.
    pub async fn chat(&self, request: &ChatRequest, on_text: OnText<'_>) -> Result<Reply, Failure> {
        let mut body = serde_json::to_value(request)?;
        body["model"] = serde_json::json!(self.model().await?);
        body["stream"] = serde_json::json!(true);
        body["stream_options"] = serde_json::json!({"include_usage": true});
        let post = self.authorised(self.http.post(format!("{}/v1/chat/completions", self.base)));
        let response = post.header("x-neuro-explain", "1").json(&body).send().await;
        let response = accepted(response.map_err(|error| self.unreachable(&error))?).await?;
        let mut reply = Reply::default();
        let (mut bytes, mut lines) = (response.bytes_stream(), EventLines::default());
        while let Some(part) = bytes.next().await {
            for data in lines.push(&part.map_err(|error| broken_off(&error))?) {
                if data == "[DONE]" {
                    return Ok(reply);
                }
                take_chunk(&mut reply, serde_json::from_str(&data)?, on_text)?;
            }
        }
        Err(Failure::message(Outcome::Failed, "the answer broke off before its end").hint("ask again"))
    }

    /// A greedy completion of token ids: tokens per second after the first, and who computed it.
    ///
    /// # Errors
    /// As [`Self::chat`].
    pub async fn decode(&self, prompt: &[u32], tokens: usize) -> Result<DecodeRun, Failure> {
        let model = self.model().await?;
        let body = serde_json::json!({
            "model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": true,
        });
        let post = self.authorised(self.http.post(format!("{}/v1/completions", self.base)));
        let response =
            post.header("x-neuro-explain", "1").json(&body).send().await.map_err(|error| self.unreachable(&error))?;
        let (mut bytes, mut lines) = (accepted(response).await?.bytes_stream(), EventLines::default());
        let (mut arrivals, mut reply) = (Vec::with_capacity(tokens), Reply::default());
        while let Some(part) = bytes.next().await {
            for data in lines.push(&part.map_err(|error| broken_off(&error))?) {
                if data != "[DONE]" {
                    take_chunk(&mut reply, serde_json::from_str(&data)?, &mut |_| Ok(()))?;
                    arrivals.push(std::time::Instant::now());
                }
            }
        }
        arrivals.truncate(tokens);
        let tokens_per_second = crate::command::bench::rate_of(&arrivals);
        Ok(DecodeRun { tokens_per_second, explain: reply.explain })
    }

    /// The id of the model that the node serves.
    ///
    /// # Errors
    /// When the node cannot be reached or names no model.
    pub async fn model(&self) -> Result<String, Failure> {
        let get = self.authorised(self.http.get(format!("{}/v1/models", self.base)));
        let response = accepted(get.send().await.map_err(|error| self.unreachable(&error))?).await?;
        let list: serde_json::Value = response.json().await?;
        let id = list["data"][0]["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| Failure::message(Outcome::Failed, format!("{} names no model", self.base)))
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::message(Outcome::Unreachable, format!("no node answers at {}: {}", self.base, innermost(error)))
            .hint("start one with `neuro up`, or name another with --url")
    }
}

/// The response if its status is a success; otherwise the message of its error object.
async fn accepted(response: reqwest::Response) -> Result<reqwest::Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    let message = serde_json::from_str::<BTreeMap<String, ApiError>>(&text)
        .ok()
        .and_then(|mut object| object.remove("error"))
        .map_or_else(|| text.chars().take(200).collect(), |error| error.message);
    let outcome = if status.is_client_error() { Outcome::Refused } else { Outcome::Failed };
    Err(Failure::message(outcome, format!("the node answered {}: {message}", status.as_u16())))
}

fn take_chunk(reply: &mut Reply, chunk: Chunk, on_text: OnText<'_>) -> Result<(), Failure> {
    if let Some(error) = chunk.error {
        return Err(Failure::message(Outcome::Failed, error.message));
    }
    for choice in chunk.choices {
        if let Some(text) = choice.delta.content.filter(|text| !text.is_empty()) {
            on_text(&text)?;
            reply.text.push_str(&text);
        }
        reply.finish_reason = choice.finish_reason.or(reply.finish_reason.take());
    }
    if let Some(usage) = chunk.usage {
        (reply.prompt_tokens, reply.completion_tokens) = (usage.prompt_tokens, usage.completion_tokens);
    }
    reply.explain = chunk.neuro.or(reply.explain.take());
    Ok(())
}

fn broken_off(error: &reqwest::Error) -> Failure {
    Failure::message(Outcome::Failed, format!("the connection broke off: {}", innermost(error))).hint("ask again")
}

/// The last cause of an error: what the operating system said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Cuts a byte stream into the `data:` payloads of server-sent events. Comments are skipped.
#[derive(Default)]
struct EventLines {
    pending: Vec<u8>,
}

impl EventLines {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.pending.extend_from_slice(bytes);
        let mut payloads = Vec::new();
        while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(data) = line.trim_end().strip_prefix("data:") {
                payloads.push(data.trim_start().to_owned());
            }
        }
        payloads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_wherever_the_network_cut_the_bytes() {
        let text = ": keep-alive\n\ndata: {\"a\":\"é\"}\n\ndata: [DONE]\n\n".as_bytes();
        for size in 1..text.len() {
            let mut lines = EventLines::default();
            let payloads: Vec<String> = text.chunks(size).flat_map(|chunk| lines.push(chunk)).collect();
            assert_eq!(payloads, ["{\"a\":\"é\"}", "[DONE]"], "in pieces of {size}");
        }
    }

    #[test]
    fn an_error_in_the_stream_is_a_failure() {
        let chunk = serde_json::from_str(r#"{"error":{"message":"expert L1/E2 has no holder"}}"#).unwrap();
        let failure = take_chunk(&mut Reply::default(), chunk, &mut |_| Ok(())).unwrap_err();
        assert!(failure.to_string().contains("L1/E2"));
    }
}
