//! `neuro smpc estimate`: what a question will take, before anybody is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args as ClapArgs;
use neuro_model::Checkpoint;
use neuro_node::smpc_role::agreement::Lengths;
use neuro_node::smpc_role::blocks::BlockProgram;
use neuro_node::smpc_role::estimate::{Effort, Estimate, TurnEffort, estimate};
use neuro_node::smpc_role::model::{ClientModel, ModelFacts};
use neuro_node::smpc_role::program::ProgramMaker;
use neuro_node::smpc_role::secret_weights::{SecretBlockProgram, is_secret};
use neuro_smpc::computation::Security;
use neuro_smpc::memory::NetworkModel;
use serde_json::json;

use super::ask::DEFAULT_MAX_TOKENS;
use super::prompts::Prompts;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, bytes};
use crate::progress;

/// Options of `neuro smpc estimate`.
#[derive(Debug, ClapArgs)]
pub struct EstimateArgs {
    /// The question; several are answered together, in the rounds of one
    #[arg(value_name = "TEXT", required = true, num_args = 1..=64)]
    pub texts: Vec<String>,
    /// The model, or the public folder of a private one
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Tokens after which the longest answer ends, its end counted; all of --max-tokens if not said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tokens: Option<u32>,
    /// The most tokens, as in `ask`
    #[arg(long, default_value_t = DEFAULT_MAX_TOKENS, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: u32,
    /// Round trip between any two of parties and client
    #[arg(long, default_value_t = 50.0, value_name = "MS", value_parser = milliseconds)]
    pub round_trip: f64,
    /// What each of their links carries, in megabits a second
    #[arg(long, default_value_t = 1_000, value_name = "MBIT", value_parser = clap::value_parser!(u64).range(1..))]
    pub bandwidth: u64,
    /// As in `ask`
    #[arg(long)]
    pub semi_honest: bool,
}

fn milliseconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (0.0..=60_000.0).contains(&value) { Ok(value) } else { Err("expected 0 to 60000".to_owned()) }
}

/// Plays the session here and prints what it took.
///
/// # Errors
/// A model that cannot be read, or texts that are too long for it.
pub fn run(args: &EstimateArgs, output: Output) -> CommandResult {
    let model = ClientModel::load(&args.model)?;
    let prompts = Prompts::of(&model, &args.texts)?;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (rows, tokens) = (count(prompts.longest()), args.max_tokens.min(count(model.facts().context)));
    let lengths = Lengths { prompts: count(prompts.count()), rows, answered: 0, tokens }.padded();
    let program = program(&args.model)?;
    let security = if args.semi_honest { Security::SemiHonest } else { Security::Malicious };
    let network = NetworkModel {
        delay: Duration::from_secs_f64(args.round_trip / 2_000.0),
        bytes_per_second: Some(args.bandwidth * 125_000),
        ..NetworkModel::NEAR
    };
    let wait = progress::wait("playing the three parties here");
    let estimate = estimate(program.as_ref(), lengths, args.tokens.unwrap_or(args.max_tokens), security, network)
        .map_err(|error| Failure::new(Outcome::Refused, error));
    wait.finish_and_clear();
    let estimate = estimate?;
    if output.json {
        return output.object(&as_json(&estimate, &lengths));
    }
    show(&estimate, output)?;
    let (round_trip, bandwidth) = (args.round_trip, args.bandwidth);
    output.line(format!("\nAt {round_trip} ms and {bandwidth} Mbit/s, by parties as fast as this machine. {lengths}."))
}

/// What parties of the model at `path` run; of a private one, the public part says enough.
fn program(path: &Path) -> Result<Box<dyn ProgramMaker>, Failure> {
    if is_secret(path) {
        let program = SecretBlockProgram::rehearsal(path).map_err(|error| Failure::new(Outcome::Refused, error))?;
        return Ok(Box::new(program));
    }
    let checkpoint = Checkpoint::open(path)?;
    Ok(Box::new(BlockProgram::load(&checkpoint, ModelFacts::of(&checkpoint)?)?))
}

fn show(estimate: &Estimate, output: Output) -> CommandResult {
    output.line(format!("{:24}{:>10}{:>12}{:>12}", "", "rounds", "bytes", "time"))?;
    let line = |what: &str, effort: &Effort| {
        let time = format!("{:.2} s", effort.time.as_secs_f64());
        output.line(format!("{what:24}{:>10}{:>12}{time:>12}", effort.rounds, bytes(effort.bytes)))
    };
    line("connecting, terms, seeds", &estimate.setting_up)?;
    line("prompt", &estimate.turns[0].all)?;
    line("  of it masks", &estimate.turns[0].masks)?;
    let tokens = estimate.tokens();
    line(&format!("{} tokens more", estimate.turns.len() - 1), &tokens.all)?;
    line("  of it masks", &tokens.masks)?;
    line("together", &estimate.total())
}

fn as_json(estimate: &Estimate, lengths: &Lengths) -> serde_json::Value {
    let effort =
        |effort: &Effort| json!({"rounds": effort.rounds, "bytes": effort.bytes, "seconds": effort.time.as_secs_f64()});
    let turn = |turn: &TurnEffort| json!({"masks": effort(&turn.masks), "all": effort(&turn.all)});
    json!({
        "prompts": lengths.prompts,
        "rows": lengths.rows,
        "tokens": lengths.tokens,
        "setting_up": effort(&estimate.setting_up),
        "turns": estimate.turns.iter().map(turn).collect::<Vec<_>>(),
        "total": effort(&estimate.total()),
    })
}
