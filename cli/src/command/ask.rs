//! `neuro ask`: one question, one answer.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::up::{answer_object, who_computed};
use crate::answerer::{Answerer, ConnectionArgs};
use crate::api_client::{ChatRequest, Message};
use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style};
use crate::runtime;

/// The most bytes of a prompt read from a file or a pipe: far beyond any context, so that a wrong file is noticed.
const MAX_PROMPT_BYTES: u64 = 16 << 20;

/// Options of `neuro ask`.
#[derive(Debug, ClapArgs)]
pub struct AskArgs {
    /// The question; `-` reads standard input, and so does a pipe
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,
    /// Put the content of this file before the question (repeatable)
    #[arg(long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Say how to answer
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Show who computed what
    #[arg(long)]
    pub explain: bool,
    /// How to sample.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Where to ask.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// How the answer's tokens are chosen.
#[derive(Debug, Clone, ClapArgs)]
pub struct SamplingArgs {
    /// The most tokens to produce
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<usize>,
    /// 0 always takes the likeliest token; 1 samples from the model's own distribution
    #[arg(long, default_value_t = 0.0, value_name = "T")]
    pub temperature: f32,
    /// Makes sampling repeatable
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

impl SamplingArgs {
    /// The request for this conversation.
    #[must_use]
    pub fn request(&self, messages: Vec<Message>) -> ChatRequest {
        ChatRequest { messages, max_tokens: self.max_tokens, temperature: self.temperature, seed: self.seed }
    }
}

/// Asks and prints the answer as it comes.
///
/// # Errors
/// When there is nothing to ask, nobody to ask, or the answer breaks off.
pub fn run(global: &GlobalArgs, args: &AskArgs, output: Output) -> CommandResult {
    let question = question(args)?;
    let system = args.system.iter().map(|content| Message { role: "system".to_owned(), content: content.clone() });
    let user = Message { role: "user".to_owned(), content: question.clone() };
    let request = args.sampling.request(system.chain([user]).collect());
    runtime::tokio()?.block_on(async {
        let answerer = Answerer::open(global, &args.connection)?;
        let stop = runtime::stop_token(false)?;
        let mut show = |text: &str| if output.json { Ok(()) } else { output.text(text) };
        let reply = answerer.chat(&request, &mut show, &stop).await?;
        if output.json {
            return output.object(&answer_object(&question, &reply));
        }
        output.line("")?;
        match &reply.explain {
            Some(explain) if args.explain => {
                output.line(format!("\n{}", who_computed(explain, output)))?;
                output.line(output.paint(Style::Faint, &format!("  engine {}", explain.engine)))
            }
            None if args.explain => output.line("\n  computed in this process"),
            _ => Ok(()),
        }
    })
}

/// The files' contents, then the typed or piped text.
fn question(args: &AskArgs) -> Result<String, Failure> {
    let mut parts = Vec::new();
    for path in &args.file {
        let file = std::fs::File::open(path);
        let text = file
            .and_then(read_text)
            .map_err(|error| Failure::message(Outcome::Usage, format!("cannot read {}: {error}", path.display())))?;
        parts.push(text);
    }
    match args.text.as_deref() {
        Some("-") => parts.push(read_text(io::stdin())?),
        Some(text) => parts.push(text.to_owned()),
        None if !io::stdin().is_terminal() => parts.push(read_text(io::stdin())?),
        None => {}
    }
    let question = parts.join("\n\n").trim().to_owned();
    if question.is_empty() {
        return Err(Failure::message(Outcome::Usage, "there is nothing to ask")
            .hint("neuro ask \"What is 12+35?\", or pipe the question in"));
    }
    Ok(question)
}

fn read_text(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    let read = source.take(MAX_PROMPT_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_PROMPT_BYTES {
        return Err(io::Error::other(format!("it is longer than {MAX_PROMPT_BYTES} bytes")));
    }
    Ok(text)
}
