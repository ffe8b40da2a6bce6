//! A second worker, asked before the deadline because the first takes longer than it usually does.

use neuro_primitives::{Moment, TaskId};

use crate::orchestrator::Orchestrator;
use crate::timers::Timer;

/// Of a worker's usual tasks, so many in a hundred are answered before a second one is asked.
const PATIENT_WITH_PERCENT: u32 = 95;

/// Backup requests that may be saved up for a burst.
const SAVED: u32 = 16;

/// What one costs.
const PRICE: u32 = 100;

/// A token bucket: each task that is no backup pays in some hundredths, a backup request costs a whole.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    hundredths: u32,
}

impl Budget {
    pub(super) fn pay_in(&mut self, percent: u32) {
        self.hundredths = self.hundredths.saturating_add(percent).min(SAVED * PRICE);
    }

    fn spend(&mut self) -> bool {
        let Some(rest) = self.hundredths.checked_sub(PRICE) else { return false };
        self.hundredths = rest;
        true
    }
}

impl Orchestrator {
    /// Sets the time at which the task is slow for its worker, if that comes before its deadline.
    pub(super) fn watch_pace(&mut self, id: TaskId, rows: u64, now: Moment) {
        let Some(task) = self.transitioner.tasks.get_mut(&id) else { return };
        let usual = self.registry.at(task.worker).and_then(|worker| worker.pace.quantile(rows, PATIENT_WITH_PERCENT));
        let Some(usual) = usual else { return };
        let at = Moment(now.after(usual).0.saturating_add(task.ahead_us));
        if at < task.deadline {
            task.backup_at = Some(at);
            self.timers.set(at, Timer::Backup(id));
        }
    }

    /// The task is slow: other holders are asked too, if there are any and the budget allows it.
    pub(crate) fn take_backup_time(&mut self, id: TaskId, _now: Moment) {
        let Some(task) = self.transitioner.tasks.get_mut(&id) else { return };
        task.backup_at = None;
        let task = task.clone();
        let Some(call) = self.transitioner.calls.get(&task.call) else { return };
        let has_other = |index: &usize| {
            let asked = call.part(*index).map_or(&[][..], |part| &part.asked);
            self.registry.serving(*index).iter().any(|id| !asked.contains(id))
        };
        if !task.experts.iter().all(has_other) || !self.backups.spend() {
            return;
        }
        self.metering.counters.backups += 1;
        if let Some(task) = self.transitioner.tasks.get_mut(&id) {
            task.backed_up = true;
        }
        self.reopen(&task, Some(id), |part| part.backup = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_backup_for_ten_tasks_and_a_bounded_burst() {
        let mut budget = Budget::default();
        (0..9).for_each(|_| budget.pay_in(10));
        assert!(!budget.spend());
        budget.pay_in(10);
        assert!(budget.spend() && !budget.spend());
        (0..10_000).for_each(|_| budget.pay_in(10));
        assert_eq!((0..100).filter(|_| budget.spend()).count(), SAVED as usize);
    }
}
