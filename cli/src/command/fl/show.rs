//! `neuro fl show`: what a finished round did, in sentences.

use clap::Args as ClapArgs;
use neuro_protocol::federated::{CohortStatus, LeftOut, RoundLine, RoundStatus, SpentBudget, TaskStatus};

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
    for sentence in status.task.iter().flat_map(|task| left_out(task, line.number)) {
        output.line(sentence)?;
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
    } else if cohort.unmasked {
        said.push(format!(
            "Masks were taken off: the aggregator learned the sum of {} vectors, with a total weight of {}, and did not \
             use it.",
            cohort.survivors, cohort.weight
        ));
    } else {
        said.push("Nothing was unmasked: the aggregator learned no update and no sum.".into());
    }
    said.extend(cohort.epsilon.map(|epsilon| format!("By itself it costs ε {epsilon:.3}.")));
    said.push(format!("Payloads took {}.", bytes(cohort.payload_bytes)));
    for node in &cohort.blamed {
        said.push(format!("Node {node} broke the protocol; the evidence is kept, and no later round calls it."));
    }
    said
}

/// Who was left out of round `number`, since an earlier one caught it.
fn left_out(task: &TaskStatus, number: u64) -> impl Iterator<Item = String> + '_ {
    let earlier = task.left_out.iter().filter(move |left_out| left_out.round < number);
    earlier.map(|LeftOut { node, round }| format!("Node {node} was left out: it broke the protocol in round {round}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(cohort: CohortStatus) -> String {
        let outcome = Some("it ended".to_owned());
        sentences(&CohortStatus { members: 9, payload_bytes: 72, outcome, ..cohort }).join("\n")
    }

    #[test]
    fn a_sum_is_used_or_seen_or_never_there() {
        let seen =
            CohortStatus { unmasked: true, survivors: 8, weight: 80, epsilon: Some(1.5), ..CohortStatus::default() };
        let used = CohortStatus { done: true, ..seen.clone() };
        assert_eq!(
            said(used),
            "9 members made up the cohort; it ended.\n\
             The sum holds the vectors of 8 of them, with a total weight of 80; 1 dropped out.\n\
             The aggregator saw masked vectors and that sum, and no single update.\n\
             By itself it costs ε 1.500.\nPayloads took 72 B."
        );
        assert_eq!(
            said(seen),
            "9 members made up the cohort; it ended.\n\
             Masks were taken off: the aggregator learned the sum of 8 vectors, with a total weight of 80, and did not use it.\n\
             By itself it costs ε 1.500.\nPayloads took 72 B."
        );
        assert_eq!(
            said(CohortStatus::default()),
            "9 members made up the cohort; it ended.\n\
             Nothing was unmasked: the aggregator learned no update and no sum.\nPayloads took 72 B."
        );
    }

    #[test]
    fn who_is_left_out_is_named_from_the_next_round_on() {
        let task = TaskStatus { left_out: vec![LeftOut { node: "ab".into(), round: 3 }], ..TaskStatus::default() };
        assert_eq!(left_out(&task, 3).count(), 0);
        let said: Vec<String> = left_out(&task, 4).collect();
        assert_eq!(said, ["Node ab was left out: it broke the protocol in round 3."]);
    }
}
