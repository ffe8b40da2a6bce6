//! Peer events that their reader has not taken yet.

use std::collections::VecDeque;

use neuro_primitives::NodeId;

use super::PeerEvent;

/// Events in order, none lost, and yet bounded: a connection that came and went before anyone looked leaves nothing.
///
/// So per peer at most a `Disconnected` and a `Connected` wait, and those only for peers that are or were connected
/// when the reader last looked: twice the connection limit in all.
#[derive(Debug, Default)]
pub(super) struct Backlog(VecDeque<PeerEvent>);

impl Backlog {
    pub(super) fn push(&mut self, event: PeerEvent) {
        if let PeerEvent::Disconnected(peer) = event
            && let Some(unseen) = self.last_of(peer)
            && self.0[unseen] == PeerEvent::Connected(peer)
        {
            self.0.remove(unseen);
            return;
        }
        self.0.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<PeerEvent> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn last_of(&self, peer: NodeId) -> Option<usize> {
        self.0.iter().rposition(|event| event.peer() == peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);

    #[test]
    fn a_visit_that_nobody_saw_leaves_no_trace() {
        let mut backlog = Backlog::default();
        for _ in 0..1000 {
            backlog.push(PeerEvent::Connected(A));
            backlog.push(PeerEvent::Connected(B));
            backlog.push(PeerEvent::Disconnected(A));
            backlog.push(PeerEvent::Disconnected(B));
        }
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_return_is_told_after_the_leaving() {
        let mut backlog = Backlog::default();
        for _ in 0..1000 {
            backlog.push(PeerEvent::Disconnected(A));
            backlog.push(PeerEvent::Connected(A));
            assert_eq!(backlog.pop(), Some(PeerEvent::Disconnected(A)));
            assert_eq!(backlog.pop(), Some(PeerEvent::Connected(A)));
        }
        assert_eq!(backlog.pop(), None);
    }
}
