//! What shall happen when, and when the core wants to be woken.

use std::collections::BTreeSet;

use neuro_primitives::{CallId, Moment, TaskId};

use crate::effect::CheckId;
use crate::registry::Slot;

/// What a timer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A task's deadline.
    Task(TaskId),
    /// A task takes longer than its worker usually does.
    Backup(TaskId),
    /// A call's pause or patience ends.
    Call(CallId),
    /// A worker's loads should have made progress.
    Loads(Slot),
    /// The checkpoint should have settled a check, or may be asked again.
    Check(CheckId),
    /// A worker that failed to load an expert may be asked again.
    Refusals,
    /// Enough was waited for workers that start together.
    Gathered,
}

/// All timers set, each owned by one thing in flight, and the last wake-up asked for.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeSet<(Moment, Timer)>,
    announced: Option<Moment>,
}

impl Timers {
    /// Sets a timer.
    pub(crate) fn set(&mut self, at: Moment, timer: Timer) {
        self.set.insert((at, timer));
    }

    /// Takes a timer back.
    pub(crate) fn clear(&mut self, at: Moment, timer: Timer) {
        self.set.remove(&(at, timer));
    }

    /// Takes the next timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<Timer> {
        let first = *self.set.first()?;
        (first.0 <= now).then(|| {
            self.set.remove(&first);
            first.1
        })
    }

    /// The moment to announce after a step at `now`: only when the driver would otherwise come too late, so that most
    /// steps announce nothing.
    pub(crate) fn announce(&mut self, now: Moment) -> Option<Moment> {
        let next = self.set.first()?.0;
        let covered = self.announced.is_some_and(|at| at > now && at <= next);
        if covered {
            return None;
        }
        self.announced = Some(next);
        Some(next)
    }

    /// How many timers are set.
    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_is_announced_when_it_is_needed_earlier_or_was_used_up() {
        let mut timers = Timers::default();
        assert_eq!(timers.announce(Moment(0)), None);
        timers.set(Moment(50), Timer::Task(TaskId(1)));
        assert_eq!(timers.announce(Moment(0)), Some(Moment(50)));
        timers.set(Moment(60), Timer::Task(TaskId(2)));
        assert_eq!(timers.announce(Moment(1)), None);
        timers.set(Moment(40), Timer::Call(CallId(3)));
        assert_eq!(timers.announce(Moment(2)), Some(Moment(40)));
        assert_eq!(timers.pop_due(Moment(39)), None);
        assert_eq!(timers.pop_due(Moment(45)), Some(Timer::Call(CallId(3))));
        assert_eq!(timers.pop_due(Moment(45)), None);
        assert_eq!(timers.announce(Moment(45)), Some(Moment(50)));
        timers.clear(Moment(50), Timer::Task(TaskId(1)));
        assert_eq!((timers.announce(Moment(46)), timers.len()), (None, 1));
        assert_eq!(timers.announce(Moment(50)), Some(Moment(60)));
    }
}
