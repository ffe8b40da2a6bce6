//! Where links from other parties wait for the session that they belong to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use neuro_network::smpc::{Incoming, SessionId};
use neuro_primitives::NodeId;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Links that wait at once. Two a session; more are turned away.
const MAX_WAITING: usize = 64;

/// Links that came before the session that they belong to asked for them.
#[derive(Clone, Default)]
pub(super) struct Rendezvous {
    waiting: Arc<Mutex<HashMap<(SessionId, NodeId), Incoming>>>,
    changed: Arc<Notify>,
}

impl Rendezvous {
    /// Keeps `incoming` for its session, for `patience` and no longer. One that comes twice is dropped.
    pub(super) fn put(&self, incoming: Incoming, patience: Duration) {
        let key = (incoming.first.session, incoming.peer);
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MAX_WAITING || waiting.contains_key(&key) {
                return;
            }
            waiting.insert(key, incoming);
        }
        self.changed.notify_waiters();
        let board = self.clone();
        tokio::spawn(async move {
            sleep(patience).await;
            drop(board.remove(key));
        });
    }

    /// The link of `session` from `peer`; none within `patience`.
    pub(super) async fn take(&self, session: SessionId, peer: NodeId, patience: Duration) -> Option<Incoming> {
        let arrival = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // Registered before the look, so that nothing that comes in between is missed.
                changed.as_mut().enable();
                if let Some(incoming) = self.remove((session, peer)) {
                    return incoming;
                }
                changed.await;
            }
        };
        timeout(patience, arrival).await.ok()
    }

    fn remove(&self, key: (SessionId, NodeId)) -> Option<Incoming> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&key)
    }
}
