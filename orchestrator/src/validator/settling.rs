//! When the checkpoint does not answer.

use neuro_primitives::Moment;

use super::{Checked, SETTLED_TRIES, SETTLED_WITHIN, SETTLING_PAUSE};
use crate::effect::CheckId;
use crate::orchestrator::Orchestrator;
use crate::timers::Timer;

impl Orchestrator {
    /// Sets timers for the checks that the driver was told to settle in this step.
    pub(crate) fn watch_settlements(&mut self, now: Moment) {
        for id in std::mem::take(&mut self.validator.settling) {
            self.set_check_timer(id, now.after(SETTLED_WITHIN));
        }
    }

    fn set_check_timer(&mut self, id: CheckId, due: Moment) {
        let Some(check) = self.validator.checks.get_mut(&id) else { return };
        if let Some(before) = check.due.replace(due) {
            self.timers.clear(before, Timer::Check(id));
        }
        self.timers.set(due, Timer::Check(id));
    }

    /// Asks the checkpoint again about an answer that was used. One that is held waits no longer: others are asked, and what the
    /// check shows counts when it comes.
    pub(crate) fn take_check_timer(&mut self, id: CheckId, now: Moment) {
        let Some(check) = self.validator.checks.get_mut(&id) else { return };
        check.due = None;
        match check.answer {
            Checked::Held => {
                let task = check.task;
                self.return_task(task, now);
            }
            Checked::Accepted if check.refusals > 0 => self.settle(id),
            Checked::Accepted | Checked::Awaited | Checked::Unused => {}
        }
    }

    /// The driver could not recompute. An answer that is held is not used. If answers differed, all who gave them lose; nobody's
    /// standing rises.
    pub(crate) fn take_failed_recomputation(&mut self, id: CheckId, now: Moment) {
        let Some(check) = self.validator.checks.get_mut(&id) else { return };
        check.refusals += 1;
        if check.answer == Checked::Accepted && check.refusals < SETTLED_TRIES {
            let pause = SETTLING_PAUSE.saturating_mul(1 << (check.refusals - 1));
            return self.set_check_timer(id, now.after(pause));
        }
        let Some(check) = self.end_check(id) else { return };
        if check.disputed {
            check.results().iter().for_each(|(_, worker)| self.book.note_unsettled(*worker));
        } else if check.answer == Checked::Accepted {
            self.book.note_fault(check.worker);
        }
        if check.answer == Checked::Held {
            self.return_task(check.task, now);
        }
    }
}
