//! How a party reaches the other two.

use std::time::Duration;

use thiserror::Error;

use crate::party::PartyId;

/// Ordered, authentic and private links to the other two parties, each message named by its step.
///
/// Gadgets are synchronous: a party computes, sends, and waits. A deadline for what is waited for belongs to the
/// implementation.
pub trait Channel {
    /// Hands over a message. Does not wait for the peer.
    ///
    /// # Errors
    /// A link that is gone.
    fn send(&mut self, to: PartyId, message: Message) -> Result<(), ChannelError>;

    /// The next message from `from`.
    ///
    /// # Errors
    /// A link that is gone, a deadline that passed, an abort of the peer.
    fn receive(&mut self, from: PartyId) -> Result<Message, ChannelError>;

    /// What was sent to both so far.
    fn spent(&self) -> Spent;
}

/// What a party has sent to its peers, and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// How often it waited for a peer after it had sent something.
    pub rounds: u64,
    /// Messages to both.
    pub messages: u64,
    /// Bytes to both, as the implementation writes them.
    pub bytes: u64,
    /// By the party's clock, since it began.
    pub elapsed: Duration,
}

/// No links at all: a rehearsal sends and receives nothing.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Channel for Nobody {
    fn send(&mut self, to: PartyId, _: Message) -> Result<(), ChannelError> {
        Err(ChannelError::Lost { peer: to })
    }

    fn receive(&mut self, from: PartyId) -> Result<Message, ChannelError> {
        Err(ChannelError::Lost { peer: from })
    }

    fn spent(&self) -> Spent {
        Spent::default()
    }
}

impl<C: Channel + ?Sized> Channel for &mut C {
    fn send(&mut self, to: PartyId, message: Message) -> Result<(), ChannelError> {
        (**self).send(to, message)
    }

    fn receive(&mut self, from: PartyId) -> Result<Message, ChannelError> {
        (**self).receive(from)
    }

    fn spent(&self) -> Spent {
        (**self).spent()
    }
}

/// One message of one step.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Number of the step in the program, the same at all parties.
    pub step: u64,
    /// Number of the message among those of its step on this link, from 0.
    pub part: u32,
    /// What the step is called, in errors. It need not travel: who receives by number knows the name.
    pub name: &'static str,
    /// Shares and proofs: never logged.
    pub body: Vec<u8>,
}

/// Why nothing came, or not what was expected. Never says a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChannelError {
    /// The link is gone.
    #[error("party {peer}: connection lost")]
    Lost {
        /// Whose link.
        peer: PartyId,
    },
    /// No message came in time.
    #[error("party {peer}: no message within {deadline_ms} ms in step {name}")]
    Late {
        /// Who was waited for.
        peer: PartyId,
        /// What for.
        name: &'static str,
        /// How long.
        deadline_ms: u64,
    },
    /// What came is no frame, or not the next one of this session.
    #[error("party {peer}: {reason}")]
    Refused {
        /// Who sent it.
        peer: PartyId,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More than goes into one message.
    #[error(
        "step {name} has a message of {bytes} bytes, more than a link carries: ask fewer or shorter questions at a time"
    )]
    TooLong {
        /// The step.
        name: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// The peer has ended the session.
    #[error("party {peer} aborted the session")]
    Aborted {
        /// Who.
        peer: PartyId,
    },
    /// Nobody waits for the result any more.
    #[error("{reason}")]
    Unwanted {
        /// Why.
        reason: &'static str,
    },
}
