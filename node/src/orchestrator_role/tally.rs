//! Who computed what for one job.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use neuro_inference::ExpertsError;
use neuro_primitives::NodeId;
use serde::{Deserialize, Serialize};

/// Counts one job's work per worker while it runs.
#[derive(Debug, Default)]
pub struct JobTally {
    shares: Mutex<BTreeMap<NodeId, Share>>,
    /// Whether a wrong answer was used for it.
    tainted: AtomicBool,
}

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
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(worker).or_default();
        share.tasks += 1;
        share.expert_rows += expert_rows as u64;
        share.compute_us += u64::from(compute_us);
    }

    /// A wrong answer was used for this job.
    pub fn taint(&self) {
        self.tainted.store(true, Ordering::Release);
    }

    /// Whether all answers that were used for it are still believed.
    ///
    /// # Errors
    /// Not to be retried: a wrong one was used.
    pub fn check_untainted(&self) -> Result<(), ExpertsError> {
        if !self.tainted.load(Ordering::Acquire) {
            return Ok(());
        }
        let message = "a worker's result that this answer rests on has turned out wrong: what came so far may be wrong, \
                       ask again (that worker is excluded)";
        Err(ExpertsError { message: message.to_owned(), retryable: false })
    }

    /// The shares so far, by worker.
    #[must_use]
    pub fn shares(&self) -> BTreeMap<NodeId, Share> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
