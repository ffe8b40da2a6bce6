//! What the parts of an aggregator share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use neuro_fl_aggregator::round_plan::RoundPlan;
use neuro_primitives::NodeKey;
use tokio::sync::{mpsc, oneshot};

use super::cohort::CohortHandle;
use super::enrolment::RosterKeeper;
use super::history::History;
use super::models::Models;
use super::streams::Streams;

/// A request to begin a round: its number, or why not.
pub type StartRequest = oneshot::Sender<Result<u64, String>>;

/// What the parts of an aggregator share.
pub struct Shared {
    /// The aggregator's key.
    pub key: NodeKey,
    /// The owner's key, where it is here.
    pub owner: Option<NodeKey>,
    /// The plan.
    pub plan: RoundPlan,
    /// Members that must attend for a round to begin by itself.
    pub start_at: Option<usize>,
    /// What the task is about, for people.
    pub description: String,
    /// Who may take part.
    pub roster: RosterKeeper,
    /// The conversations.
    pub streams: Arc<Streams>,
    /// Weights by their hash.
    pub models: Models,
    /// Requests to begin a round.
    pub starts: mpsc::Sender<StartRequest>,
    /// The cohorts that run.
    pub running: RwLock<Vec<Arc<CohortHandle>>>,
    /// The rounds so far.
    pub history: Mutex<History>,
}

impl Shared {
    /// The cohorts that run.
    #[must_use]
    pub fn cohorts(&self) -> Vec<Arc<CohortHandle>> {
        self.running.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The running cohort with these numbers.
    #[must_use]
    pub fn cohort(&self, round: u64, cohort: u32) -> Option<Arc<CohortHandle>> {
        self.cohorts().into_iter().find(|handle| handle.is(round, cohort))
    }

    /// Replaces the cohorts that run.
    pub fn set_cohorts(&self, cohorts: Vec<Arc<CohortHandle>>) {
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = cohorts;
    }

    /// The rounds so far.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a round, or says why not.
    ///
    /// # Errors
    /// For people.
    pub async fn start_round(&self) -> Result<u64, String> {
        let (request, answer) = oneshot::channel();
        let ended = || "the aggregator is ending".to_owned();
        self.starts.send(request).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}
