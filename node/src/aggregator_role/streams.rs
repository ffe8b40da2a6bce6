//! Who attends, and what goes down to each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use neuro_network::federated::ControlError;
use neuro_primitives::NodeId;
use neuro_protocol::federated::{AggregatorMessage, Dismissed, aggregator_message::Body};
use tokio::sync::mpsc;

/// Messages that wait for one participant. Each cohort that calls it sends one per phase; who is behind by this many is
/// cut off, comes back, and gets the current ones.
const WAITING_MESSAGES: usize = 64;

/// What goes down one stream.
pub type Outgoing = Result<AggregatorMessage, ControlError>;

/// The standing conversations.
#[derive(Debug, Default)]
pub struct Streams {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_node: HashMap<NodeId, (u64, mpsc::Sender<Outgoing>)>,
}

impl Streams {
    /// A new conversation with `node`, which takes the place of an older one. The number tells them apart.
    pub fn open(&self, node: NodeId) -> (u64, mpsc::Receiver<Outgoing>) {
        let (sender, receiver) = mpsc::channel(WAITING_MESSAGES);
        let mut open = self.lock();
        open.next += 1;
        let session = open.next;
        open.by_node.insert(node, (session, sender));
        (session, receiver)
    }

    /// The conversation has ended. Returns whether it was the node's newest.
    pub fn close(&self, node: NodeId, session: u64) -> bool {
        let mut open = self.lock();
        let newest = open.by_node.get(&node).is_some_and(|(held, _)| *held == session);
        if newest {
            open.by_node.remove(&node);
        }
        newest
    }

    /// Sends one message; a participant that is not there gets what is current when it comes back.
    pub fn send(&self, node: NodeId, message: AggregatorMessage) {
        let mut open = self.lock();
        let stuck = open.by_node.get(&node).is_some_and(|(_, sender)| sender.try_send(Ok(message)).is_err());
        if stuck {
            open.by_node.remove(&node);
        }
    }

    /// Who attends now, ascending.
    pub fn attending(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.lock().by_node.keys().copied().collect();
        nodes.sort_unstable();
        nodes
    }

    /// Tells everybody that nothing more comes.
    pub fn dismiss(&self, reason: &str) {
        let dismissed = Dismissed { reason: reason.to_owned() };
        let message = AggregatorMessage { body: Some(Body::Dismissed(dismissed)), ..AggregatorMessage::default() };
        for (_, (_, sender)) in self.lock().by_node.drain() {
            drop(sender.try_send(Ok(message.clone())));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_conversation_counts_and_a_stuck_one_ends() {
        let streams = Streams::default();
        let node = NodeId([1; 32]);
        let (old, mut old_receiver) = streams.open(node);
        let (new, mut receiver) = streams.open(node);
        assert_eq!(old_receiver.recv().await, None, "the older conversation ends");
        assert!(!streams.close(node, old));
        for _ in 0..=WAITING_MESSAGES {
            streams.send(node, AggregatorMessage::default());
        }
        assert_eq!(streams.attending(), [], "who does not listen is cut off");
        assert!(!streams.close(node, new));
        for _ in 0..WAITING_MESSAGES {
            assert!(receiver.recv().await.is_some());
        }
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn everybody_is_told_the_end() {
        let streams = Streams::default();
        let (_, mut receiver) = streams.open(NodeId([1; 32]));
        streams.dismiss("the aggregator stops");
        let last = receiver.recv().await.unwrap().unwrap();
        assert!(matches!(last.body, Some(Body::Dismissed(end)) if end.reason == "the aggregator stops"));
        assert_eq!(receiver.recv().await, None);
    }
}
