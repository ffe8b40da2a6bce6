//! What checks make of answers: kept until they are compared or settled, accepted, retracted, or held against a worker.

use std::collections::BTreeSet;
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
    pub fn not_recomputed(&self, check: CheckId, reason: &str) {
        tracing::warn!(reason, "a check could not be settled from the checkpoint");
        self.advance(&mut self.lock(), Input::NotRecomputed { check });
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
    /// Keeps the answer at hand for its check.
    pub(super) fn keep(&mut self, task: TaskId) -> Option<Input> {
        let (arrived, answer) = self.arrived.take()?;
        assert_eq!(arrived, task, "the core keeps another answer than the one it was shown");
        let sent = self.tasks.remove(&task)?;
        self.kept.insert(task, Arc::new(Kept { sent, answer }));
        None
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

    pub(super) fn forget_answers(&mut self, tasks: &[TaskId]) -> Option<Input> {
        let kept: Vec<_> = tasks.iter().filter_map(|task| self.kept.remove(task)).collect();
        kept.iter().for_each(|kept| self.note_standing(kept.sent.worker));
        None
    }

    /// Writes down how a worker stands after its standing changed.
    pub(super) fn note_standing(&self, worker: NodeId) {
        if let (Some(recorder), Some(standing)) = (&self.recorder, self.core.standing(worker)) {
            recorder.set_standing(worker, standing.clone());
        }
    }

    /// Whoever still reads what came of a wrong answer is told so; for those who do not, it is counted and logged.
    pub(super) fn retract(&mut self, call: CallId, worker: NodeId) -> Option<Input> {
        tracing::warn!(worker = %worker.short(), call = call.0, "a result that was used has turned out wrong");
        let of_call = self.kept.values().filter(|kept| kept.sent.call == call);
        of_call.for_each(|kept| kept.sent.source.tally.taint());
        None
    }

    pub(super) fn convict(&mut self, worker: NodeId, task: TaskId) -> Option<Input> {
        let kept = self.kept.get(&task)?;
        let experts: BTreeSet<u16> = kept.routes().entries().iter().map(|route| route.expert).collect();
        let reason =
            format!("a wrong result for experts {experts:?} of layer {}, settled from the checkpoint", kept.layer());
        tracing::warn!(worker = %worker.short(), reason, "a worker is excluded");
        self.blame(worker);
        self.recorder.iter().for_each(|recorder| recorder.exclude(worker, reason.clone()));
        self.excluded.insert(worker, reason);
        None
    }
}
