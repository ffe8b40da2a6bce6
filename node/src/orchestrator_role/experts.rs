//! The decode loop's way to experts on workers, and the memory of who computed what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use neuro_inference::{ExpertLayers, ExpertsError};
use neuro_primitives::{JobId, NodeId, Routes, Rows};

use super::dispatch::Dispatch;
use super::tally::{JobTally, Share};
use crate::jobs::JobExperts;

/// Jobs whose shares are kept after they ended. An answer's explanation is read right at its end; 256 cover every slot
/// many times over.
const TALLIES_KEPT: usize = 256;

/// Experts on workers.
pub struct RemoteExperts {
    dispatch: Arc<Dispatch>,
    tallies: Mutex<BTreeMap<JobId, Arc<JobTally>>>,
}

impl RemoteExperts {
    /// Experts that `dispatch` reaches.
    #[must_use]
    pub fn new(dispatch: Arc<Dispatch>) -> Self {
        Self { dispatch, tallies: Mutex::default() }
    }

    /// Who computed what for a job that runs or ended lately.
    #[must_use]
    pub fn shares(&self, job: JobId) -> Option<BTreeMap<NodeId, Share>> {
        self.tallies().get(&job).map(|tally| tally.shares())
    }

    fn tallies(&self) -> MutexGuard<'_, BTreeMap<JobId, Arc<JobTally>>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobExperts for RemoteExperts {
    fn for_job(&self, job: JobId) -> Box<dyn ExpertLayers + '_> {
        let tally = Arc::new(JobTally::default());
        let mut tallies = self.tallies();
        tallies.insert(job, Arc::clone(&tally));
        while tallies.len() > TALLIES_KEPT {
            tallies.pop_first();
        }
        Box::new(ForJob { dispatch: &self.dispatch, tally })
    }
}

/// Experts as one job calls them.
struct ForJob<'a> {
    dispatch: &'a Dispatch,
    tally: Arc<JobTally>,
}

impl ExpertLayers for ForJob<'_> {
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        self.dispatch.call(layer, hidden, routes, &self.tally)
    }
}
