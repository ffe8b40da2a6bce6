//! What a check shows, and what follows for those who answered.

use neuro_primitives::{Moment, NodeId, TaskId};

use super::{Check, Checked};
use crate::effect::{CheckId, Effect};
use crate::input::Measured;
use crate::orchestrator::Orchestrator;
use crate::registry::Slot;
use crate::timers::Timer;
use crate::tolerance::{Deviation, ToleranceClass};

/// Checks that are finished although their call has ended. A driver settles some dozens at a time and refuses others, so more
/// come only if it hangs; what is kept for them would then grow with the work.
pub(super) const UNUSED_AT_MOST: usize = 256;

impl Check {
    /// Everybody whose answer came, with the task.
    pub(super) fn results(&self) -> Vec<(TaskId, Slot)> {
        let own = (self.answer != Checked::Awaited).then_some((self.task, self.worker));
        own.into_iter().chain(self.witnesses.iter().copied()).collect()
    }
}

impl Orchestrator {
    /// The driver compared.
    pub(crate) fn take_comparison(&mut self, id: CheckId, same: bool, now: Moment) {
        if same {
            return self.conclude(id, &[], now);
        }
        let Some(check) = self.validator.checks.get_mut(&id) else { return };
        self.metering.counters.disputes += 1;
        (check.recomputed, check.disputed) = (true, true);
        self.settle(id);
    }

    /// The driver compared answers that are not exact.
    pub(crate) fn take_deviation(&mut self, id: CheckId, class: ToleranceClass, deviation: &Deviation, now: Moment) {
        let Some(check) = self.validator.checks.get_mut(&id) else { return };
        check.exact = false;
        match self.settings.tolerances.calibration(class) {
            Some(calibration) => self.take_comparison(id, calibration.tolerates(deviation), now),
            None => self.take_failed_recomputation(id, now),
        }
    }

    /// The driver measured answers that are not exact against the checkpoint. Here alone drift is looked for: between two workers
    /// nobody knows whose it is.
    pub(crate) fn take_measurement(&mut self, id: CheckId, answers: &[Measured], now: Moment) {
        let Some(check) = self.validator.checks.get_mut(&id) else { return };
        check.exact = false;
        let (mut wrong, mut drifting) = (Vec::new(), Vec::new());
        for (task, slot) in check.results() {
            let measured = answers.iter().find(|measured| measured.task == task);
            let known = measured.and_then(|at| Some((at, self.settings.tolerances.calibration(at.class)?)));
            let Some((at, calibration)) = known else { return self.take_failed_recomputation(id, now) };
            if !calibration.tolerates(&at.deviation) {
                wrong.push(task);
            } else if self.validator.drifts.entry((slot, at.class)).or_default().take(at.deviation.drawn, calibration) {
                drifting.push(slot);
            }
        }
        self.metering.counters.beyond_tolerance += wrong.len() as u64;
        self.metering.counters.drifts += drifting.len() as u64;
        self.conclude(id, &wrong, now);
        drifting.into_iter().for_each(|slot| self.book.note_checked(slot, false));
    }

    /// The driver recomputed: these tasks were answered wrongly.
    pub(crate) fn take_recomputation(&mut self, id: CheckId, wrong: &[TaskId], now: Moment) {
        self.conclude(id, wrong, now);
    }

    /// Ends a check whose outcome is known.
    fn conclude(&mut self, id: CheckId, wrong: &[TaskId], now: Moment) {
        let Some(check) = self.validator.checks.remove(&id) else { return };
        let (call, task, answer) = (check.call, check.task, check.answer);
        let right = !wrong.contains(&task);
        match (answer, right) {
            (Checked::Held, true) => self.accept_held(call, task, now),
            (Checked::Held, false) => self.accept_recomputed(id, call, task, now),
            (Checked::Accepted, false) => {
                self.metering.counters.retracted += 1;
                self.outbox.push(Effect::Retract { call, task, worker: self.registry.roster.id(check.worker) });
            }
            (Checked::Accepted, true) | (Checked::Awaited | Checked::Unused, _) => {}
        }
        for (task, slot) in check.results() {
            let right = !wrong.contains(&task);
            self.book.note_checked(slot, right);
            let worker = self.registry.roster.id(slot);
            match right {
                true if task != check.task => self.outbox.push(Effect::CreditWitness { worker, task }),
                false if check.exact => self.outbox.push(Effect::Convict { worker, task }),
                _ => {}
            }
        }
        self.close(id, &check);
        let lies = |(task, _): &(TaskId, Slot)| check.exact && wrong.contains(task);
        for (_, slot) in check.results().into_iter().filter(lies) {
            self.exclude(self.registry.roster.id(slot), now);
        }
    }

    /// The task is gone without being accepted, and so is the need for its check. If all answers are there it is finished
    /// nevertheless: a lie that is in them is not lost with the call.
    pub(crate) fn abandon_check(&mut self, id: CheckId) {
        let Some(check) = self.validator.checks.get_mut(&id) else { return };
        match check.answer {
            Checked::Accepted | Checked::Unused => {}
            Checked::Held if check.asked.is_empty() && self.validator.unused < UNUSED_AT_MOST => {
                check.answer = Checked::Unused;
                self.validator.unused += 1;
            }
            Checked::Held | Checked::Awaited => drop(self.end_check(id)),
        }
    }

    pub(super) fn end_check(&mut self, id: CheckId) -> Option<Check> {
        let check = self.validator.checks.remove(&id)?;
        self.close(id, &check);
        Some(check)
    }

    /// Removes every trace of a check that is out of the list.
    fn close(&mut self, id: CheckId, check: &Check) {
        if let Some(due) = check.due {
            self.timers.clear(due, Timer::Check(id));
        }
        for task in &check.asked {
            self.cancel(*task);
        }
        let tasks: Vec<_> = check.results().into_iter().map(|(task, _)| task).collect();
        if !tasks.is_empty() {
            self.outbox.push(Effect::ForgetAnswers { tasks });
        }
        for worker in check.witnesses.iter().map(|(_, worker)| *worker).chain([check.worker]) {
            self.registry.roster.unpin(worker);
        }
        match check.answer {
            Checked::Accepted => self.book.note_check_ended(check.worker),
            Checked::Unused => self.validator.unused -= 1,
            Checked::Awaited | Checked::Held => {}
        }
    }

    /// Excludes a worker for good; two checks may find the same liar.
    fn exclude(&mut self, worker: NodeId, now: Moment) {
        if self.expelled.get(&worker) == Some(&Moment(u64::MAX)) {
            return;
        }
        self.metering.counters.liars += 1;
        self.expel(worker, "a wrong result, settled from the checkpoint".to_owned(), true, now);
        self.expelled.insert(worker, Moment(u64::MAX));
    }
}
