//! What checks make of answers: kept until they are compared or settled, accepted, retracted, or held against a worker.

use std::sync::Arc;

use neuro_orchestrator::{CheckId, Input};
use neuro_primitives::{CallId, NodeId, RowSum, TaskId};

use super::super::auditor::Dispute;
use super::{Dispatch, Kept, State};

/// The right sums of a task that was checked.
pub(super) struct Recomputed {
    rows: Vec<usize>,
    sums: Vec<RowSum>,
}

impl Dispatch {
    /// The auditor settled a check: `sums` are the right ones, the answers to `wrong` are not.
    pub fn recomputed(&self, check: CheckId, sums: Vec<RowSum>, wrong: Vec<TaskId>, rows: Vec<usize>) {
        let mut state = self.lock();
        state.recomputed = Some(Recomputed { rows, sums });
        self.advance(&mut state, Input::Recomputed { check, wrong });
        state.recomputed = None;
    }

    /// The auditor cannot settle a check.
    pub fn not_recomputed(&self, check: CheckId) {
        self.advance(&mut self.lock(), Input::NotRecomputed { check });
    }

    /// Keeps the answer at hand for its check, and what its worker is owed back until then.
    pub(super) fn keep(&self, state: &mut State, task: TaskId) -> Option<Input> {
        let kept = state.keep(task)?;
        self.receipts.get().into_iter().for_each(|receipts| receipts.check_began(kept.worker(), task));
        None
    }

    /// The checks that needed these answers have ended.
    pub(super) fn forget_answers(&self, state: &mut State, tasks: &[TaskId]) -> Option<Input> {
        for task in tasks {
            let Some(kept) = state.kept.remove(task) else { continue };
            self.receipts.get().into_iter().for_each(|receipts| receipts.check_ended(kept.worker(), *task));
            state.note_standing(kept.worker());
        }
        None
    }

    /// Hands a check to the auditor.
    pub(super) fn recompute(&self, state: &State, check: CheckId, task: TaskId, against: &[TaskId]) -> Option<Input> {
        let kept = |task: &TaskId| Some((*task, Arc::clone(state.kept.get(task)?)));
        let dispute = kept(&task).map(|checked| {
            let witnesses = against.iter().filter_map(kept).collect();
            Dispute { check, checked, witnesses }
        });
        let taken = dispute.is_some_and(|dispute| self.auditor.get().is_some_and(|auditor| auditor.take(dispute)));
        (!taken).then_some(Input::NotRecomputed { check })
    }
}

impl State {
    fn keep(&mut self, task: TaskId) -> Option<Arc<Kept>> {
        let (arrived, answer) = self.arrived.take()?;
        assert_eq!(arrived, task, "the core keeps another answer than the one it was shown");
        let sent = self.tasks.remove(&task)?;
        let kept = Arc::new(Kept { sent, answer });
        self.kept.insert(task, Arc::clone(&kept));
        Some(kept)
    }

    pub(super) fn compare(&self, check: CheckId, task: TaskId, against: &[TaskId]) -> Option<Input> {
        let witnesses: Vec<_> = against.iter().filter_map(|task| self.kept.get(task).map(Arc::clone)).collect();
        let same = witnesses.len() == against.len() && self.kept.get(&task)?.agrees_with(&witnesses);
        Some(Input::Compared { check, same })
    }

    pub(super) fn credit_witness(&self, task: TaskId) -> Option<Input> {
        self.note_work(&self.kept.get(&task)?.sent);
        None
    }

    pub(super) fn accept_recomputed(&mut self, call: CallId) -> Option<Input> {
        let Recomputed { rows, sums } = self.recomputed.take()?;
        self.add_sums(call, &rows, &sums)
    }

    /// Whoever still reads what came of a wrong answer is told so; for those who do not, it is counted and logged. Jobs of
    /// whose rows the liar got none rest on nothing of it.
    pub(super) fn retract(&mut self, call: CallId, task: TaskId, worker: NodeId) -> Option<Input> {
        tracing::warn!(worker = %worker.short(), call = call.0, "a result that was used has turned out wrong");
        let kept = self.kept.get(&task)?;
        kept.sent.source.tally.taint(&kept.sent.rows);
        None
    }
}
