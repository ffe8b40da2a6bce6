//! What workers are blamed for, who is excluded, and who may come back.

use std::collections::BTreeSet;

use neuro_orchestrator::Input;
use neuro_primitives::{NodeId, TaskId};

use super::{Dispatch, State};

/// Workers whose faults are remembered after they left. Only those with a fault take a place.
const BLAMED_KEPT: usize = 4_096;

impl Dispatch {
    /// Counts a fault that the core does not see: a broken protocol.
    pub fn blame(&self, worker: NodeId) {
        self.lock().blame(worker);
    }

    /// The faults of a worker since this node started, whether it is still there or not.
    pub fn faults(&self, worker: NodeId) -> u64 {
        self.lock().faults.get(&worker).copied().unwrap_or(0)
    }

    /// Why a worker is excluded for good, if it is.
    pub fn excluded(&self, worker: NodeId) -> Option<String> {
        let state = self.lock();
        let before = || state.recorder.as_ref()?.worker(worker)?.excluded;
        state.excluded.get(&worker).cloned().or_else(before)
    }

    /// Lets a worker work again that was excluded: by the core, and by what outlives this run. It begins on probation.
    pub fn pardon(&self, worker: NodeId) {
        let mut state = self.lock();
        state.excluded.remove(&worker);
        state.faults.remove(&worker);
        self.advance(&mut state, Input::WorkerPardoned { worker });
        state.recorder.iter().for_each(|recorder| recorder.pardon(worker));
    }
}

impl State {
    pub(super) fn blame(&mut self, worker: NodeId) {
        *self.faults.entry(worker).or_default() += 1;
        if self.faults.len() > BLAMED_KEPT {
            let other = self.faults.keys().find(|id| **id != worker && !self.links.contains_key(id)).copied();
            other.and_then(|id| self.faults.remove(&id));
        }
    }

    /// Writes down how a worker stands after its standing changed.
    pub(super) fn note_standing(&self, worker: NodeId) {
        if let (Some(recorder), Some(standing)) = (&self.recorder, self.core.standing(worker)) {
            recorder.set_standing(worker, standing.clone());
        }
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
