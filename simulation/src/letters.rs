//! Announcements that are under way.

use std::collections::VecDeque;
use std::sync::Arc;

use neuro_primitives::NodeId;

/// What reaches a participant.
pub(crate) enum Post {
    /// The signed configuration.
    Config(Arc<[u8]>),
    /// Any later announcement.
    Announcement(Arc<[u8]>),
}

impl Post {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Config(bytes) | Self::Announcement(bytes) => bytes,
        }
    }
}

/// A letter in the queue.
pub(crate) enum Letter {
    /// With its text, which many may share.
    Ready(Post),
    /// What is for its receiver alone is written when it is taken, so that no two lie here.
    Own,
}

/// Letters in the order in which they were sent.
#[derive(Default)]
pub(crate) struct Letters(VecDeque<(NodeId, Letter)>);

impl Letters {
    pub(crate) fn post(&mut self, to: Vec<NodeId>, bytes: &Arc<[u8]>, post: fn(Arc<[u8]>) -> Post) {
        self.0.extend(to.into_iter().map(|node| (node, Letter::Ready(post(bytes.clone())))));
    }

    pub(crate) fn post_own(&mut self, to: Vec<NodeId>) {
        self.0.extend(to.into_iter().map(|node| (node, Letter::Own)));
    }

    pub(crate) fn next(&mut self) -> Option<(NodeId, Letter)> {
        self.0.pop_front()
    }
}
