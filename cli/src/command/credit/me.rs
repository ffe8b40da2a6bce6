//! `neuro credit me`: this worker's own line.

use clap::Args as ClapArgs;
use neuro_protocol::control::{CreditReply, OwnCredit, credit_request};
use serde_json::json;

use super::{connection, table};
use crate::args::GlobalArgs;
use crate::failure::CommandResult;
use crate::output::Output;
use crate::runtime;

/// Options of `neuro credit me`.
#[derive(Debug, ClapArgs)]
pub struct MeArgs {}

/// Prints what the node of the data folder earned at the orchestrator that it works for.
///
/// # Errors
/// When the orchestrator is not reachable, refuses, or its store does not answer.
pub fn run(global: &GlobalArgs, output: Output) -> CommandResult {
    let about = credit_request::About::Own(OwnCredit {});
    let reply = runtime::tokio()?.block_on(connection::ask(global, about, 1))?;
    if output.json {
        return output.object(&json!({"team": reply.own_team, "credit": reply.workers.first()}));
    }
    show(&reply, output)
}

fn show(reply: &CreditReply, output: Output) -> CommandResult {
    match reply.workers.first() {
        Some(line) => {
            output.line(format!("credit   {}", table::units(line.total_micro_units)))?;
            output.line(format!("a day    {}", table::units(line.recent_micro_units_per_day)))?;
            output.line(format!("place    {}", line.place))?;
            output.line(format!("badges   {}", line.badges.join(", ")).trim_end())?;
        }
        None => output.line("credit   0")?,
    }
    output.line(format!("team     {}", reply.own_team.as_deref().unwrap_or("none")))
}
