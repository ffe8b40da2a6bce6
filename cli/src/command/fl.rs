//! `neuro fl`: federated learning whose aggregator learns only the sum.

mod built_in;
mod connection;
mod curves;
mod export;
mod invite;
mod join;
mod model;
mod roster;
mod round;
mod serve;
mod show;
mod simulate;
mod status;
mod task_history;

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
    /// The roster between the owner's machine and the aggregator's, where these are two
    #[command(subcommand)]
    Roster(roster::RosterCommand),
    /// Take part in a task, with a trainer of your own or the built-in one
    Join(join::JoinArgs),
    /// Start, stop and list rounds
    #[command(subcommand)]
    Round(round::RoundCommand),
    /// Show the running round: phase, who reported, stragglers, bytes
    Status(status::StatusArgs),
    /// Explain a finished round
    Show(show::ShowArgs),
    /// Draw a task's metrics over its rounds
    Curves(curves::CurvesArgs),
    /// Write a task's metrics for other programs
    Export(export::ExportArgs),
    /// From a checkpoint to what rounds begin with, and from a round to a checkpoint
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Try a plan, or a round of the protocol, with all participants in this process, from a seed
    Simulate(simulate::SimulateArgs),
    /// Train in the folder of a round, by the trainer's contract
    #[command(hide = true)]
    Train(built_in::TrainArgs),
}

/// Runs the command.
///
/// # Errors
/// Whatever the command reports.
pub fn run(global: &GlobalArgs, command: &FlCommand, output: Output) -> CommandResult {
    match command {
        FlCommand::Serve(args) => serve::run(global, args, output),
        FlCommand::Invite(args) => invite::run(global, args, output),
        FlCommand::Roster(command) => roster::run(global, command, output),
        FlCommand::Join(args) => join::run(global, args, output),
        FlCommand::Round(command) => round::run(global, command, output),
        FlCommand::Status(args) => status::run(global, args, output),
        FlCommand::Show(args) => show::run(global, args, output),
        FlCommand::Curves(args) => curves::run(global, args, output),
        FlCommand::Export(args) => export::run(global, args, output),
        FlCommand::Model(command) => model::run(global, command, output),
        FlCommand::Simulate(args) => simulate::run(global, args, output),
        FlCommand::Train(args) => built_in::run(args, output),
    }
}
