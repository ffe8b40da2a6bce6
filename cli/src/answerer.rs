//! Who answers a conversation: a node over its API, or this process with a checkpoint of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args as ClapArgs;
use neuro_inference::{FinishReason, GenerateRequest, SamplingParams};
use neuro_model::ChatMessage;
use neuro_node::completer::{Caller, Completer, JobEvent};
use neuro_node::local::{LocalCompleter, LocalOptions};
use tokio_util::sync::CancellationToken;

use crate::api_client::{ApiClient, ChatRequest, OnText, Reply};
use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::Failure;
use crate::{progress, runtime};

/// Where a node listens when nobody says otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:11711";

/// Where to ask.
#[derive(Debug, Clone, ClapArgs)]
pub struct ConnectionArgs {
    /// API of the node to ask; without it, the node of the data folder, or the one on this machine's default port
    #[arg(long, env = "NEURO_URL", value_name = "URL")]
    pub url: Option<String>,
    /// File with the API key, where the node wants one
    #[arg(long, env = "NEURO_API_KEY_FILE", value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Answer in this process with this Hugging Face folder; no node is needed
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub model: Option<PathBuf>,
}

/// Answers conversations.
pub enum Answerer {
    /// A node.
    Remote(ApiClient),
    /// This process.
    Local(Arc<LocalCompleter>),
}

impl Answerer {
    /// Chooses by the options.
    ///
    /// # Errors
    /// When the checkpoint or the key file cannot be read.
    pub fn open(global: &GlobalArgs, args: &ConnectionArgs) -> Result<Self, Failure> {
        if let Some(folder) = &args.model {
            return Self::local(folder);
        }
        let key = args.api_key_file.as_deref().map(read_key).transpose()?;
        let url = match &args.url {
            Some(url) => url.clone(),
            None => runtime::data_dir(global)?
                .running()?
                .and_then(|node| node.api)
                .unwrap_or_else(|| DEFAULT_URL.to_owned()),
        };
        Ok(Self::Remote(ApiClient::new(&url, key)?))
    }

    /// This process, with the checkpoint in `folder`.
    ///
    /// # Errors
    /// When the checkpoint has a fault.
    pub fn local(folder: &Path) -> Result<Self, Failure> {
        let bar = progress::bytes("loading the model", 0);
        let completer = LocalCompleter::load(folder, LocalOptions::default(), &mut |progress| {
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes_done);
        })?;
        bar.finish_and_clear();
        Ok(Self::Local(Arc::new(completer)))
    }

    /// Asks, and hands each piece of the answer to `show` as it comes. Ends early when `stop` is cancelled.
    ///
    /// # Errors
    /// When nobody answers, the answer breaks off, or `stop` is cancelled.
    pub async fn chat(
        &self,
        request: &ChatRequest,
        show: OnText<'_>,
        stop: &CancellationToken,
    ) -> Result<Reply, Failure> {
        let answer = async {
            match self {
                Self::Remote(client) => client.chat(request, show).await,
                Self::Local(completer) => chat_here(completer.as_ref(), request, show).await,
            }
        };
        tokio::select! {
            reply = answer => reply,
            () = stop.cancelled() => Err(Failure::message(Outcome::Interrupted, "interrupted")),
        }
    }
}

async fn chat_here(completer: &LocalCompleter, request: &ChatRequest, show: OnText<'_>) -> Result<Reply, Failure> {
    let mut job = completer.submit(generate_request(completer, request)?, Caller::at("ask"))?;
    while let Some(event) = job.events.recv().await {
        match event {
            JobEvent::Token(token) => show(&token.text)?,
            JobEvent::Failed { message, .. } => return Err(Failure::message(Outcome::Failed, message)),
            JobEvent::Done(generated) => {
                let finish = if generated.finish == FinishReason::Length { "length" } else { "stop" };
                return Ok(Reply {
                    text: generated.text,
                    finish_reason: Some(finish.to_owned()),
                    prompt_tokens: generated.usage.prompt_tokens as u64,
                    completion_tokens: generated.usage.completion_tokens as u64,
                    explain: None,
                });
            }
        }
    }
    Err(Failure::message(Outcome::Failed, "the answer broke off before its end"))
}

fn generate_request(completer: &LocalCompleter, request: &ChatRequest) -> Result<GenerateRequest, Failure> {
    let template = completer
        .chat_template()
        .ok_or_else(|| Failure::message(Outcome::Failed, "this model has no chat template"))?;
    let messages: Vec<ChatMessage> = request
        .messages
        .iter()
        .map(|message| ChatMessage { role: message.role.clone(), content: message.content.clone() })
        .collect();
    let prompt = completer.tokenizer().encode(&template.render(&messages, true)?, false)?;
    let model = completer.model();
    if prompt.len() >= model.context {
        let (tokens, context) = (prompt.len(), model.context);
        let message = format!("the prompt has {tokens} tokens; prompt and answer together have room for {context}");
        return Err(Failure::message(Outcome::Refused, message).hint("ask about less text at a time"));
    }
    Ok(GenerateRequest {
        max_tokens: request.max_tokens.unwrap_or(model.context).min(model.context.saturating_sub(prompt.len())),
        prompt,
        sampling: SamplingParams {
            temperature: request.temperature,
            top_p: 1.0,
            seed: request.seed.unwrap_or_default(),
            choice: 0,
            top_logprobs: None,
        },
        stop: Vec::new(),
        stop_ids: model.eos,
        skip_special: true,
    })
}

/// The key in `path`: its first line that is no comment, `name: key` or the key alone.
fn read_key(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::message(Outcome::Usage, format!("cannot read {}: {error}", path.display())))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let key = line.map(|line| line.rsplit(':').next().unwrap_or(line).trim().to_owned());
    key.ok_or_else(|| Failure::message(Outcome::Usage, format!("{} holds no key", path.display())))
}
