//! `neuro fl model`: what rounds begin with, and what they end with, as checkpoints.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use neuro_fl_aggregator::layout::Pattern;
use serde_json::json;

use super::built_in::moe;
use super::task_history;
use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style};

/// What can be done with a task's model.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Write the low-rank adapters that a task begins with
    Adapters(AdaptersArgs),
    /// Write a checkpoint with the weights that a round ended with
    Apply(ApplyArgs),
}

/// Options of `neuro fl model adapters`.
#[derive(Debug, ClapArgs)]
pub struct AdaptersArgs {
    /// The model that participants have
    #[arg(long, value_name = "PATH")]
    pub model: PathBuf,
    /// Names of projections with `*`, for example '*.q_proj.weight' (repeatable)
    #[arg(long, required = true, value_name = "PATTERN", value_parser = pattern)]
    pub projections: Vec<Pattern>,
    /// Rows of the first and columns of the second matrix of each
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub rank: usize,
    /// What the first matrices are drawn from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The safetensors file to write, for `model.weights` of the plan
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Options of `neuro fl model apply`.
#[derive(Debug, ClapArgs)]
pub struct ApplyArgs {
    /// The model that participants have
    #[arg(long, value_name = "PATH")]
    pub model: PathBuf,
    /// The round; without it, the last that moved the weights
    #[arg(long, value_name = "N")]
    pub round: Option<u64>,
    /// The task's name, if there are several
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// `lora_alpha` of the plan's training section; without it, the adapters' rank
    #[arg(long, value_name = "ALPHA")]
    pub lora_alpha: Option<f32>,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When the model and the weights do not belong together, or nothing can be written.
pub fn run(global: &GlobalArgs, command: &ModelCommand, output: Output) -> CommandResult {
    match command {
        ModelCommand::Adapters(args) => adapters(args, output),
        ModelCommand::Apply(args) => apply(global, args, output),
    }
}

fn adapters(args: &AdaptersArgs, output: Output) -> CommandResult {
    let (projections, file) = moe::adapters(&args.model, &args.projections, args.rank, args.seed)?;
    let wrong = |error| Failure::message(Outcome::Failed, format!("cannot write {}: {error}", args.out.display()));
    std::fs::write(&args.out, file).map_err(wrong)?;
    if output.json {
        return output.object(&json!({ "projections": projections, "rank": args.rank, "file": args.out }));
    }
    output.line(format!("adapters of rank {} beside {projections} projections", args.rank))
}

fn apply(global: &GlobalArgs, args: &ApplyArgs, output: Output) -> CommandResult {
    let (weights, round) = task_history::weights(global, args.task.as_deref(), args.round)?;
    let values = moe::apply(&args.model, &weights, args.lora_alpha, &args.out)?;
    if output.json {
        return output.object(&json!({ "round": round, "values": values, "folder": args.out }));
    }
    output.line(format!("{values} values of round {round} applied"))?;
    let ask = format!("neuro up --model {} --ask \"…\"", args.out.display());
    output.line(format!("ask  {}", output.paint(Style::Copy, &ask)))
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|error| error.to_string())
}
