//! `neuro fl simulate`: rounds with all their participants in this process, from a seed: one of the protocol, or with a plan
//! those of the plan, with trainers.

mod rehearsal;

use std::ops::RangeInclusive;

use clap::{Args as ClapArgs, ValueEnum};
use neuro_secagg::masks::Generator;
use neuro_simulation::{
    CohortReport, Commitments, Losses, NormalUpdates, Restarts, Simulation, SimulationPlan, SimulationReport,
};

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, bytes};
use crate::progress;

/// Options of `neuro fl simulate`.
#[derive(Debug, ClapArgs)]
pub struct SimulateArgs {
    /// Participants
    #[arg(long, default_value_t = 20)]
    pub participants: u32,
    /// Cohorts that they are dealt to; each has its own sum
    #[arg(long, default_value_t = 1)]
    pub cohorts: u16,
    /// Values of an update
    #[arg(long, default_value_t = 10_000)]
    pub entries: u32,
    /// What keys, updates and losses come from: the same seed gives the same bytes
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Percent of the listed members that may be corrupt
    #[arg(long, default_value_t = 10, value_name = "PERCENT", value_parser = percent())]
    pub corrupt: u16,
    /// Percent of a cohort that may drop out
    #[arg(long, default_value_t = 10, value_name = "PERCENT", value_parser = percent())]
    pub dropout: u16,
    /// Lose members of each cohort before a step, for example `upload=2`; may be repeated
    #[arg(long = "lose", value_name = "STEP=COUNT", value_parser = loss)]
    pub losses: Vec<(Step, u16)>,
    /// Let every participant start again from its record after every message
    #[arg(long)]
    pub restart_participants: bool,
    /// Let the aggregator start again from its journal in every phase
    #[arg(long)]
    pub restart_aggregator: bool,
    /// Let dealers commit to their shares, and holders check them when they arrive
    #[arg(long)]
    pub verify_on_receipt: bool,
    /// What masks are made of
    #[arg(long, value_enum, default_value_t = MaskGenerator::Aes128)]
    pub generator: MaskGenerator,
    /// Rounds of a plan instead
    #[command(flatten)]
    pub rehearsal: rehearsal::RehearsalArgs,
}

/// A step that a lost member does not take any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// Opening its nonce.
    Reveal,
    /// Dealing shares.
    Shares,
    /// Confirming those of others.
    Received,
    /// Uploading its vector.
    Upload,
    /// Voting for the set.
    Vote,
    /// Answering for it.
    Answer,
}

/// What masks are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MaskGenerator {
    /// AES-128 in counter mode.
    Aes128,
    /// ChaCha20.
    Chacha20,
}

/// Simulates the round, or the rounds of a plan.
///
/// # Errors
/// When the numbers cannot be, when the sum is not the plain sum, and when a cohort or the plan's task ends without a result.
pub fn run(_global: &GlobalArgs, args: &SimulateArgs, output: Output) -> CommandResult {
    if let Some(plan) = &args.rehearsal.config {
        return rehearsal::run(&args.rehearsal, plan, args.participants, args.seed, output);
    }
    if args.rehearsal.built_in.model.is_some() {
        return Err(Failure::message(
            Outcome::Usage,
            "expected --config with --model: a round of the protocol trains nothing",
        ));
    }
    let plan = args.plan();
    let bar = progress::items("simulating", args.cohorts.into());
    let updates = NormalUpdates::new(&plan, args.seed);
    let report = Simulation::run_with(&plan, args.seed, &updates, &mut |_| bar.inc(1));
    bar.finish_and_clear();
    let report = report.map_err(|error| match error {
        neuro_simulation::SimulationError::Plan(why) => Failure::new(Outcome::Usage, why),
        other => Failure::new(Outcome::Failed, other),
    })?;
    if output.json {
        output.object(&report)?;
    } else {
        show(&report, output)?;
    }
    match report.cohorts.iter().find(|cohort| cohort.weight.is_none()) {
        Some(cohort) => Err(without_sum(cohort)),
        None => Ok(()),
    }
}

impl SimulateArgs {
    fn plan(&self) -> SimulationPlan {
        let commitments = if self.verify_on_receipt { Commitments::Verified } else { Commitments::None };
        SimulationPlan {
            cohorts: self.cohorts,
            corrupt_bps: self.corrupt * 100,
            dropout_bps: self.dropout * 100,
            commitments,
            losses: losses(&self.losses),
            restarts: Restarts { participants: self.restart_participants, aggregator: self.restart_aggregator },
            generator: match self.generator {
                MaskGenerator::Aes128 => Generator::Aes128Ctr,
                MaskGenerator::Chacha20 => Generator::ChaCha20,
            },
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            ..SimulationPlan::new(self.participants, self.entries)
        }
    }
}

fn percent() -> clap::builder::RangedI64ValueParser<u16> {
    const WHOLE: RangeInclusive<i64> = 0..=100;
    clap::value_parser!(u16).range(WHOLE)
}

fn loss(text: &str) -> Result<(Step, u16), String> {
    let (step, count) = text.split_once('=').ok_or_else(|| format!("expected STEP=COUNT, got {text}"))?;
    let count = count.parse().map_err(|_| format!("expected a number of members, got {count}"))?;
    Ok((Step::from_str(step, true)?, count))
}

fn losses(all: &[(Step, u16)]) -> Losses {
    let mut losses = Losses::default();
    for &(step, count) in all {
        let of_step = match step {
            Step::Reveal => &mut losses.reveal,
            Step::Shares => &mut losses.shares,
            Step::Received => &mut losses.received,
            Step::Upload => &mut losses.upload,
            Step::Vote => &mut losses.vote,
            Step::Answer => &mut losses.answer,
        };
        *of_step = of_step.saturating_add(count);
    }
    losses
}

fn without_sum(cohort: &CohortReport) -> Failure {
    let text = format!("cohort {} ended without a sum: {}", cohort.cohort, cohort.end);
    Failure::message(Outcome::Failed, text).hint("nothing was unmasked; lose fewer, or tolerate more with --dropout")
}

fn show(report: &SimulationReport, output: Output) -> CommandResult {
    let header = ["cohort", "members", "k/t/q", "in the sum", "end", "aggregator CPU", "participant CPU", "bytes each"];
    let rows: Vec<Vec<String>> = report.cohorts.iter().map(row).collect();
    output.line(output.table(&header, &rows))?;
    if let [cohort] = &report.cohorts[..] {
        let header = ["phase", "attempt", "messages", "aggregator CPU"];
        let line = |phase: &neuro_simulation::PhaseReport| {
            let cells = [phase.attempt.to_string(), phase.messages.to_string(), ms(phase.server_s)];
            [vec![phase.phase.to_lowercase()], cells.to_vec()].concat()
        };
        output.line("")?;
        output.line(output.table(&header, &cohort.phases.iter().map(line).collect::<Vec<_>>()))?;
    }
    let sums = report.cohorts.iter().filter(|cohort| cohort.weight.is_some()).count();
    let error = report.cohorts.iter().filter_map(|cohort| cohort.max_abs_error).fold(0.0, f64::max);
    output.line("")?;
    output.line(format!(
        "{sums} of {} sums; each is the plain sum to the bit, its mean within {error:.1e} of the real one.",
        report.cohorts.len()
    ))
}

fn row(cohort: &CohortReport) -> Vec<String> {
    vec![
        cohort.cohort.to_string(),
        cohort.n.to_string(),
        format!("{}/{}/{}", cohort.k, cohort.t, cohort.q),
        cohort.survivors.to_string(),
        cohort.end.split('(').next().unwrap_or_default().to_owned(),
        ms(cohort.server.total_s()),
        ms(cohort.participant.total_s()),
        bytes(cohort.bytes.total()),
    ]
}

fn ms(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_read_step_by_step() {
        assert_eq!(loss("upload=2"), Ok((Step::Upload, 2)));
        assert!(loss("upload").is_err() && loss("lunch=2").is_err() && loss("vote=many").is_err());
        let all = [(Step::Upload, 2), (Step::Vote, 1), (Step::Upload, 1)];
        assert_eq!(losses(&all), Losses { upload: 3, vote: 1, ..Losses::default() });
    }
}
