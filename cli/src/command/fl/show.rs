//! `neuro fl show`: what a finished round did, in sentences.

use clap::Args as ClapArgs;
use neuro_protocol::federated::{CohortStatus, RoundLine, RoundStatus, SpentBudget};

use super::connection::snapshot;
use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, bytes};
use crate::runtime;

/// Options of `neuro fl show`.
#[derive(Debug, ClapArgs)]
pub struct ShowArgs {
    /// The round; without it, the last that ended
    #[arg(value_name = "ROUND")]
    pub round: Option<u64>,
}

/// Explains the round.
///
/// # Errors
/// When no aggregator runs on the data folder, or no such round has ended.
pub fn run(global: &GlobalArgs, args: &ShowArgs, output: Output) -> CommandResult {
    runtime::tokio()?.block_on(async {
        let newest = snapshot(global, 0).await?;
        let ended = |line: &&RoundLine| line.outcome.is_some() && args.round.is_none_or(|round| round == line.number);
        let text = args.round.map_or_else(|| "no round has ended yet".into(), |n| format!("no round {n} has ended"));
        let missing = || Failure::message(Outcome::Failed, text).hint("neuro fl round list");
        let line = newest.history.iter().rev().find(ended).ok_or_else(missing)?;
        let status = snapshot(global, line.number).await?;
        if output.json { output.object(&status.round) } else { explain(&status, line, output) }
    })
}

fn explain(status: &RoundStatus, line: &RoundLine, output: Output) -> CommandResult {
    output.line(format!("Round {} took {:.1} s.", line.number, line.took_ms.unwrap_or(0) as f64 / 1e3))?;
    let Some(round) = &status.round else { return Ok(()) };
    for cohort in &round.cohorts {
        if round.cohorts.len() > 1 {
            output.line(format!("Cohort {}:", cohort.name))?;
        }
        for sentence in sentences(cohort) {
            output.line(sentence)?;
        }
    }
    for (name, value) in &round.metrics {
        output.line(format!("{name} is {value:.4}: a weighted mean, and nobody's own figure is known."))?;
    }
    if let Some(spent) = &round.spent {
        let SpentBudget { epsilon, delta, releases } = spent;
        output.line(format!("The task has cost ε {epsilon:.3} at δ {delta:.0e} so far, in {releases} releases."))?;
    }
    if line.done { output.line(format!("The weights after it: {}.", line.model)) } else { Ok(()) }
}

fn sentences(cohort: &CohortStatus) -> Vec<String> {
    let outcome = cohort.outcome.as_deref().unwrap_or("it runs");
    let mut said = vec![format!("{} members made up the cohort; {outcome}.", cohort.members)];
    if cohort.done {
        let lost = cohort.members.saturating_sub(cohort.survivors);
        said.push(format!(
            "The sum holds the vectors of {} of them, with a total weight of {}; {lost} dropped out.",
            cohort.survivors, cohort.weight
        ));
        said.push("The aggregator saw masked vectors and that sum, and no single update.".into());
        said.extend(cohort.epsilon.map(|epsilon| format!("By itself it costs ε {epsilon:.3}.")));
    } else {
        said.push("Nothing was unmasked: the aggregator learned no update and no sum.".into());
    }
    said.push(format!("Payloads took {}.", bytes(cohort.payload_bytes)));
    for node in &cohort.blamed {
        said.push(format!("Node {node} broke the protocol; the evidence is kept."));
    }
    said
}
