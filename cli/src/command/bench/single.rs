//! `neuro bench single`: one model in one fresh process. The other benchmarks start it, so that thread counts, load times
//! and peak memory are those of a process that did nothing else.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args as ClapArgs;
use neuro_inference::{GenerateRequest, SamplingParams};
use neuro_node::completer::{Caller, Completer, JobEvent};
use neuro_node::local::{LocalCompleter, LocalOptions};
use neuro_node::os::memory;
use serde::{Deserialize, Serialize};

use super::rate_of;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;
use crate::runtime;

/// Options of `neuro bench single`.
#[derive(Debug, Clone, ClapArgs)]
pub struct SingleArgs {
    /// A Hugging Face folder or a GGUF file
    #[arg(long, value_name = "PATH")]
    pub model: PathBuf,
    /// Compute threads
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Lengths of the prompts to measure, in tokens
    #[arg(long, value_delimiter = ',', value_name = "TOKENS")]
    pub prompts: Vec<usize>,
    /// Tokens to decode after each prompt
    #[arg(long, default_value_t = 48)]
    pub tokens: usize,
    /// How often each prompt is measured; the median counts
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,
}

/// What one process showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SingleReport {
    /// From the start of loading to the first token after a prompt of one.
    pub load_ms: f64,
    /// The prompts in the order they were asked for.
    pub prompts: Vec<PromptReport>,
    /// The most memory that the process held, mapped pages included (`VmHWM`).
    pub peak_bytes: Option<u64>,
}

/// One prompt length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptReport {
    /// Tokens of the prompt.
    pub tokens: usize,
    /// Prompt tokens per second, to the first token of the answer.
    pub prompt_per_second: f64,
    /// Tokens per second after that.
    pub decode_per_second: f64,
}

/// Measures and prints one JSON object.
///
/// # Errors
/// When the model cannot be loaded or run.
pub fn run(args: &SingleArgs, output: Output) -> CommandResult {
    neuro_expert_runtime::set_threads(args.threads).map_err(|error| Failure::message(Outcome::Failed, error))?;
    let report = runtime::tokio()?.block_on(measure(args))?;
    output.object(&report)
}

async fn measure(args: &SingleArgs) -> Result<SingleReport, Failure> {
    let started = Instant::now();
    let model = LocalCompleter::load(&args.model, LocalOptions::default(), &mut |_| {})?;
    decode(&model, 1, 1).await?;
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    decode(&model, 8, 8).await?;
    let mut prompts = Vec::new();
    for &tokens in &args.prompts {
        let mut runs = Vec::new();
        for _ in 0..args.repeat.max(1) {
            runs.push(decode(&model, tokens, args.tokens).await?);
        }
        prompts.push(PromptReport {
            tokens,
            prompt_per_second: median(runs.iter().map(|run| tokens as f64 / run.first_token_s)),
            decode_per_second: median(runs.iter().map(|run| run.per_second)),
        });
    }
    Ok(SingleReport { load_ms, prompts, peak_bytes: memory::peak_bytes() })
}

struct Run {
    first_token_s: f64,
    per_second: f64,
}

/// Runs a prompt of `prompt` ids and decodes `tokens` more, whatever they are.
async fn decode(model: &LocalCompleter, prompt: usize, tokens: usize) -> Result<Run, Failure> {
    let started = Instant::now();
    let mut job = model.submit(request(prompt, tokens), Caller::at("bench"))?;
    let mut arrivals = Vec::with_capacity(tokens);
    while let Some(event) = job.events.recv().await {
        match event {
            JobEvent::Token(_) => arrivals.push(Instant::now()),
            JobEvent::Done(_) => break,
            JobEvent::Failed { message, .. } => return Err(Failure::message(Outcome::Failed, message)),
        }
    }
    let first = arrivals.first().copied().unwrap_or(started);
    Ok(Run { first_token_s: (first - started).as_secs_f64(), per_second: rate_of(&arrivals) })
}

fn request(prompt: usize, tokens: usize) -> GenerateRequest {
    GenerateRequest {
        // Ids from 3 to 299: ordinary tokens in every vocabulary that is measured.
        prompt: (0..prompt as u32).map(|position| 3 + position * 89 % 297).collect(),
        max_tokens: tokens,
        sampling: SamplingParams { temperature: 0.0, top_p: 1.0, seed: 0, choice: 0, top_logprobs: None },
        stop: Vec::new(),
        stop_ids: Vec::new(),
        skip_special: true,
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([].into_iter()), 0.0);
    }

    #[test]
    fn prompts_have_the_length_that_is_measured() {
        let request = request(128, 4);
        assert_eq!((request.prompt.len(), request.max_tokens), (128, 4));
        assert!(request.prompt.iter().all(|id| (3..300).contains(id)));
    }
}
