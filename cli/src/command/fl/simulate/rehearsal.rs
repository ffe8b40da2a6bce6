//! `neuro fl simulate --config`: the rounds of a plan with trainers, before anybody is invited.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use neuro_fl_aggregator::checkpoint::{RoundKind, RoundRecord};
use neuro_fl_aggregator::report::{Curve, curves};
use neuro_node::participant_role::trainer::TrainerCommand;
use neuro_node::rehearsal::{RehearsalError, RehearsalEvent, RehearsalOptions, Rehearsed, rehearse};
use neuro_primitives::Hash;
use serde_json::{Map, Value, json};

use super::super::built_in::BuiltInArgs;
use super::super::curves::draw;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style};
use crate::runtime;

/// Stands for a participant's number in arguments and names of files.
const NUMBER: &str = "{}";

/// Rows of a plot.
const HEIGHT: usize = 10;

/// Options of a rehearsal.
#[derive(Debug, ClapArgs)]
pub struct RehearsalArgs {
    /// The plan whose rounds are held, as `neuro fl serve` takes it; it needs a trainer
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "cohorts", "entries", "corrupt", "dropout", "losses", "restart_participants", "restart_aggregator",
        "verify_on_receipt", "generator",
    ])]
    pub config: Option<PathBuf>,
    /// The command that trains, with its arguments after `--`; {} in them is the participant's number, from 0
    #[arg(long, value_name = "CMD", requires = "config", conflicts_with = "model")]
    pub trainer: Option<PathBuf>,
    /// Arguments of the trainer
    #[arg(last = true, value_name = "ARGS", requires = "trainer")]
    pub trainer_arguments: Vec<OsString>,
    /// The model and the examples: {} in a file's name is the participant's number; without it lines are dealt in turn
    #[command(flatten)]
    pub built_in: BuiltInArgs,
    /// Batches that participants are dealt to; without it, as many as the plan speaks of
    #[arg(long, value_name = "N", requires = "config", value_parser = clap::value_parser!(u16).range(1..))]
    pub batches: Option<u16>,
    /// File for the weights after the last round
    #[arg(long, value_name = "FILE", requires = "config")]
    pub out: Option<PathBuf>,
}

/// Holds the rounds of `plan`.
///
/// # Errors
/// When plan, weights, model or examples make no task, and when the task ends for another reason than that it is done.
pub fn run(args: &RehearsalArgs, plan: &Path, participants: u32, seed: u64, output: Output) -> CommandResult {
    let folder = tempfile::tempdir()?;
    let trainers = (0..participants).map(|number| args.trainer_of(number, participants, folder.path()));
    let options = RehearsalOptions {
        plan: plan.to_owned(),
        trainers: trainers.collect::<Result<_, _>>()?,
        trainer_memory_bytes: None,
        batches: args.batches,
        seed,
        folder: folder.path().join("work"),
        at_a_time: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let mut report = |event: RehearsalEvent| drop(show(&event, output));
    let rehearsed = runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(false)?;
        rehearse(&options, &mut report, &stop).await.map_err(failure)
    })?;
    if let Some(out) = &args.out {
        fs::write(out, &rehearsed.weights).with_context(|| format!("cannot write {}", out.display()))?;
    }
    conclude(&rehearsed, output)
}

impl RehearsalArgs {
    /// The trainer of participant `number`.
    fn trainer_of(&self, number: u32, of: u32, folder: &Path) -> Result<TrainerCommand, Failure> {
        let Some(program) = &self.trainer else { return self.dealt(number, of, folder)?.trainer() };
        let arguments = self.trainer_arguments.iter().map(|argument| numbered(argument, number)).collect();
        Ok(TrainerCommand { program: program.clone(), arguments })
    }

    /// What the built-in trainer of participant `number` is told: its own file of examples, or its part of a common one.
    fn dealt(&self, number: u32, of: u32, folder: &Path) -> Result<BuiltInArgs, Failure> {
        let own = |path: &PathBuf| PathBuf::from(numbered(path.as_os_str(), number));
        let mut dealt = BuiltInArgs {
            examples: self.built_in.examples.as_ref().map(own),
            held_out: self.built_in.held_out.as_ref().map(own),
            ..self.built_in.clone()
        };
        let Some(common) = self.built_in.examples.as_ref().filter(|common| dealt.examples.as_ref() == Some(*common))
        else {
            return Ok(dealt);
        };
        let text = fs::read_to_string(common).with_context(|| format!("cannot read {}", common.display()))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty()).skip(number as usize).step_by(of as usize);
        let part = folder.join(format!("examples-{number}.jsonl"));
        fs::write(&part, lines.map(|line| format!("{line}\n")).collect::<String>())?;
        dealt.examples = Some(part);
        Ok(dealt)
    }
}

/// `argument` with the number in the place of `{}`. One that is not UTF-8 has none.
fn numbered(argument: &std::ffi::OsStr, number: u32) -> OsString {
    argument.to_str().map_or_else(|| argument.to_owned(), |text| text.replace(NUMBER, &number.to_string()).into())
}

fn failure(error: RehearsalError) -> Failure {
    let outcome = if error.is_input() { Outcome::Usage } else { Outcome::Failed };
    Failure::new(outcome, error)
}

/// What happens on the way; with `--json` the object at the end says it all.
fn show(event: &RehearsalEvent, output: Output) -> CommandResult {
    if output.json {
        return Ok(());
    }
    match event {
        RehearsalEvent::Trained { .. } => Ok(()),
        RehearsalEvent::BelowFloors { round, reason } => {
            let refused = output.paint(Style::Error, "participants with the default floors would not join");
            output.line(format!("round {round}: {refused}: {reason}"))
        }
        RehearsalEvent::Dropped { round, participant, reason } => {
            let dropped = output.paint(Style::Error, "drops out");
            output.line(format!("round {round}: participant {participant} {dropped}: {reason}"))
        }
        RehearsalEvent::Ended(record) => output.line(round_line(record)),
    }
}

/// One round in a line.
fn round_line(record: &RoundRecord) -> String {
    let (members, survivors) = record
        .cohorts
        .iter()
        .fold((0, 0), |(members, survivors), cohort| (members + cohort.members, survivors + cohort.survivors));
    let what = match record.kind {
        RoundKind::Train => "",
        RoundKind::Router => ", the router",
        RoundKind::Evaluate => ", measured",
    };
    let failed = record.cohorts.iter().filter_map(|cohort| Some((cohort, cohort.failure.as_ref()?)));
    let failed: String = failed.map(|(cohort, why)| format!("; {}: {why}", cohort.name)).collect();
    let metric = |(name, value): (&String, &f64)| format!(", {name} {value:.4}");
    let metrics: String = record.metrics.iter().map(metric).collect();
    format!("round {}{what}: {survivors} of {members} in the sum{metrics}{failed}", record.round)
}

/// The curves, and how it ended.
fn conclude(rehearsed: &Rehearsed, output: Output) -> CommandResult {
    let curves: Vec<Curve> = curves(&rehearsed.rounds).into_iter().filter(is_of_use).collect();
    let model = Hash::of(&rehearsed.weights).to_string();
    if output.json {
        let drawn: Map<String, Value> = curves.into_iter().map(|curve| (curve.name, json!(curve.points))).collect();
        output.object(&json!({
            "task": rehearsed.task, "done": rehearsed.done, "end": rehearsed.end, "model": model, "curves": drawn,
            "rounds": rehearsed.rounds,
        }))?;
    } else {
        for curve in curves.iter().filter(|curve| !curve.name.starts_with("round/")) {
            output.line("")?;
            output.text(&draw(std::slice::from_ref(curve), HEIGHT))?;
        }
        output.line("")?;
        output.line(format!("{}; the weights' hash is {model}", rehearsed.end))?;
    }
    if rehearsed.done {
        return Ok(());
    }
    let text = format!("the task would end without a result: {}", rehearsed.end);
    Err(Failure::message(Outcome::Failed, text).hint("the plan's [cohort], the trainers' words above, or their number"))
}

/// Whether a curve says anything: no time passes in a rehearsal.
fn is_of_use(curve: &Curve) -> bool {
    curve.name != "round/seconds"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_and_files_carry_the_participants_number() {
        assert_eq!(numbered("--part={}/50".as_ref(), 7), "--part=7/50");
        assert_eq!(numbered("--epochs".as_ref(), 7), "--epochs");
    }

    #[test]
    fn lines_are_dealt_in_turn_and_files_of_ones_own_are_taken_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let common = folder.path().join("common.jsonl");
        fs::write(&common, "a\n\nb\nc\nd\ne\n").unwrap();
        let args = |examples: PathBuf| RehearsalArgs {
            config: None,
            trainer: None,
            trainer_arguments: Vec::new(),
            built_in: BuiltInArgs { model: None, examples: Some(examples), held_out: None },
            batches: None,
            out: None,
        };
        let examples = |of: PathBuf, number| args(of).dealt(number, 3, folder.path()).unwrap().examples.unwrap();
        let part = |number| fs::read_to_string(examples(common.clone(), number)).unwrap();
        assert_eq!([part(0), part(1), part(2)], ["a\nd\n", "b\ne\n", "c\n"]);
        assert_eq!(examples("of-{}.jsonl".into(), 2), PathBuf::from("of-2.jsonl"));
    }
}
