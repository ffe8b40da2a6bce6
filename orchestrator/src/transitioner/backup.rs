//! A second worker, asked before the deadline: because the first takes longer than it usually does, or because its call wants
//! two from the start.

use std::time::Duration;

use neuro_primitives::{Moment, TaskId};

use super::call::Part;
use super::dispatch::expected;
use crate::orchestrator::Orchestrator;
use crate::registry::Slot;
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
        let Some(task) = self.transitioner.tasks.get(&id) else { return };
        let Some(usual) = self.usual(task.worker, rows, PATIENT_WITH_PERCENT) else { return };
        let slow = usual.saturating_add(Duration::from_micros(task.ahead_us));
        let at = now.after(slow.max(expected(task.work_us, task.ahead_us)));
        self.look_again(id, at);
    }

    /// Looks at `at` whether to ask others beside a task, if that comes before its deadline.
    fn look_again(&mut self, id: TaskId, at: Moment) {
        let Some(task) = self.transitioner.tasks.get_mut(&id).filter(|task| at < task.deadline) else { return };
        task.backup_at = Some(at);
        self.timers.set(at, Timer::Backup(id));
    }

    /// The task is slow: other holders are asked too, if there are any and the budget allows it. One that is overdue, and got
    /// more time since nobody else was left to ask, needs no budget: it is asked of whoever holds its experts by now, or was
    /// asked for them and overtaken.
    pub(crate) fn take_backup_time(&mut self, id: TaskId, now: Moment) {
        let Some(task) = self.transitioner.tasks.get_mut(&id) else { return };
        task.backup_at = None;
        let overdue = task.overdue;
        if now >= overdue && self.others_hold(id, |part| &part.tried) {
            self.ask_beside(id, false);
        } else if self.others_hold(id, |part| &part.asked) && self.backups.spend() {
            self.metering.counters.backups += 1;
            self.ask_beside(id, true);
        } else {
            let pause = now.after(self.settings.shortest_deadline);
            self.look_again(id, if now < overdue { overdue } else { pause });
        }
    }

    /// Asks other holders too, from the start, if this is the first task for its experts. For calls that want two.
    pub(super) fn double(&mut self, id: TaskId) {
        let Some(task) = self.transitioner.tasks.get(&id) else { return };
        let Some(call) = self.transitioner.calls.get(&task.call) else { return };
        let first = |index: &usize| call.part(*index).is_some_and(|part| part.attempts == 1);
        if task.experts.iter().all(first) && self.others_hold(id, |part| &part.asked) {
            self.metering.counters.doubled += 1;
            self.ask_beside(id, true);
        }
    }

    /// Whether each expert of a task has a holder beside its worker and those that were `asked`.
    fn others_hold(&self, id: TaskId, asked: impl Fn(&Part) -> &[Slot]) -> bool {
        let Some(task) = self.transitioner.tasks.get(&id) else { return false };
        let Some(call) = self.transitioner.calls.get(&task.call) else { return false };
        task.experts.iter().all(|index| {
            let asked = call.part(*index).map_or(&[][..], &asked);
            self.registry.serving(*index).iter().any(|slot| *slot != task.worker && !asked.contains(slot))
        })
    }

    /// Puts the experts of a task that is waited for up for others beside it: as a `backup`, or because it is overdue.
    fn ask_beside(&mut self, id: TaskId, backup: bool) {
        let Some(task) = self.transitioner.tasks.get_mut(&id) else { return };
        task.backed_up = true;
        let task = task.clone();
        self.reopen(&task, Some(id), |part| part.backup = backup);
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
