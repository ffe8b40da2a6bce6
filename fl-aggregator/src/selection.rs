//! Which batches a round calls.
//!
//! A batch is the unit: its members come or sit out together. So the difference of two rounds' sums is the sum of whole
//! batches, and never one person's part.

use neuro_primitives::Hash;

/// What is known of a batch when a round begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchInfo {
    /// Its number in the roster.
    pub batch: u16,
    /// How many members the roster lists in it.
    pub members: u32,
    /// How many of them are connected.
    pub present: u32,
    /// What its members declare to be able to do, the least among them; its unit is the task's own affair.
    pub capability: u64,
}

/// How batches are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Every batch, every round.
    All,
    /// This many, in an order that the task and the round decide, so that an honest aggregator has no choice. Participants do
    /// not check it: a dishonest one calls whom it likes, as far as their floors allow.
    Random {
        /// How many batches.
        batches: u16,
    },
    /// This many among those that declare at least a capability, in the order of [`Selection::Random`].
    Capability {
        /// How many batches.
        batches: u16,
        /// The least capability.
        least: u64,
    },
}

impl Selection {
    /// How many batches it takes at most.
    #[must_use]
    pub fn most(&self) -> usize {
        match *self {
            Self::All => usize::MAX,
            Self::Random { batches } | Self::Capability { batches, .. } => usize::from(batches),
        }
    }

    /// Whether a batch may be chosen at all.
    #[must_use]
    pub fn admits(&self, batch: &BatchInfo) -> bool {
        match *self {
            Self::All | Self::Random { .. } => true,
            Self::Capability { least, .. } => batch.capability >= least,
        }
    }
}

/// The batches of round `round`, ascending. `seed` is the task's.
#[must_use]
pub fn select_batches(policy: Selection, open: &[BatchInfo], seed: &Hash, round: u64) -> Vec<u16> {
    let mut chosen: Vec<u16> = drawn_order(open, seed, round)
        .filter(|batch| policy.admits(batch))
        .take(policy.most())
        .map(|b| b.batch)
        .collect();
    chosen.sort_unstable();
    chosen
}

/// The batches in the order that H(task, round) draws: ascending by H(seed ‖ round ‖ batch).
pub fn drawn_order<'a>(
    open: &'a [BatchInfo],
    seed: &Hash,
    round: u64,
) -> impl Iterator<Item = &'a BatchInfo> + use<'a> {
    let mut order: Vec<(Hash, &BatchInfo)> = open.iter().map(|batch| (lot(seed, round, batch.batch), batch)).collect();
    order.sort_by_key(|(lot, batch)| (*lot, batch.batch));
    order.into_iter().map(|(_, batch)| batch)
}

fn lot(seed: &Hash, round: u64, batch: u16) -> Hash {
    let parts = [b"neuro/fl/selection/1\0".as_slice(), &seed.0, &round.to_le_bytes(), &batch.to_le_bytes()];
    Hash::of(&parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(count: u16) -> Vec<BatchInfo> {
        (0..count).map(|batch| BatchInfo { batch, members: 10, present: 9, capability: u64::from(batch) }).collect()
    }

    #[test]
    fn a_draw_depends_on_task_and_round_alone() {
        let (seed, mut shuffled) = (Hash::of(b"task"), open(20));
        let drawn = |open: &[BatchInfo], round| select_batches(Selection::Random { batches: 5 }, open, &seed, round);
        let first = drawn(&shuffled, 1);
        assert_eq!(first.len(), 5);
        assert!(first.is_sorted());
        assert_ne!(first, drawn(&shuffled, 2));
        shuffled.reverse();
        assert_eq!(first, drawn(&shuffled, 1));
    }

    #[test]
    fn each_batch_is_drawn_about_as_often() {
        let (seed, open) = (Hash::of(b"task"), open(10));
        let mut count = [0_u32; 10];
        for round in 0..1000 {
            for batch in select_batches(Selection::Random { batches: 3 }, &open, &seed, round) {
                count[usize::from(batch)] += 1;
            }
        }
        assert!(count.iter().all(|&count| (230..370).contains(&count)), "{count:?}");
    }

    #[test]
    fn only_the_able_are_drawn() {
        let chosen = select_batches(Selection::Capability { batches: 9, least: 7 }, &open(10), &Hash::of(b"task"), 3);
        assert_eq!(chosen, [7, 8, 9]);
        assert_eq!(select_batches(Selection::All, &open(4), &Hash::of(b"task"), 3), [0, 1, 2, 3]);
    }
}
