//! `neuro model`: looks into checkpoints and marks them.

mod eval;
mod inspect;
mod logits;

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
    }
}
