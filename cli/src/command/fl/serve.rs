//! `neuro fl serve`: a task's aggregator.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args as ClapArgs;
use neuro_node::aggregator_role::enrolment::EnrolError;
use neuro_node::aggregator_role::history::EndedRound;
use neuro_node::aggregator_role::{AggregatorError, AggregatorEvent, AggregatorOptions, serve_aggregator};
use neuro_primitives::NodeId;
use serde_json::json;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style, bytes};
use crate::runtime;

/// Options of `neuro fl serve`.
#[derive(Debug, ClapArgs)]
pub struct ServeArgs {
    /// The task's plan
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:11714", value_name = "HOST:PORT")]
    pub listen: String,
    /// Address that participants reach it by, if another (repeatable)
    #[arg(long, value_name = "HOST:PORT")]
    pub public: Vec<String>,
    /// Start a round by itself when so many members attend
    #[arg(long, value_name = "N")]
    pub start_at: Option<usize>,
    /// Batches that new members are spread over
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub batches: u16,
    /// The model owner's node id, if the owner's key is on another machine
    #[arg(long, value_name = "NODE", value_parser = super::invite::node)]
    pub owner: Option<NodeId>,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub stop_with_parent: bool,
}

/// Runs until Ctrl-C.
///
/// # Errors
/// When the plan, the weights, the roster or the address cannot be used.
pub fn run(global: &GlobalArgs, args: &ServeArgs, output: Output) -> CommandResult {
    let options = AggregatorOptions {
        data_dir: runtime::data_dir(global)?,
        plan: args.config.clone(),
        listen: args.listen.clone(),
        public: args.public.clone(),
        start_at: args.start_at,
        batches: args.batches,
        owner: args.owner,
    };
    let report = Arc::new(move |event: AggregatorEvent| drop(show(&event, output)));
    runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(args.stop_with_parent)?;
        serve_aggregator(options, report, stop).await.map_err(failure)
    })
}

/// A roster has to come from the owner's machine first.
fn failure(error: AggregatorError) -> Failure {
    match &error {
        AggregatorError::Roster(EnrolError::NoRoster { task_file }) => {
            let hint = format!(
                "send {} to the owner, who runs: neuro fl invite --task-file task.json --roster-out roster; bring the \
                 roster back and run: neuro fl roster take roster",
                task_file.display()
            );
            Failure::new(Outcome::Failed, error).hint(hint)
        }
        _ => error.into(),
    }
}

fn show(event: &AggregatorEvent, output: Output) -> CommandResult {
    if output.json {
        return output.object(&as_json(event));
    }
    match event {
        AggregatorEvent::Ready { task, address, rostered, .. } => {
            output.line(format!("task       {}", output.paint(Style::Strong, task)))?;
            output.line(format!("listening  {address}"))?;
            output.line(format!("roster     {rostered} members"))?;
            output.line(format!("invite     {}", output.paint(Style::Copy, "neuro fl invite --uses 10")))
        }
        AggregatorEvent::Began { round, rostered } => {
            output.line(format!("round {round} began: {rostered} members are called"))
        }
        AggregatorEvent::Resumed { round } => output.line(format!("round {round} goes on where it was")),
        AggregatorEvent::Ended(round) => show_end(round, output),
        AggregatorEvent::TaskEnded { reason } => output.line(format!("no further round by itself: {reason}")),
    }
}

fn show_end(round: &EndedRound, output: Output) -> CommandResult {
    let style = if round.done { Style::Good } else { Style::Error };
    output.line(format!(
        "round {} ended after {:.1} s: {}; {} of {} members, {}",
        round.number,
        round.took_ms as f64 / 1e3,
        output.paint(style, &round.outcome),
        round.survivors,
        round.members,
        bytes(round.payload_bytes),
    ))
}

fn as_json(event: &AggregatorEvent) -> serde_json::Value {
    match event {
        AggregatorEvent::Ready { task, address, node, rostered } => json!({
            "event": "ready", "task": task, "address": address, "node": node.to_string(), "rostered": rostered,
        }),
        AggregatorEvent::Began { round, rostered } => json!({"event": "began", "round": round, "rostered": rostered}),
        AggregatorEvent::Resumed { round } => json!({"event": "resumed", "round": round}),
        AggregatorEvent::Ended(round) => json!({"event": "ended", "round": round}),
        AggregatorEvent::TaskEnded { reason } => json!({"event": "task_ended", "reason": reason}),
    }
}
