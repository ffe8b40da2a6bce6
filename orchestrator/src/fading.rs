//! A count of what should be forgiven in time: half of it is forgotten every hour.

use std::time::Duration;

use neuro_primitives::Moment;

/// What counts one, so that halves are not lost.
const ONE: u32 = 256;

/// Half of the count is forgotten after each of these. A worker with one fault a week is never near the few that expel; one
/// that spreads its faults can have less than half of these few in an hour.
const HALVES_EVERY: Duration = Duration::from_secs(3_600);

/// A count that fades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fading {
    parts: u32,
    /// Up to when it has faded.
    faded: Moment,
}

impl Fading {
    /// Counts one more, and tells how many there are with it.
    pub(crate) fn add(&mut self, now: Moment) -> u32 {
        self.parts = self.parts_at(now).saturating_add(ONE);
        self.faded = match self.parts {
            ONE => now,
            _ => self.faded.after(HALVES_EVERY.saturating_mul(self.halvings(now))),
        };
        self.parts / ONE
    }

    /// How many there were when the last one was counted: one that has begun to fade is one.
    pub(crate) const fn last(&self) -> u32 {
        self.parts.div_ceil(ONE)
    }

    fn halvings(&self, now: Moment) -> u32 {
        u32::try_from(now.since(self.faded).as_secs() / HALVES_EVERY.as_secs()).unwrap_or(u32::MAX)
    }

    fn parts_at(&self, now: Moment) -> u32 {
        self.parts.checked_shr(self.halvings(now)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u64) -> Moment {
        Moment(0).after(HALVES_EVERY * u32::try_from(hours).unwrap())
    }

    #[test]
    fn what_happens_within_an_hour_adds_up_and_what_happens_once_a_week_does_not() {
        let (mut burst, mut rare) = (Fading::default(), Fading::default());
        let counts: Vec<u32> = (0..5).map(|step| burst.add(Moment(step * 600_000_000))).collect();
        assert_eq!(counts, [1, 2, 3, 4, 5]);
        assert!((0..500).all(|week| rare.add(hours(week * 168)) == 1));
    }

    #[test]
    fn half_is_forgotten_every_hour() {
        let mut count = Fading::default();
        assert_eq!((0..8).map(|_| count.add(Moment(7))).last(), Some(8));
        let later = |at| {
            let mut copy = count;
            copy.add(at)
        };
        assert_eq!([0, 1, 2, 4].map(|hour| later(Moment(7 + hours(hour).0))), [9, 5, 3, 1]);
        assert_eq!(later(Moment(u64::MAX)), 1);
    }
}
