//! Tasks for witnesses: the same rows of the same experts, asked of others.

use neuro_primitives::{CallId, Moment, TaskId};

use super::Transitioner;
use super::dispatch::Ready;
use crate::effect::CheckId;
use crate::orchestrator::Orchestrator;
use crate::registry::Slot;

/// Why a task is asked beside a call's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witness {
    /// The check that it is for.
    pub(crate) check: CheckId,
    /// Whether the answer that is checked was accepted already, so that some of its rows suffice.
    pub(crate) spot: bool,
}

/// Experts by catalogue index that one witness is asked for, and their rows.
pub(crate) type Asked = Vec<(usize, u32)>;

impl Transitioner {
    /// Call, worker and experts of a task in flight.
    pub(crate) fn of_task(&self, id: TaskId) -> Option<(CallId, Slot, Vec<usize>)> {
        self.tasks.get(&id).map(|task| (task.call, task.worker, task.experts.clone()))
    }

    /// Whether the deadline of a task in flight has not passed.
    pub(crate) fn is_in_time(&self, id: TaskId) -> bool {
        self.tasks.get(&id).is_some_and(|task| !task.late)
    }

    /// Notes the check of a task's answer.
    pub(crate) fn set_check(&mut self, id: TaskId, check: CheckId) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.check = Some(check);
        }
    }
}

impl Orchestrator {
    /// Other workers than `worker` that hold the experts of one of its tasks among them and never saw these rows; `None` if
    /// there is none for one of the experts. Nobody waits for a witness that may not answer: the checkpoint does.
    pub(crate) fn witnesses(
        &self,
        call: CallId,
        worker: Slot,
        experts: &[usize],
        now: Moment,
    ) -> Option<Vec<(Slot, Asked)>> {
        let call = self.transitioner.calls.get(&call)?;
        let part = |index: &usize| {
            let part = call.part(*index)?;
            let heard = |id: &Slot| self.registry.at(*id).is_some_and(|worker| !worker.is_unheard());
            let unasked = self.registry.serving(*index).iter().copied();
            let unasked = unasked.filter(|id| !part.asked.contains(id) && heard(id));
            let holders = self.validator.candidates(worker, &unasked.collect::<Vec<_>>());
            (!holders.is_empty()).then_some(Ready { index: *index, rows: part.rows, holders })
        };
        let parts: Vec<Ready> = experts.iter().map(part).collect::<Option<_>>()?;
        let shares = self.share_out(&parts, now).into_iter();
        Some(shares.map(|(id, parts)| (id, parts.iter().map(|part| (part.index, part.rows)).collect())).collect())
    }

    /// Asks one witness.
    pub(crate) fn ask_witness(
        &mut self,
        witness_of: Witness,
        call: CallId,
        witness: Slot,
        asked: &Asked,
        now: Moment,
    ) -> TaskId {
        let parts: Vec<Ready> =
            asked.iter().map(|(index, rows)| Ready { index: *index, rows: *rows, holders: Vec::new() }).collect();
        self.send(call, witness, &parts.iter().collect::<Vec<_>>(), Some(witness_of), now)
    }
}
