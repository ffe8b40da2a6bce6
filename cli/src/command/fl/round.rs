//! `neuro fl round`: start, stop and list rounds of the aggregator on the same data folder.

use clap::{Args as ClapArgs, Subcommand};
use neuro_protocol::federated::RoundLine;
use serde_json::json;

use super::connection::{own_aggregator, snapshot};
use super::status;
use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;
use crate::runtime;

/// What can be done with rounds.
#[derive(Debug, Subcommand)]
pub enum RoundCommand {
    /// Start a round now
    Start,
    /// End the running round without a result
    Stop,
    /// List all rounds
    List,
    /// Show one round
    Show(ShowArgs),
}

/// Options of `neuro fl round show`.
#[derive(Debug, ClapArgs)]
pub struct ShowArgs {
    /// Its number
    #[arg(value_name = "ROUND")]
    pub round: u64,
}

/// Runs the command.
///
/// # Errors
/// When no aggregator runs here, or it refuses.
pub fn run(global: &GlobalArgs, command: &RoundCommand, output: Output) -> CommandResult {
    runtime::tokio()?.block_on(async {
        match command {
            RoundCommand::Start => {
                let round = own_aggregator(global).await?.start_round().await.map_err(Failure::refused)?.round;
                said(output, "started", round)
            }
            RoundCommand::Stop => {
                let round = own_aggregator(global).await?.stop_round().await.map_err(Failure::refused)?.round;
                let none = || Failure::message(Outcome::Failed, "no round is running").hint("neuro fl round start");
                if round == 0 { Err(none()) } else { said(output, "stopped", round) }
            }
            RoundCommand::List => list(&snapshot(global, 0).await?.history, output),
            RoundCommand::Show(args) => status::show(&snapshot(global, args.round).await?, output),
        }
    })
}

fn said(output: Output, what: &str, round: u64) -> CommandResult {
    if output.json {
        return output.object(&json!({ "round": round, "outcome": what }));
    }
    output.line(format!("round {round} {what}"))
}

fn list(rounds: &[RoundLine], output: Output) -> CommandResult {
    if output.json {
        return output.object(&rounds);
    }
    let rows: Vec<Vec<String>> = rounds.iter().map(row).collect();
    output.line(output.table(&["round", "took s", "members", "weight", "outcome"], &rows))
}

fn row(round: &RoundLine) -> Vec<String> {
    vec![
        round.number.to_string(),
        round.took_ms.map_or_else(|| "-".into(), |ms| format!("{:.1}", ms as f64 / 1e3)),
        round.survivors.to_string(),
        round.weight.to_string(),
        round.outcome.clone().unwrap_or_else(|| "running".into()),
    ]
}
