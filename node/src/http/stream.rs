//! Streamed answers: server-sent events, `data: {json}` each.
//!
//! Per choice: a chunk with the role (chat), chunks with text, a chunk with the finish reason. Then, when asked for, a
//! chunk with the usage, and `data: [DONE]`. A failure is a `data` object with an `error` and the end of the stream,
//! without `[DONE]`: a client must be able to tell a broken answer from a whole one. Comments keep silent streams open.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt};
use neuro_inference::{Generated, TokenEvent, Usage};
use serde_json::{Map, Value};

use super::choices::{self, Asked, Explainer, finish_reason};
use super::error::ApiError;
use super::limits::HttpLimits;
use super::metrics::Meter;
use super::parameters::StreamOptions;
use super::reply::{LogprobWriter, Reply};
use crate::completer::JobEvent;

/// Streams the answers of what was asked. Dropping the response cancels them.
pub(super) fn respond(
    reply: Reply,
    asked: Asked,
    options: StreamOptions,
    meter: Meter,
    limits: &HttpLimits,
) -> Response {
    let events = choices::events(asked.jobs, &asked.eos);
    let writer = Writer::new(reply, asked.prompts, asked.explainer, options, meter);
    let events = stream::unfold((writer, events), |(mut writer, mut events)| async move {
        loop {
            if let Some(data) = writer.ready.pop_front() {
                return Some((Ok::<_, Infallible>(Event::default().data(data)), (writer, events)));
            }
            if writer.over {
                return None;
            }
            writer.hear(events.next().await);
        }
    });
    sse(events, limits)
}

fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static, limits: &HttpLimits) -> Response {
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(limits.keep_alive)).into_response();
    // Proxies that collect before they pass on would hold tokens back.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

/// Turns what is heard of the choices into data lines.
struct Writer {
    reply: Reply,
    options: StreamOptions,
    prompts: usize,
    explainer: Explainer,
    choices: Vec<Choice>,
    meter: Meter,
    /// Data lines not yet sent.
    ready: VecDeque<String>,
    /// Nothing follows what is ready.
    over: bool,
}

#[derive(Default)]
struct Choice {
    /// Bytes of text sent.
    sent: usize,
    logprobs: LogprobWriter,
    usage: Option<Usage>,
}

impl Writer {
    fn new(reply: Reply, prompts: usize, explainer: Explainer, options: StreamOptions, meter: Meter) -> Self {
        let choices = explainer.choices();
        let mut writer = Self {
            reply,
            options,
            prompts,
            explainer,
            choices: (0..choices).map(|_| Choice::default()).collect(),
            meter,
            ready: VecDeque::new(),
            over: false,
        };
        for index in 0..choices {
            writer.reply.role_chunk(index).into_iter().for_each(|chunk| writer.push(chunk));
        }
        writer
    }

    fn hear(&mut self, event: Option<(usize, JobEvent)>) {
        match event {
            Some((index, JobEvent::Token(token))) => self.token(index, &token),
            Some((index, JobEvent::Done(generated))) => self.done(index, &generated),
            Some((_, JobEvent::Failed { message, retryable })) => self.fail(message, retryable),
            None => self.end(),
        }
    }

    fn token(&mut self, index: usize, token: &TokenEvent) {
        self.meter.token(index);
        let choice = &mut self.choices[index];
        choice.sent += token.text.len();
        let logprobs = match &token.logprob {
            Some(logprob) => self.reply.logprobs(&mut choice.logprobs, std::slice::from_ref(logprob)),
            None if token.text.is_empty() => return,
            None => Value::Null,
        };
        self.push(self.reply.text_chunk(index, &token.text, logprobs));
    }

    fn done(&mut self, index: usize, generated: &Generated) {
        self.meter.done(generated);
        // Text that was held back in case it became a stop string or a whole character.
        if let Some(rest) = generated.text.get(self.choices[index].sent..).filter(|rest| !rest.is_empty()) {
            self.push(self.reply.text_chunk(index, rest, Value::Null));
        }
        self.choices[index].usage = Some(generated.usage);
        let explanation = self.explainer.explain(index);
        self.push(self.reply.finish_chunk(index, finish_reason(generated.finish), explanation.as_ref()));
    }

    fn fail(&mut self, message: String, retryable: bool) {
        self.meter.failed();
        self.ready.push_back(ApiError::failed(message, retryable).to_json().to_string());
        self.over = true;
    }

    fn end(&mut self) {
        if self.options.include_usage {
            let usages: Vec<Usage> = self.choices.iter().filter_map(|choice| choice.usage).collect();
            let chunk = self.reply.usage_chunk(&usages, self.prompts);
            self.ready.push_back(Value::Object(chunk).to_string());
        }
        self.ready.push_back("[DONE]".to_owned());
        self.over = true;
    }

    /// Queues a chunk with choices. With `include_usage` each says that its usage is not known yet.
    fn push(&mut self, mut chunk: Map<String, Value>) {
        if self.options.include_usage {
            chunk.insert("usage".to_owned(), Value::Null);
        }
        self.ready.push_back(Value::Object(chunk).to_string());
    }
}
