//! `neuro fl join`: a participant.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args as ClapArgs;
use neuro_node::participant_role::trainer::TrainerCommand;
use neuro_node::participant_role::{JoinError, JoinOptions, Noise, ParticipantEvent, RoundOffer, join_task};
use serde_json::json;

use super::built_in;
use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style, bytes};
use crate::runtime;

/// Options of `neuro fl join`.
#[derive(Debug, ClapArgs)]
pub struct JoinArgs {
    /// The invitation, or the name of a task that was joined before
    #[arg(value_name = "INVITATION")]
    pub task: String,
    /// The command that trains, on this machine, with its arguments after `--`
    #[arg(long, value_name = "CMD", required_unless_present = "model", conflicts_with = "model")]
    pub trainer: Option<PathBuf>,
    /// Arguments of the trainer
    #[arg(last = true, value_name = "ARGS", requires = "trainer")]
    pub trainer_arguments: Vec<OsString>,
    /// Your examples and the model that the built-in trainer trains with them
    #[command(flatten)]
    pub built_in: built_in::BuiltInArgs,
    /// Address space that the trainer may use, in MiB; without it, no bound
    #[arg(long, value_name = "MIB")]
    pub trainer_memory: Option<u64>,
    /// What this machine can do, in the task's own unit, where rounds are called by capability
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub capability: u64,
    /// File with your floors; without it, floors.toml in the task's folder, or the defaults
    #[arg(long, value_name = "FILE")]
    pub floors: Option<PathBuf>,
    /// Join only rounds whose dealers publish commitments, which shares are checked against when they arrive
    #[arg(long)]
    pub verify_on_receipt: bool,
    /// Name shown to the aggregator
    #[arg(long, default_value = "", value_name = "NAME")]
    pub name: String,
    /// Leave after so many rounds
    #[arg(long, value_name = "N")]
    pub rounds: Option<u64>,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub stop_with_parent: bool,
}

/// Takes part until Ctrl-C, or until enough rounds are over.
///
/// # Errors
/// When the invitation or this node is refused, or the aggregator was never reached.
pub fn run(global: &GlobalArgs, args: &JoinArgs, output: Output) -> CommandResult {
    let options = JoinOptions {
        data_dir: runtime::data_dir(global)?,
        task: args.task.clone(),
        name: args.name.clone(),
        trainer: args.trainer()?,
        trainer_memory_bytes: args.trainer_memory.map(|mebibytes| mebibytes << 20),
        capability: args.capability,
        floors: args.floors.clone(),
        verify_on_receipt: args.verify_on_receipt,
        rounds: args.rounds,
    };
    let report = Arc::new(move |event: ParticipantEvent| drop(show(&event, output)));
    runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(args.stop_with_parent)?;
        join_task(options, report, stop).await.map_err(failure)
    })
}

impl JoinArgs {
    /// The command that was typed, or this program as a trainer.
    fn trainer(&self) -> Result<TrainerCommand, Failure> {
        match &self.trainer {
            Some(program) => Ok(TrainerCommand { program: program.clone(), arguments: self.trainer_arguments.clone() }),
            None => self.built_in.trainer(),
        }
    }
}

fn failure(error: JoinError) -> Failure {
    let outcome = match &error {
        JoinError::Connect(_) => Outcome::Unreachable,
        error if error.is_refusal() => Outcome::Refused,
        _ => Outcome::Failed,
    };
    let hint = error.hint();
    let failure = Failure::new(outcome, error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn show(event: &ParticipantEvent, output: Output) -> CommandResult {
    if output.json {
        return output.object(&as_json(event));
    }
    match event {
        ParticipantEvent::Attending { task } => {
            output.line(format!("taking part in {}", output.paint(Style::Strong, task)))
        }
        ParticipantEvent::Offered(offer) => show_offer(offer, output),
        ParticipantEvent::Refused { round, reason } => said(output, *round, "not joined", reason),
        ParticipantEvent::Joined { round } => output.line(format!("round {round}: joined")),
        ParticipantEvent::Resumed { round } => output.line(format!("round {round}: taken up again")),
        ParticipantEvent::Trained { round, loss, weight } => {
            let loss = loss.map(|loss| format!(", loss {loss:.4}")).unwrap_or_default();
            output.line(format!("round {round}: trained, weight {weight}{loss}"))
        }
        ParticipantEvent::Masked { round, bytes: count } => {
            output.line(format!("round {round}: masked, {}", bytes(*count)))
        }
        ParticipantEvent::Uploaded { round, bytes: count } => {
            output.line(format!("round {round}: uploaded, {}", bytes(*count)))
        }
        ParticipantEvent::GaveUp { round, reason } => said(output, *round, "given up", reason),
        ParticipantEvent::Ended { round, done: true, reason } => {
            output.line(format!("round {round}: {}", output.paint(Style::Good, reason)))
        }
        ParticipantEvent::Ended { round, reason, .. } => said(output, *round, "ended", reason),
        ParticipantEvent::Lost { reason, retry } => {
            let seconds = retry.as_secs_f32();
            eprintln!("{} {reason}; trying again in {seconds:.1} s", output.paint(Style::Error, "lost:"));
            Ok(())
        }
    }
}

/// What a round asks for and promises, before it is joined.
fn show_offer(offer: &RoundOffer, output: Output) -> CommandResult {
    output.line(format!(
        "round {}: {} of {} to {} members; up to {:.0} % may be corrupt and {:.0} % drop out; the aggregator learns only \
         sums over at least {:.0} % of those who take part; {}",
        offer.round,
        offer.strategy,
        offer.least_members,
        offer.most_members.min(u16::try_from(offer.rostered).unwrap_or(u16::MAX)),
        100.0 * offer.corrupt,
        100.0 * offer.dropout,
        100.0 * offer.alpha,
        promise(offer),
    ))
}

/// What the noise promises, and what it costs.
fn promise(offer: &RoundOffer) -> String {
    let by = match offer.noise {
        Noise::None => return "no noise is added".into(),
        Noise::Participants => "every participant adds noise",
        Noise::Aggregator => "the aggregator, who is trusted, adds noise",
    };
    let (epsilon, after) = (offer.epsilon, offer.epsilon_after);
    format!("{by}: this round costs ε {epsilon:.3} at δ {:.0e}, {after:.3} over the task", offer.delta)
}

fn said(output: Output, round: u64, what: &str, reason: &str) -> CommandResult {
    output.line(format!("round {round}: {}: {reason}", output.paint(Style::Error, what)))
}

fn as_json(event: &ParticipantEvent) -> serde_json::Value {
    match event {
        ParticipantEvent::Attending { task } => json!({"event": "attending", "task": task}),
        ParticipantEvent::Offered(offer) => json!({
            "event": "offered", "round": offer.round, "rostered": offer.rostered,
            "least_members": offer.least_members, "most_members": offer.most_members, "corrupt": offer.corrupt,
            "dropout": offer.dropout, "alpha": offer.alpha, "strategy": offer.strategy, "entries": offer.entries,
            "cohort": offer.cohort, "cohorts": offer.cohorts, "evaluates": offer.evaluates, "delta": offer.delta,
            "epsilon": offer.epsilon, "epsilon_after": offer.epsilon_after,
        }),
        ParticipantEvent::Refused { round, reason } => json!({"event": "refused", "round": round, "reason": reason}),
        ParticipantEvent::Joined { round } => json!({"event": "joined", "round": round}),
        ParticipantEvent::Resumed { round } => json!({"event": "resumed", "round": round}),
        ParticipantEvent::Trained { round, loss, weight } => {
            json!({"event": "trained", "round": round, "loss": loss, "weight": weight})
        }
        ParticipantEvent::Masked { round, bytes } => json!({"event": "masked", "round": round, "bytes": bytes}),
        ParticipantEvent::Uploaded { round, bytes } => json!({"event": "uploaded", "round": round, "bytes": bytes}),
        ParticipantEvent::GaveUp { round, reason } => json!({"event": "gave_up", "round": round, "reason": reason}),
        ParticipantEvent::Ended { round, done, reason } => {
            json!({"event": "ended", "round": round, "done": done, "reason": reason})
        }
        ParticipantEvent::Lost { reason, retry } => {
            let retry_ms = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
            json!({"event": "lost", "reason": reason, "retry_ms": retry_ms})
        }
    }
}
