//! How long a worker takes, as quantiles: for deadlines, and for asking a second one in time.
//!
//! Counts of round trips in quarters of an octave, one set a batch class, older ones counting half after each
//! [`WINDOW`]. Stragglers (more than four medians) are left out of quantiles: a worker that stalls now and then is to be
//! overtaken when it stalls, not waited for.

use std::time::Duration;

use crate::estimate::{CLASSES, Sample, class_of};

/// Quarter octaves from 64 µs to four seconds.
const BUCKETS: usize = 64;
/// Bits below which all round trips are alike: 64 µs.
const LOWEST_BITS: u32 = 6;
/// Samples of a class after which older ones count half.
const WINDOW: u32 = 256;
/// Samples of a class before its quantiles are believed.
pub(crate) const ENOUGH: u32 = 16;
/// Four medians, in buckets.
const STRAGGLER: usize = 8;

/// The round trips of one worker, or of the whole fleet.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    counts: [[u16; BUCKETS]; CLASSES],
}

impl Default for Pace {
    fn default() -> Self {
        Self { counts: [[0; BUCKETS]; CLASSES] }
    }
}

impl Pace {
    /// Takes an answered task in.
    pub(crate) fn take(&mut self, sample: &Sample) {
        self.record(sample.row_experts / sample.experts.max(1), sample.round_trip, sample.ahead);
    }

    /// A task of so many rows an expert was answered after `round_trip`, of which it waited `ahead` behind others.
    fn record(&mut self, rows: u64, round_trip: Duration, ahead: Duration) {
        let counts = &mut self.counts[class_of(rows)];
        counts[bucket(round_trip.saturating_sub(ahead))] += 1;
        if counts.iter().map(|count| u32::from(*count)).sum::<u32>() >= WINDOW {
            counts.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// The time that `percent` of its tasks of so many rows an expert do not exceed, stragglers left out. `None` while too
    /// few are known.
    pub(crate) fn quantile(&self, rows: u64, percent: u32) -> Option<Duration> {
        let counts = &self.counts[class_of(rows)];
        let total: u32 = counts.iter().map(|count| u32::from(*count)).sum();
        if total < ENOUGH {
            return None;
        }
        let median = rank(counts, total.div_ceil(2));
        let usual = &counts[..BUCKETS.min(median + STRAGGLER + 1)];
        let kept: u32 = usual.iter().map(|count| u32::from(*count)).sum();
        Some(value(usual, (kept * percent).div_ceil(100)))
    }
}

/// The sample number `number`, from 1, as if those of a bucket lay evenly in it.
fn value(counts: &[u16], number: u32) -> Duration {
    let bucket = rank(counts, number);
    let below: u32 = counts[..bucket].iter().map(|count| u32::from(*count)).sum();
    let start = if bucket == 0 { Duration::ZERO } else { upper_end(bucket - 1) };
    let inside = number.saturating_sub(below).min(u32::from(counts[bucket]));
    start + (upper_end(bucket) - start) * inside / u32::from(counts[bucket]).max(1)
}

/// The bucket of the sample number `rank`, from 1.
fn rank(counts: &[u16], rank: u32) -> usize {
    let mut left = rank;
    for (bucket, count) in counts.iter().enumerate() {
        left = left.saturating_sub(u32::from(*count));
        if left == 0 {
            return bucket;
        }
    }
    counts.len() - 1
}

/// Four buckets an octave, by the two bits below the highest.
fn bucket(span: Duration) -> usize {
    let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1 << LOWEST_BITS);
    let octave = us.ilog2();
    let quarter = (us >> (octave - 2)) & 3;
    BUCKETS.min(((octave - LOWEST_BITS) * 4) as usize + quarter as usize + 1) - 1
}

fn upper_end(bucket: usize) -> Duration {
    let (octave, quarter) = (LOWEST_BITS as usize + bucket / 4, bucket as u64 % 4);
    Duration::from_micros((5 + quarter) << (octave - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn quantiles_lie_within_a_quarter_octave_and_leave_stragglers_out() {
        let mut pace = Pace::default();
        for ms in 1..=100 {
            pace.record(1, millis(100 + ms), Duration::ZERO);
        }
        for _ in 0..10 {
            pace.record(1, millis(3_000), Duration::ZERO);
        }
        let (half, most) = (pace.quantile(1, 50).unwrap(), pace.quantile(1, 95).unwrap());
        assert!((millis(150)..millis(185)).contains(&half), "{half:?}");
        assert!((millis(195)..millis(235)).contains(&most), "{most:?}");
    }

    #[test]
    fn quantiles_lie_between_the_ends_of_their_bucket() {
        let mut pace = Pace::default();
        (0..200u64).for_each(|step| pace.record(1, Duration::from_micros(16_400 + step * 20), Duration::ZERO));
        for percent in [10, 50, 90] {
            let expected = Duration::from_micros(16_400 + u64::from(percent) * 40);
            let got = pace.quantile(1, percent).unwrap();
            assert!(got.abs_diff(expected) < Duration::from_micros(200), "{percent} {got:?} {expected:?}");
        }
    }

    #[test]
    fn few_samples_say_nothing_and_classes_are_apart() {
        let mut pace = Pace::default();
        (0..ENOUGH - 1).for_each(|_| pace.record(1, millis(5), Duration::ZERO));
        assert_eq!(pace.quantile(1, 50), None);
        pace.record(1, millis(5), Duration::ZERO);
        assert!(pace.quantile(1, 50).is_some());
        assert_eq!(pace.quantile(100, 50), None);
    }

    #[test]
    fn a_change_of_pace_is_believed_after_a_window() {
        let mut pace = Pace::default();
        (0..1_000).for_each(|_| pace.record(1, millis(5), Duration::ZERO));
        (0..1_000).for_each(|_| pace.record(1, millis(50), Duration::ZERO));
        assert!(pace.quantile(1, 20).unwrap() > millis(40));
    }

    #[test]
    fn every_time_has_a_bucket_whose_end_is_not_below_it() {
        for us in (1..5_000_000).step_by(997) {
            let span = Duration::from_micros(us);
            let end = upper_end(bucket(span));
            assert!(end >= span || us > 4_000_000, "{us} {end:?}");
            assert!(end <= span * 5 / 4 + Duration::from_micros(80), "{us} {end:?}");
        }
    }
}
