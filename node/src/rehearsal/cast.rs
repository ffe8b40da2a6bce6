//! Who takes part in a rehearsal: keys, roster and draws, all from the seed.

use std::collections::BTreeMap;

use neuro_fl_aggregator::{BatchInfo, RoundPlan, Selection};
use neuro_primitives::{Hash, NodeId, NodeKey, UnixMillis};
use neuro_secagg::roster::{MOST_ROSTERED, Roster, RosterFields, RosterMember};

use super::{RehearsalError, RehearsalOptions, present};

/// When everything happens, as far as documents say so.
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
/// A year later.
const EXPIRES: UnixMillis = UnixMillis(NOW.0 + 365 * 86_400_000);

/// The rehearsal's people.
pub(super) struct Cast {
    seed: u64,
    roster: Roster,
    /// Each participant's node and batch.
    people: Vec<(NodeId, u16)>,
}

impl Cast {
    /// A participant for each trainer, dealt to the batches in turn.
    pub(super) fn new(plan: &RoundPlan, options: &RehearsalOptions) -> Result<Self, RehearsalError> {
        let (seed, got) = (options.seed, options.trainers.len());
        if got == 0 || got > MOST_ROSTERED {
            return Err(RehearsalError::Participants { most: MOST_ROSTERED, got });
        }
        let batches = options.batches.unwrap_or_else(|| batches_of(plan)).max(1);
        let key = |label, number| NodeKey::from_secret(&draw(seed, label, number, 0, 0).0).node_id();
        // Fewer than 65,537 of them, and a remainder below `batches`.
        let person = |number: usize| (key("participant", number as u64), (number % usize::from(batches)) as u16);
        let people: Vec<(NodeId, u16)> = (0..got).map(person).collect();
        let mut members: Vec<RosterMember> = people.iter().map(|&(node, batch)| RosterMember { node, batch }).collect();
        members.sort_by_key(|member| member.node);
        let roster = Roster::new(RosterFields {
            task_name: plan.task.clone(),
            owner: key("owner", 0),
            aggregator: key("aggregator", 0),
            version: 1,
            issued: NOW,
            expires: EXPIRES,
            members,
        })?;
        Ok(Self { seed, roster, people })
    }

    pub(super) const fn roster(&self) -> &Roster {
        &self.roster
    }

    pub(super) const fn now(&self) -> UnixMillis {
        NOW
    }

    pub(super) fn node(&self, participant: usize) -> NodeId {
        self.people[participant].0
    }

    /// The participants in these batches, ascending.
    pub(super) fn members_of(&self, batches: &[u16]) -> Vec<usize> {
        let people = self.people.iter().enumerate();
        people.filter(|(_, (_, batch))| batches.contains(batch)).map(|(number, _)| number).collect()
    }

    /// All batches, ascending, with everybody there.
    pub(super) fn batches(&self) -> Vec<BatchInfo> {
        let mut batches = BTreeMap::<u16, u32>::new();
        self.people.iter().for_each(|(_, batch)| *batches.entry(*batch).or_default() += 1);
        batches.into_iter().map(|(batch, members)| present(batch, members)).collect()
    }

    /// 32 bytes for one purpose.
    pub(super) fn drawn(&self, label: &str, round: u64, cohort: u16, participant: usize) -> Hash {
        draw(self.seed, label, participant as u64, round, cohort)
    }
}

/// As many batches as a plan speaks of: a batch for each shard, each expert's, and those of a selection; else one.
#[must_use]
pub fn batches_of(plan: &RoundPlan) -> u16 {
    let shards = plan.robust.map_or(1, |robust| robust.shards);
    let named = plan.experts.iter().flat_map(|expert| expert.batches.iter().map(|batch| batch.saturating_add(1)));
    let selected = match plan.selection {
        Selection::All => 1,
        Selection::Random { batches } | Selection::Capability { batches, .. } => batches,
    };
    named.fold(shards.max(selected), u16::max)
}

fn draw(seed: u64, label: &str, participant: u64, round: u64, cohort: u16) -> Hash {
    let numbers = [seed.to_le_bytes(), participant.to_le_bytes(), round.to_le_bytes()].concat();
    Hash::of(&[&numbers[..], &cohort.to_le_bytes(), label.as_bytes()].concat())
}
