//! What placement aims at: how much a copy weighs, how many copies an expert should have, what a worker is worth.

use crate::co_use::CoUse;
use crate::registry::Registry;

/// Shares of bytes and use are in parts per billion.
const WHOLE: u128 = 1_000_000_000;

/// Use beside the mean of all experts from which one is wanted once more than usual, and twice more.
const HOT: [u64; 2] = [4, 16];

/// Rows of recent use below which no expert counts as hot: chance alone would make some so.
const ENOUGH_ROWS: u64 = 4_096;

/// What placement aims at.
#[derive(Debug)]
pub(crate) struct Policy<'a> {
    /// Copies wanted of each expert.
    pub(crate) replicas: usize,
    /// Load of one copy by expert index: its share of all bytes plus its share of recent use, at least 1.
    pub(crate) weights: Vec<u64>,
    /// Copies wanted beside these, where memory is free, by expert index.
    pub(crate) extra: Vec<usize>,
    /// Whether an expert is used clearly more than the mean, by index: such ones keep a copy too many, so that the same
    /// copy does not come and go.
    warm: Vec<bool>,
    /// Which experts are used together, where it is better to hold them together: a message costs more than the
    /// computing that two workers would share.
    pub(crate) together: Option<&'a CoUse>,
}

impl<'a> Policy<'a> {
    /// Weighs the experts by bytes and by `rows` of recent use.
    pub(crate) fn new(replicas: usize, registry: &Registry, rows: &[u64]) -> Self {
        let bytes: Vec<u64> = (0..registry.catalogue.len()).map(|expert| registry.catalogue.bytes(expert)).collect();
        let extra = heat(rows);
        let replicas = replicas.max(1);
        let (by_bytes, by_use) = (shares(&bytes), shares(rows));
        let weight = |expert: usize| by_bytes[expert] + spread(by_use[expert], replicas, extra[expert]);
        let weights = (0..bytes.len()).map(|expert| weight(expert).max(1)).collect();
        Self { replicas, weights, extra, warm: warm(rows), together: None }
    }

    /// Whether the expert keeps copies beyond the usual number.
    pub(crate) fn is_warm(&self, expert: usize) -> bool {
        self.warm[expert]
    }

    /// The same, for a network in which it is better to hold together what is used together.
    pub(crate) fn holding_together(mut self, uses: &'a CoUse) -> Self {
        self.together = Some(uses);
        self
    }
}

/// Each copy's part of an expert's use: more copies share it.
fn spread(share: u64, replicas: usize, extra: usize) -> u64 {
    share * replicas as u64 / (replicas + extra) as u64
}

/// How many copies more than usual each expert's use deserves.
fn heat(rows: &[u64]) -> Vec<usize> {
    let total: u64 = rows.iter().fold(0, |sum, rows| sum.saturating_add(*rows));
    let mean = total / (rows.len() as u64).max(1);
    let degree = |rows: u64| HOT.iter().filter(|times| rows >= mean.saturating_mul(**times)).count();
    rows.iter().map(|rows| if total < ENOUGH_ROWS { 0 } else { degree(*rows) }).collect()
}

/// Which are used at least half as much as a hot one.
fn warm(rows: &[u64]) -> Vec<bool> {
    let mean = rows.iter().fold(0_u64, |sum, rows| sum.saturating_add(*rows)) / (rows.len() as u64).max(1);
    rows.iter().map(|rows| *rows > 0 && *rows >= mean.saturating_mul(HOT[0] / 2)).collect()
}

/// The share of each part in the sum.
fn shares(parts: &[u64]) -> Vec<u64> {
    let total = parts.iter().map(|part| u128::from(*part)).sum::<u128>().max(1);
    parts.iter().map(|part| u64::try_from(u128::from(*part) * WHOLE / total).unwrap_or(u64::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experts_far_above_the_mean_are_wanted_more_often_once_enough_was_seen() {
        let mut rows = vec![100; 64];
        (rows[3], rows[9]) = (800, 5_000);
        let extra = heat(&rows);
        assert_eq!((extra[0], extra[3], extra[9]), (0, 1, 2));
        let few: Vec<u64> = rows.iter().map(|rows| rows / 10).collect();
        assert!(heat(&few).iter().all(|extra| *extra == 0));
        assert!(heat(&[0; 8]).iter().all(|extra| *extra == 0));
    }
}
