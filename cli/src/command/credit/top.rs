//! `neuro credit top`: the leaderboard.

use clap::Args as ClapArgs;
use neuro_protocol::control::{TopCredit, credit_request};

use super::{connection, table};
use crate::args::GlobalArgs;
use crate::failure::CommandResult;
use crate::output::Output;
use crate::runtime;

/// Options of `neuro credit top`.
#[derive(Debug, ClapArgs)]
pub struct TopArgs {
    /// Lines of workers and of teams
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}

/// Prints workers and teams, those with the most credit first.
///
/// # Errors
/// When the orchestrator is not reachable, refuses, or its store does not answer.
pub fn run(global: &GlobalArgs, args: &TopArgs, output: Output) -> CommandResult {
    let about = credit_request::About::Top(TopCredit {});
    let reply = runtime::tokio()?.block_on(connection::ask(global, about, args.limit))?;
    if output.json {
        return output.object(&reply);
    }
    if reply.workers.is_empty() {
        return output.line("nobody has earned anything yet");
    }
    output.line(table::workers(output, &reply.workers))?;
    if reply.teams.is_empty() {
        return Ok(());
    }
    output.line("")?;
    output.line(table::teams(output, &reply.teams))
}
