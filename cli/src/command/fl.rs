//! `neuro fl`: federated learning whose aggregator learns only the sum.

mod connection;
mod invite;
mod join;
mod round;
mod serve;
mod show;
mod simulate;
mod status;

use clap::Subcommand;

use crate::args::GlobalArgs;
use crate::failure::CommandResult;
use crate::output::Output;

/// What federated learning can be told.
#[derive(Debug, Subcommand)]
pub enum FlCommand {
    /// Run a task's aggregator until Ctrl-C
    Serve(serve::ServeArgs),
    /// Let nodes into a task, or take them off its roster
    Invite(invite::InviteArgs),
    /// Take part in a task with a trainer of your own
    Join(join::JoinArgs),
    /// Start, stop and list rounds
    #[command(subcommand)]
    Round(round::RoundCommand),
    /// Show the running round: phase, who reported, stragglers, bytes
    Status(status::StatusArgs),
    /// Explain a finished round
    Show(show::ShowArgs),
    /// Run a round with all its participants in this process, from a seed
    Simulate(simulate::SimulateArgs),
}

/// Runs the command.
///
/// # Errors
/// Whatever the command reports.
pub fn run(global: &GlobalArgs, command: &FlCommand, output: Output) -> CommandResult {
    match command {
        FlCommand::Serve(args) => serve::run(global, args, output),
        FlCommand::Invite(args) => invite::run(global, args, output),
        FlCommand::Join(args) => join::run(global, args, output),
        FlCommand::Round(command) => round::run(global, command, output),
        FlCommand::Status(args) => status::run(global, args, output),
        FlCommand::Show(args) => show::run(global, args, output),
        FlCommand::Simulate(args) => simulate::run(global, args, output),
    }
}
