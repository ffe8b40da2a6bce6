//! A round cut into shards, so that a robust rule has several means to choose among.
//!
//! Every shard is a cohort of its own: its sum is a release, with its own floor and its own full noise. A participant's
//! privacy set is its shard.

use crate::selection::BatchInfo;

/// Fewer means than this and a median or a filter cannot tell a bad one from a good one.
pub const LEAST_SHARDS: usize = 16;
/// Fewer members than this and a shard's sum says too much about each.
pub const LEAST_SHARD_MEMBERS: u32 = 32;

/// Whole batches that make one cohort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Ascending.
    pub batches: Vec<u16>,
    /// Members that are present in them.
    pub members: u32,
}

/// A round that is not cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardsRefused {
    /// Too few shards asked for.
    #[error("expected at least {LEAST_SHARDS} shards, got {got}")]
    TooFew {
        /// How many.
        got: usize,
    },
    /// The members that are present do not fill the shards.
    #[error("expected at least {LEAST_SHARD_MEMBERS} members in each of {shards} shards, got {got} in shard {shard}")]
    TooSmall {
        /// How many shards.
        shards: usize,
        /// The first that is too small.
        shard: usize,
        /// Its members.
        got: u32,
    },
}

/// Cuts batches, in the order that they come in, into `shards` shards: each goes to the smallest so far.
///
/// # Errors
/// Fewer than 16 shards, or one with fewer than 32 members.
pub fn cut<'a>(batches: impl IntoIterator<Item = &'a BatchInfo>, shards: usize) -> Result<Vec<Shard>, ShardsRefused> {
    if shards < LEAST_SHARDS {
        return Err(ShardsRefused::TooFew { got: shards });
    }
    let mut cut = vec![Shard { batches: Vec::new(), members: 0 }; shards];
    for batch in batches {
        if let Some(smallest) = cut.iter_mut().min_by_key(|shard| shard.members) {
            smallest.batches.push(batch.batch);
            smallest.members += batch.present;
        }
    }
    cut.iter_mut().for_each(|shard| shard.batches.sort_unstable());
    match cut.iter().position(|shard| shard.members < LEAST_SHARD_MEMBERS) {
        None => Ok(cut),
        Some(shard) => Err(ShardsRefused::TooSmall { shards, shard, got: cut[shard].members }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(count: u16, present: u32) -> Vec<BatchInfo> {
        (0..count).map(|batch| BatchInfo { batch, members: present, present, capability: 0 }).collect()
    }

    #[test]
    fn fewer_than_16_shards_of_32_are_refused() {
        assert_eq!(cut(&batches(100, 32), 15), Err(ShardsRefused::TooFew { got: 15 }));
        assert_eq!(cut(&batches(15, 500), 16), Err(ShardsRefused::TooSmall { shards: 16, shard: 15, got: 0 }));
        assert_eq!(cut(&batches(16, 31), 16), Err(ShardsRefused::TooSmall { shards: 16, shard: 0, got: 31 }));
        assert_eq!(cut(&batches(16, 32), 16).unwrap().len(), 16);
    }

    #[test]
    fn every_batch_is_in_one_shard_and_shards_are_even() {
        let shards = cut(&batches(70, 10), 16).unwrap();
        let mut all: Vec<u16> = shards.iter().flat_map(|shard| shard.batches.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..70).collect::<Vec<_>>());
        assert!(shards.iter().all(|shard| (40..=50).contains(&shard.members)));
    }
}
