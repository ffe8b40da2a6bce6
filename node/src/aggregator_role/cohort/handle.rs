//! What the rest of the node holds of a running cohort.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use neuro_primitives::{NodeId, UnixMillis};
use neuro_secagg::aggregator::{Input, RoundView};
use neuro_secagg::config::SignedConfig;
use tokio::sync::oneshot;

use crate::aggregator_role::uploads::Uploads;

/// An input on its way to a cohort, and who waits until all that follows from it is durable.
pub struct Posted {
    /// The input.
    pub input: Input,
    /// Hears when it was dealt with.
    pub done: Option<oneshot::Sender<()>>,
}

/// What people see of a cohort.
#[derive(Debug, Default)]
pub struct CohortState {
    /// The core's view; none before its first step.
    pub view: Option<RoundView>,
    /// Who was caught breaking the protocol.
    pub blamed: BTreeSet<NodeId>,
}

/// A running cohort.
///
/// Each conversation has one message under way at a time, because it waits for [`CohortHandle::post`]: so the number of
/// waiting inputs is bounded by the number of conversations.
pub struct CohortHandle {
    /// Its configuration.
    pub config: SignedConfig,
    /// What it is about.
    pub name: String,
    /// When it began.
    pub began: UnixMillis,
    /// Its payloads.
    pub uploads: Arc<Uploads>,
    posts: Sender<Posted>,
    state: Arc<Mutex<CohortState>>,
}

impl CohortHandle {
    /// A handle, and where its posts arrive.
    #[must_use]
    pub fn new(
        config: SignedConfig,
        name: String,
        began: UnixMillis,
        uploads: Arc<Uploads>,
    ) -> (Self, Receiver<Posted>) {
        let (posts, receiver) = channel();
        (Self { config, name, began, uploads, posts, state: Arc::default() }, receiver)
    }

    /// What the cohort publishes its view in.
    #[must_use]
    pub fn state(&self) -> Arc<Mutex<CohortState>> {
        Arc::clone(&self.state)
    }

    /// What people see now.
    pub fn look(&self) -> MutexGuard<'_, CohortState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the cohort with these numbers.
    #[must_use]
    pub fn is(&self, round: u64, cohort: u32) -> bool {
        let config = self.config.config();
        config.round == round && u32::from(config.cohort) == cohort
    }

    /// Hands an input over and waits until what follows from it is durable. Returns whether the cohort still ran.
    pub async fn post(&self, input: Input) -> bool {
        let (done, heard) = oneshot::channel();
        self.posts.send(Posted { input, done: Some(done) }).is_ok() && heard.await.is_ok()
    }

    /// Hands an input over.
    pub fn post_blindly(&self, input: Input) {
        drop(self.posts.send(Posted { input, done: None }));
    }
}
