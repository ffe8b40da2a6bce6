//! Who computed what for one job.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use neuro_primitives::NodeId;
use serde::{Deserialize, Serialize};

/// Counts one job's work per worker while it runs.
#[derive(Debug, Default)]
pub struct JobTally(Mutex<BTreeMap<NodeId, Share>>);

/// What one worker did for one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// Micro-tasks whose answers were used.
    pub tasks: u64,
    /// Rows × experts computed in them.
    pub expert_rows: u64,
    /// Time the worker says it computed, in microseconds.
    pub compute_us: u64,
}

impl JobTally {
    /// Counts one accepted answer.
    pub fn count(&self, worker: NodeId, expert_rows: usize, compute_us: u32) {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(worker).or_default();
        share.tasks += 1;
        share.expert_rows += expert_rows as u64;
        share.compute_us += u64::from(compute_us);
    }

    /// The shares so far, by worker.
    #[must_use]
    pub fn shares(&self) -> BTreeMap<NodeId, Share> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
