//! From the plan to a round's configuration.

use std::collections::BTreeSet;

use neuro_fl_aggregator::{EncodingPlan, Layout};
use neuro_primitives::{Hash, NodeKey};
use neuro_secagg::config::{Base, Privacy, PrivacyMode, RoundConfig, Strategy};
use neuro_secagg::roster::{Registry, Roster};

use super::RoundError;
use crate::aggregator_role::plan::{TaskPlan, basis_points};

/// The configuration of round `number`, whose vectors are differences to `base`. Every batch that has members is
/// called: persons are never picked.
pub(super) fn config(
    plan: &TaskPlan,
    layout: &Layout,
    roster: &Roster,
    number: u64,
    base: Hash,
) -> Result<RoundConfig, RoundError> {
    let (roster_version, roster_hash) = roster.version();
    let batches: BTreeSet<u16> = roster.fields().members.iter().map(|member| member.batch).collect();
    let settings = plan.strategy_settings().map_err(RoundError::Plan)?;
    let mut config = RoundConfig {
        task: roster.task(),
        round: number,
        cohort: 0,
        cohorts: 1,
        // The public half of a fresh key is as random as any.
        round_id: NodeKey::generate().map_err(|error| RoundError::Plan(error.to_string()))?.node_id().0,
        roster_version,
        roster_hash,
        batches: batches.into_iter().collect(),
        base: Base::Weights(base),
        layout: layout.hash(),
        entries: layout.entries() as u32,
        vector_entries: layout.entries() as u32 + 1,
        strategy: Strategy { name: settings.name().to_owned(), settings: settings.encode() },
        weight_cap: plan.update.weight_cap,
        value_bits: plan.update.value_bits,
        scale: plan.update.scale,
        privacy: Privacy { mode: PrivacyMode::None, settings: Vec::new() },
        generator: plan.generator().map_err(RoundError::Plan)?,
        corrupt_bps: basis_points(plan.cohort.corrupt),
        dropout_bps: basis_points(plan.cohort.dropout),
        security_bits: plan.cohort.security_bits,
        correctness_bits: plan.cohort.correctness_bits,
        least_members: plan.cohort.least,
        most_members: plan.cohort.most,
        deadlines: plan.deadlines(),
        feldman: plan.cohort.feldman,
    };
    config.vector_entries = EncodingPlan::of(&config)?.vector_entries() as u32;
    config.check()?;
    Ok(config)
}
