//! How much less than others a worker should be given: for its speed, its distance, its conduct.

use neuro_primitives::Moment;

use super::release;
use crate::orchestrator::Orchestrator;

/// What a worker's load counts, in 256ths. In classes of twice as much, since speeds are measured and every change moves
/// experts: a worker changes its class only when it is clearly in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handicap(u64);

/// The classes: twice as fast as the median worker, like it, half as fast, a fourth or less.
const CLASSES: [u64; 4] = [128, 256, 512, 1024];

/// Answers from which on a worker's cost counts.
const ENOUGH_ANSWERS: u64 = 64;

/// A class is kept while the measured cost is below this many fourths of it, and above the inverse.
const KEPT_FOURTHS: u64 = 7;

impl Default for Handicap {
    fn default() -> Self {
        Self(256)
    }
}

impl Handicap {
    /// The class of so many 256ths.
    #[cfg(test)]
    pub(crate) const fn of(class: u64) -> Self {
        Self(class)
    }

    /// The load of `weight` at this worker.
    pub(crate) const fn times(self, weight: u64) -> u64 {
        weight.saturating_mul(self.0) / 256
    }

    /// In per cent of the median worker's.
    pub(crate) const fn percent(self) -> u64 {
        self.0 * 100 / 256
    }

    /// The class for a worker whose cost is `ratio` 256ths of the median, and that was in this one.
    fn updated(self, ratio: u64) -> Self {
        let kept = ratio * 4 < self.0 * KEPT_FOURTHS && ratio * KEPT_FOURTHS > self.0 * 4;
        if kept {
            return self;
        }
        // The boundaries lie at the geometric means: a class times the root of two.
        let class = CLASSES.iter().find(|class| ratio * 100 < **class * 141);
        Self(class.copied().unwrap_or(CLASSES[CLASSES.len() - 1]))
    }
}

impl Orchestrator {
    /// Looks again at what each worker is worth: the cost of one row at one expert, there and back, longer for who is
    /// often wrong or late, beside the median of all workers. Who answered little counts like the median: one slow
    /// message must not move experts.
    pub(crate) fn weigh_workers(&mut self, now: Moment) {
        let fleet = &self.metering.fleet;
        let cost = |id, worker: &crate::registry::Worker| {
            let estimate = &worker.estimate;
            let Some(slot) = self.registry.slot(id) else { return 0 };
            self.burdened(slot, estimate.overhead_us(fleet, now).saturating_add(estimate.expert_us(1, fleet)))
        };
        let costs: Vec<_> = self.registry.workers().map(|(id, worker)| (id, cost(id, worker))).collect();
        self.look_who_is_proven(now);
        let mut sorted: Vec<u64> = costs.iter().map(|(_, cost)| *cost).collect();
        sorted.sort_unstable();
        let Some(median) = sorted.get(sorted.len() / 2).map(|median| (*median).max(1)) else { return };
        for (id, cost) in costs {
            if let Some(worker) = self.registry.worker_mut(id).filter(|worker| worker.tasks_done >= ENOUGH_ANSWERS) {
                worker.handicap = worker.handicap.updated(cost.saturating_mul(256) / median);
            }
        }
    }

    /// Looks again at who was here for long and answered right. Copies that were kept for want of others can go then.
    fn look_who_is_proven(&mut self, now: Moment) {
        let is_proven = |id, worker: &crate::registry::Worker| {
            let standing = self.registry.slot(id).and_then(|slot| self.book.standing(slot));
            standing.is_some_and(|standing| {
                let connected = now.since(worker.joined()).as_secs_f64() + standing.uptime_s;
                !standing.is_on_probation() && connected >= self.settings.proven_after.as_secs_f64()
            })
        };
        let proven: Vec<_> = self.registry.workers().map(|(id, worker)| (id, is_proven(id, worker))).collect();
        let mut more = false;
        for (id, proven) in proven {
            if let Some(worker) = self.registry.worker_mut(id) {
                more |= proven && !worker.proven;
                worker.proven = proven;
            }
        }
        if more {
            (0..self.registry.catalogue.len()).for_each(|expert| release(&mut self.registry, expert));
        }
    }

    /// Whether a message costs so much more than the computing of an expert that experts of one token are better held
    /// together: the slowest of many messages is slower than that of few.
    pub(crate) fn is_far_flung(&self, now: Moment) -> bool {
        let fleet = &self.metering.fleet;
        fleet.overhead_us(fleet, now) > fleet.expert_us(1, fleet).saturating_mul(FAR)
    }
}

/// Expert computations that a message must cost. With eight experts a token, four leave the token as fast on two workers
/// as on eight.
const FAR: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_changes_no_class_and_a_clear_difference_does() {
        let usual = Handicap::default();
        assert!([150, 256, 440].iter().all(|ratio| usual.updated(*ratio) == usual));
        assert_eq!((usual.updated(100).percent(), usual.updated(600).percent()), (50, 200));
        assert_eq!(usual.updated(50_000).percent(), 400);
        let slow = usual.updated(600);
        assert_eq!(slow.updated(400), slow, "the way back is as far");
        assert_eq!(slow.updated(280), usual);
    }
}
