//! `neuro model`: looks into checkpoints, marks them, and writes them in other forms.

mod eval;
mod inspect;
mod logits;
mod quantize;
pub mod questions;
mod split;

use clap::Subcommand;

use crate::args::GlobalArgs;
use crate::failure::CommandResult;
use crate::output::Output;

/// What can be done with a checkpoint.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Show its architecture, sizes and experts
    Inspect(inspect::InspectArgs),
    /// Print the logits of the last position for given token ids
    Logits(logits::LogitsArgs),
    /// Answer its questions (test.jsonl) and count the right ones per skill
    Eval(eval::EvalArgs),
    /// Write it as a GGUF file with weights of another type
    Quantize(quantize::QuantizeArgs),
    /// Write it as several GGUF files with whole layers of experts, and a manifest
    Split(split::SplitArgs),
}

/// Runs the command.
///
/// # Errors
/// Whatever the command reports.
pub fn run(_global: &GlobalArgs, command: &ModelCommand, output: Output) -> CommandResult {
    match command {
        ModelCommand::Inspect(args) => inspect::run(args, output),
        ModelCommand::Logits(args) => logits::run(args, output),
        ModelCommand::Eval(args) => eval::run(args, output),
        ModelCommand::Quantize(args) => quantize::run(args, output),
        ModelCommand::Split(args) => split::run(args, output),
    }
}
