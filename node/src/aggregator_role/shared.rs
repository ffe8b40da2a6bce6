//! What the parts of an aggregator share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use neuro_fl_aggregator::round_plan::RoundPlan;
use neuro_primitives::{NodeId, NodeKey};
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
    /// What members declared to be able to do when they last came.
    pub capabilities: Mutex<BTreeMap<NodeId, u64>>,
    /// Weights by their hash.
    pub models: Models,
    /// Requests to begin a round.
    pub starts: mpsc::Sender<StartRequest>,
    /// The cohorts of the round that runs.
    pub running: RwLock<Vec<Arc<CohortHandle>>>,
    /// Those of the last round that ended: who comes back late is told how.
    pub ended: RwLock<Vec<Arc<CohortHandle>>>,
    /// Why no further round is called by itself, for people.
    pub task_end: Mutex<Option<String>>,
    /// The rounds so far.
    pub history: Mutex<History>,
}

impl Shared {
    /// The cohorts that run.
    #[must_use]
    pub fn cohorts(&self) -> Vec<Arc<CohortHandle>> {
        self.running.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The cohorts that still answer: those that run, or of the last round.
    #[must_use]
    pub fn answering(&self) -> Vec<Arc<CohortHandle>> {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.cohorts().into_iter().chain(ended).collect()
    }

    /// The cohort with these numbers, if it still answers.
    #[must_use]
    pub fn cohort(&self, round: u64, cohort: u32) -> Option<Arc<CohortHandle>> {
        self.answering().into_iter().find(|handle| handle.is(round, cohort))
    }

    /// A round begins with these cohorts.
    pub fn begin(&self, cohorts: Vec<Arc<CohortHandle>>) {
        self.ended.write().unwrap_or_else(PoisonError::into_inner).clear();
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = cohorts;
    }

    /// The round that ran has ended.
    pub fn end(&self) {
        let cohorts = std::mem::take(&mut *self.running.write().unwrap_or_else(PoisonError::into_inner));
        *self.ended.write().unwrap_or_else(PoisonError::into_inner) = cohorts;
    }

    /// Why no further round is called by itself.
    pub fn task_end(&self) -> MutexGuard<'_, Option<String>> {
        self.task_end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What members declared to be able to do when they last came.
    pub fn capabilities(&self) -> MutexGuard<'_, BTreeMap<NodeId, u64>> {
        self.capabilities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rounds so far.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Members that a round may call: they attend, and were not caught breaking the protocol. Ascending.
    #[must_use]
    pub fn callable(&self) -> Vec<NodeId> {
        let blamed = self.history().blamed();
        self.streams.attending().into_iter().filter(|node| !blamed.contains_key(node)).collect()
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
