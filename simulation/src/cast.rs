//! Who takes part: keys, roster and configurations, all from the seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use neuro_primitives::{Hash, NodeId, NodeKey, UnixMillis};
use neuro_secagg::config::{Base, Deadlines, Privacy, PrivacyMode, RoundConfig, Strategy};
use neuro_secagg::floors::Floors;
use neuro_secagg::kdf::RoundSecret;
use neuro_secagg::roster::{Registry, Roster, RosterFields, RosterMember};

use crate::{Commitments, PlanError, PrivateUpdates, SimulationPlan, Updates};

/// When everything happens, as far as documents say so.
pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
/// A year later.
const EXPIRES: UnixMillis = UnixMillis(NOW.0 + 365 * 86_400_000);
/// Virtual milliseconds of a phase. Nobody waits for them.
const PHASE_MS: u32 = 60_000;

/// The simulation's people.
pub(crate) struct Cast {
    seed: u64,
    pub(crate) aggregator: NodeKey,
    pub(crate) registry: Arc<Roster>,
    keys: Vec<NodeKey>,
}

impl Cast {
    /// Keys of everybody, and the roster: each cohort is a batch.
    pub(crate) fn new(plan: &SimulationPlan, seed: u64) -> Result<Self, PlanError> {
        let key = |label, index| NodeKey::from_secret(&derived(seed, label, index).0);
        let keys: Vec<NodeKey> = (0..plan.members).map(|index| key("participant", index)).collect();
        let (owner, aggregator) = (key("owner", 0), key("aggregator", 0));
        let batches = (0..plan.cohorts).flat_map(|batch| plan.members_of(batch).map(move |_| batch));
        let mut members: Vec<RosterMember> =
            keys.iter().zip(batches).map(|(key, batch)| RosterMember { node: key.node_id(), batch }).collect();
        members.sort_by_key(|member| member.node);
        let registry = Roster::new(RosterFields {
            task_name: "simulation".to_owned(),
            owner: owner.node_id(),
            aggregator: aggregator.node_id(),
            version: 1,
            issued: NOW,
            expires: EXPIRES,
            members,
        })?;
        Ok(Self { seed, aggregator, registry: Arc::new(registry), keys })
    }

    /// The key of a participant.
    pub(crate) fn key(&self, participant: u32) -> &NodeKey {
        &self.keys[participant as usize]
    }

    /// The secret of a participant for the round.
    pub(crate) fn secret(&self, participant: u32) -> RoundSecret {
        RoundSecret::from_bytes(derived(self.seed, "round secret", participant).0)
    }

    /// Who of cohort `number` is lost, with the number of the first message that it does not send.
    pub(crate) fn lost(&self, plan: &SimulationPlan, number: u16) -> BTreeMap<NodeId, u8> {
        let mut order: Vec<u32> = plan.members_of(number).collect();
        order.sort_by_key(|&participant| derived(self.seed, "loss", participant));
        let steps = plan.losses.by_step().into_iter();
        let steps = steps.flat_map(|(step, count)| std::iter::repeat_n(step, count.into()));
        order.into_iter().zip(steps).map(|(participant, step)| (self.key(participant).node_id(), step)).collect()
    }

    /// The configuration of cohort `number`.
    pub(crate) fn config(&self, plan: &SimulationPlan, number: u16, updates: &dyn Updates) -> RoundConfig {
        let (roster_version, roster_hash) = self.registry.version();
        // At most 4,096: the plan was checked.
        let most_members = plan.members_of(number).len() as u16;
        let private = updates.private();
        RoundConfig {
            task: self.registry.task(),
            round: 1,
            cohort: number,
            cohorts: plan.cohorts,
            round_id: derived(self.seed, "round", number.into()).0,
            roster_version,
            roster_hash,
            batches: vec![number],
            base: Base::Weights(derived(self.seed, "weights", 0)),
            layout: derived(self.seed, "layout", 0),
            entries: plan.entries,
            vector_entries: plan.entries + 1,
            strategy: Strategy {
                name: "fedavg".to_owned(),
                settings: private.map(PrivateUpdates::strategy_settings).unwrap_or_default(),
            },
            weight_cap: plan.weights.1,
            value_bits: plan.value_bits,
            scale: plan.scale,
            privacy: privacy(private),
            generator: plan.generator,
            corrupt_bps: plan.corrupt_bps,
            dropout_bps: plan.dropout_bps,
            security_bits: 40,
            correctness_bits: 20,
            least_members: most_members.saturating_sub(plan.losses.reveal).max(2),
            most_members,
            deadlines: DEADLINES,
            feldman: plan.commitments != Commitments::None,
        }
    }
}

fn privacy(private: Option<&dyn PrivateUpdates>) -> Privacy {
    match private {
        Some(private) => Privacy { mode: PrivacyMode::Distributed, settings: private.settings() },
        None => Privacy { mode: PrivacyMode::None, settings: Vec::new() },
    }
}

const DEADLINES: Deadlines = Deadlines {
    join_ms: PHASE_MS,
    reveal_ms: PHASE_MS,
    shares_ms: PHASE_MS,
    received_ms: PHASE_MS,
    upload_ms: PHASE_MS,
    vote_ms: PHASE_MS,
    answer_ms: PHASE_MS,
};

/// Floors that let the plan's numbers pass: floors are a participant's policy, and this tests the protocol.
pub(crate) fn floors() -> Floors {
    Floors {
        least_members: 2,
        least_turnout_bps: 1,
        least_corrupt_bps: 0,
        least_alpha_bps: 0,
        most_upload_bytes: u64::MAX,
        ..Floors::default()
    }
}

/// 32 bytes of the seed for one purpose.
fn derived(seed: u64, label: &str, index: u32) -> Hash {
    let parts = [&seed.to_le_bytes()[..], &index.to_le_bytes(), label.as_bytes()];
    Hash::of(&parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Losses, NormalUpdates};

    #[test]
    fn losses_are_drawn_from_the_seed_and_none_twice() {
        let losses = Losses { upload: 3, vote: 2, ..Losses::default() };
        let plan = SimulationPlan { losses, ..SimulationPlan::new(20, 10) };
        let lost = |seed| Cast::new(&plan, seed).map(|cast| cast.lost(&plan, 0)).unwrap();
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
        assert_eq!(lost(1).values().filter(|step| **step == 5).count(), 3);
        assert_eq!(lost(1).len(), 5);
    }

    #[test]
    fn configurations_are_within_their_bounds() {
        let plan = SimulationPlan { cohorts: 4, ..SimulationPlan::new(50, 10) };
        let cast = Cast::new(&plan, 3).unwrap();
        for number in 0..4 {
            cast.config(&plan, number, &NormalUpdates::new(&plan, 3)).check().unwrap();
        }
    }
}
