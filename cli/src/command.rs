//! One file per command.

pub mod ask;
pub mod bench;
pub mod chat;
pub mod completions;
pub mod credit;
pub mod dashboard;
pub mod fl;
pub mod model;
pub mod serve;
pub mod smpc;
pub mod up;
pub mod worker;

use crate::args::{Args, Command};
use crate::failure::CommandResult;
use crate::output::Output;

/// Runs the command that was typed.
///
/// # Errors
/// Whatever the command reports.
pub fn run(args: Args, output: Output) -> CommandResult {
    let global = args.global;
    match args.command {
        Command::Up(command) => up::run(&global, &command, output),
        Command::Ask(command) => ask::run(&global, &command, output),
        Command::Chat(command) => chat::run(&global, &command, output),
        Command::Serve(command) => serve::run(&global, &command, output),
        Command::Worker(command) => worker::run(&global, &command, output),
        Command::Credit(command) => credit::run(&global, &command, output),
        Command::Model(command) => model::run(&global, &command, output),
        Command::Dashboard(command) => dashboard::run(&global, &command, output),
        Command::Fl(command) => fl::run(&global, &command, output),
        Command::Smpc(command) => smpc::run(&global, &command, output),
        Command::Bench(command) => bench::run(&global, &command, output),
        Command::Completions(command) => completions::run(&command),
    }
}
