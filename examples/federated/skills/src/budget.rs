//! What a run with noise costs its participants, from its plan alone.

use neuro_fl_aggregator::ledger::Ledger;
use neuro_primitives::NodeId;
use neuro_privacy::Spent;

use crate::plan::{DELTA, Holder, Plan};
use crate::vectors::Vectors;

/// Charges every round of `plan` to its members and returns what the one who pays most has paid; none where a sum goes out
/// without noise. `entries`: of each of [`Plan::cohorts`].
///
/// # Errors
/// Figures that no round can have.
pub fn spent(plan: &Plan, entries: &[usize]) -> anyhow::Result<Option<Spent>> {
    let mut ledger = Ledger::new(DELTA);
    for ((cohort, (name, phase, called)), entries) in (0..).zip(plan.cohorts()).zip(entries) {
        for round in 0..phase.rounds {
            let members = phase.attending(called, round);
            let event = Vectors::new(name, &phase, round, members.len(), *entries)?.release()?;
            let nodes: Vec<NodeId> = members.iter().map(Holder::node).collect();
            ledger.charge(u64::from(round) + 1, cohort, event, &nodes)?;
        }
    }
    Ok(ledger.spent()?)
}

/// How many different participants hold `skill`.
#[must_use]
pub fn participants(plan: &Plan, skill: &str) -> usize {
    let cohorts = plan.cohorts().into_iter();
    let calls = cohorts.flat_map(|(_, phase, called)| (0..phase.rounds).map(move |round| (phase, called, round)));
    let holders = calls.flat_map(|(phase, called, round)| phase.attending(called, round));
    let numbers = holders.filter(|holder| holder.skill == skill).map(|holder| holder.number);
    numbers.collect::<std::collections::BTreeSet<u64>>().len()
}
