//! The link to the client, blocking.

use std::time::Duration;

use neuro_network::smpc::{Ending, Link, LinkTraffic};
use tokio::runtime::Handle;

use super::SessionError;
use crate::smpc_role::messages::{ClientMessage, PartyMessage};

/// The client, for a thread outside the runtime.
pub(super) struct ClientLink {
    link: Link,
    runtime: Handle,
    deadline: Duration,
}

impl ClientLink {
    pub(super) const fn new(link: Link, runtime: Handle, deadline: Duration) -> Self {
        Self { link, runtime, deadline }
    }

    /// Queues a message.
    pub(super) fn send(&mut self, message: &PartyMessage) -> Result<(), SessionError> {
        Ok(self.runtime.block_on(self.link.send(0, 0, message.encode(), self.deadline))?)
    }

    /// Queues a message if none waits, and waits for nothing. Whoever does not read misses it.
    pub(super) fn try_send(&mut self, message: &PartyMessage) -> Result<(), SessionError> {
        self.link.try_send(0, 0, message.encode())?;
        Ok(())
    }

    /// The next message, within the deadline.
    pub(super) fn receive(&mut self) -> Result<ClientMessage, SessionError> {
        let frame = self.runtime.block_on(self.link.receive(self.deadline))?;
        Ok(ClientMessage::decode(&frame.body)?)
    }

    /// Whether the client has hung up, said or unsaid.
    pub(super) fn has_ended(&self) -> bool {
        self.link.has_ended()
    }

    /// What went over the link.
    pub(super) fn traffic(&self) -> LinkTraffic {
        LinkTraffic::of(&self.link)
    }

    /// Ends it after what is queued.
    pub(super) fn close(self) {
        self.runtime.block_on(self.link.close());
    }

    /// Ends it and says why.
    pub(super) fn abort(self, ending: Ending, reason: &str) {
        self.runtime.block_on(self.link.abort(ending, reason));
    }
}
