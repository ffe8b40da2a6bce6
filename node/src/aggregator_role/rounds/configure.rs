//! From the plan to a round's configuration.

use std::collections::BTreeSet;

use neuro_fl_aggregator::Layout;
use neuro_fl_aggregator::round_plan::RoundPlan;
use neuro_primitives::{Hash, NodeKey};
use neuro_secagg::config::{Base, Privacy, PrivacyMode, RoundConfig, Strategy};
use neuro_secagg::roster::{Registry, Roster};

use super::RoundError;

/// What rounds of this program do not do yet, of all that a plan can ask for.
pub(super) fn check(plan: &RoundPlan) -> Result<(), RoundError> {
    let asked = [
        ("privacy", plan.privacy.is_some()),
        ("robust", plan.robust.is_some()),
        ("experts", !plan.experts.is_empty()),
        ("router", plan.router.is_some()),
        ("evaluation", plan.evaluation.is_some()),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((section, _)) => Err(RoundError::Plan(format!("`neuro fl serve` does not run [{section}] yet"))),
        None => Ok(()),
    }
}

/// The configuration of round `number`, whose vectors are differences to `base`. Every batch that has members is
/// called: persons are never picked.
pub(super) fn config(
    plan: &RoundPlan,
    layout: &Layout,
    roster: &Roster,
    number: u64,
    base: Hash,
) -> Result<RoundConfig, RoundError> {
    let (roster_version, roster_hash) = roster.version();
    let batches: BTreeSet<u16> = roster.fields().members.iter().map(|member| member.batch).collect();
    // The public half of a fresh key is as random as any.
    let round_id = NodeKey::generate().map_err(|error| RoundError::Plan(error.to_string()))?.node_id().0;
    let vector = plan.encoding(layout.entries(), 1.0, &round_id)?;
    let config = RoundConfig {
        task: roster.task(),
        round: number,
        cohort: 0,
        cohorts: 1,
        round_id,
        roster_version,
        roster_hash,
        batches: batches.into_iter().collect(),
        base: Base::Weights(base),
        layout: layout.hash(),
        entries: layout.entries() as u32,
        vector_entries: vector.vector_entries() as u32,
        strategy: Strategy { name: plan.strategy.name().to_owned(), settings: plan.strategy.encode() },
        weight_cap: plan.update.weight_cap,
        value_bits: plan.update.value_bits,
        scale: plan.update.scale(),
        privacy: Privacy { mode: PrivacyMode::None, settings: Vec::new() },
        generator: plan.cohort.generator,
        corrupt_bps: plan.cohort.corrupt_bps,
        dropout_bps: plan.cohort.dropout_bps,
        security_bits: plan.cohort.security_bits,
        correctness_bits: plan.cohort.correctness_bits,
        least_members: plan.cohort.least,
        most_members: plan.cohort.most,
        deadlines: plan.cohort.deadlines,
        feldman: plan.cohort.feldman,
    };
    config.check()?;
    Ok(config)
}
