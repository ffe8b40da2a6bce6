//! The coordinate-wise median (Yin et al. 2018): withstands fewer than half bad shards.

use super::{RobustError, RobustRule, bounded, by_entry};

/// For each entry the middle value; the mean of the two middle ones when the number of shards is even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Median;

impl RobustRule for Median {
    fn combine(&self, shard_means: &[&[f64]], norm_bound: f64) -> Result<Vec<f64>, RobustError> {
        let means = bounded(shard_means, norm_bound)?;
        Ok(by_entry(&means, |sorted| f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])))
    }
}
