//! Whether passes run in one lane or in two.
//!
//! Two lanes hide the network behind the trunk's computing and make every call of experts half as large. What that comes
//! to depends on the network, the model and the machine, so both ways are timed, again and again.

use std::time::Duration;

/// Portions below which a pass has one lane: halves of less are calls of single rows.
const LEAST_PORTIONS: usize = 4;

/// One pass in so many is run the other way, to see whether that has become the faster one. Three runs in a row: the first
/// finds everything cold.
const PROBED_ONE_IN: u64 = 128;
const PROBES: u64 = 3;

/// Weight of a new time.
const SAMPLE_SHARE: f64 = 0.125;

/// How many lanes, and what each took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lanes {
    One,
    Two,
}

/// The times so far.
#[derive(Debug, Default)]
pub(super) struct LaneTimes {
    /// Seconds a row in one lane and in two.
    seconds: [Option<f64>; 2],
    passes: u64,
}

impl LaneTimes {
    /// How the next pass over so many portions is run; `away` if the experts are behind a network.
    pub(super) fn choose(&mut self, portions: usize, away: bool) -> Lanes {
        if !away || portions < LEAST_PORTIONS {
            return Lanes::One;
        }
        self.passes += 1;
        let (faster, slower) = match self.seconds {
            [Some(one), Some(two)] if two < one => (Lanes::Two, Lanes::One),
            [Some(_), None] => return Lanes::Two,
            [None, _] => return Lanes::One,
            _ => (Lanes::One, Lanes::Two),
        };
        if self.passes % PROBED_ONE_IN < PROBES { slower } else { faster }
    }

    /// A pass of decoding over so many rows took `spent`.
    pub(super) fn note(&mut self, lanes: Lanes, rows: usize, spent: Duration) {
        let seconds = spent.as_secs_f64() / rows.max(1) as f64;
        let known = &mut self.seconds[lanes as usize];
        *known = Some(known.map_or(seconds, |before| before + (seconds - before) * SAMPLE_SHARE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(times: &mut LaneTimes, passes: usize, one_ms: u64, two_ms: u64) -> usize {
        let pass = |_| {
            let lanes = times.choose(8, true);
            times.note(lanes, 8, Duration::from_millis(if lanes == Lanes::One { one_ms } else { two_ms }));
            lanes
        };
        (0..passes).map(pass).filter(|lanes| *lanes == Lanes::Two).count()
    }

    #[test]
    fn the_faster_way_is_taken_and_a_change_is_noticed() {
        let mut times = LaneTimes::default();
        assert!(run(&mut times, 1_000, 10, 6) > 950);
        run(&mut times, 6_000, 10, 14);
        assert!(run(&mut times, 1_000, 10, 14) < 50);
    }

    #[test]
    fn local_experts_and_few_sequences_have_one_lane() {
        let mut times = LaneTimes::default();
        assert!((0..100).all(|_| times.choose(16, false) == Lanes::One));
        assert!((0..100).all(|_| times.choose(3, true) == Lanes::One));
    }
}
