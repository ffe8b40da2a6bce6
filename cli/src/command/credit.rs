//! `neuro credit`: who earned what, and in which team.

mod connection;
mod me;
mod table;
mod team;
mod top;

use clap::Subcommand;

use crate::args::GlobalArgs;
use crate::failure::CommandResult;
use crate::output::Output;

/// What can be asked about credit.
#[derive(Debug, Subcommand)]
pub enum CreditCommand {
    /// The workers and teams that earned most
    Top(top::TopArgs),
    /// What this worker earned
    Me(me::MeArgs),
    /// Show a team, join one or leave it
    Team(team::TeamArgs),
}

/// Runs the command.
///
/// # Errors
/// When the orchestrator is not reachable, refuses, or its store does not answer.
pub fn run(global: &GlobalArgs, command: &CreditCommand, output: Output) -> CommandResult {
    match command {
        CreditCommand::Top(args) => top::run(global, args, output),
        CreditCommand::Me(_) => me::run(global, output),
        CreditCommand::Team(args) => team::run(global, args, output),
    }
}
