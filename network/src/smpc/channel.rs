//! The links of a party as its computation uses them: blocking, in the thread of the session.

use std::time::{Duration, Instant};

use neuro_smpc::channel::{Channel, ChannelError, Message, Spent};
use neuro_smpc::party::PartyId;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::frame::Ending;
use super::link::{Link, LinkError};

/// Links of one party to the other two, for one session. Used outside the runtime's own threads alone: it blocks.
pub struct PartyLinks {
    party: PartyId,
    runtime: Handle,
    deadline: Duration,
    links: [Option<Link>; 3],
    /// Whether something was sent since the party last waited.
    spoke: bool,
    rounds: u64,
    messages: u64,
    began: Instant,
    /// What the last message was called, for errors.
    name: &'static str,
    /// Why a peer ended the session, in its words.
    reason: Option<(PartyId, Ending, String)>,
}

/// What went over one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkTraffic {
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// BLAKE3 of all frames sent.
    pub sent_hash: [u8; 32],
    /// BLAKE3 of all frames received.
    pub received_hash: [u8; 32],
}

impl PartyLinks {
    /// `links` of `party`, by the index of the peer. Nobody is waited for who sends nothing for `deadline`.
    #[must_use]
    pub fn new(party: PartyId, links: [Option<Link>; 3], runtime: Handle, deadline: Duration) -> Self {
        Self {
            party,
            runtime,
            deadline,
            links,
            spoke: false,
            rounds: 0,
            messages: 0,
            began: Instant::now(),
            name: "start",
            reason: None,
        }
    }

    /// Whose links they are.
    #[must_use]
    pub const fn party(&self) -> PartyId {
        self.party
    }

    /// What went over the link to `peer`; none where there is no link.
    #[must_use]
    pub fn link_traffic(&self, peer: PartyId) -> Option<LinkTraffic> {
        self.links[peer.index()].as_ref().map(LinkTraffic::of)
    }

    /// Which peer ended the session, how, and why in its words.
    #[must_use]
    pub const fn reason(&self) -> Option<&(PartyId, Ending, String)> {
        self.reason.as_ref()
    }

    /// Ends all links, after what is queued has left.
    pub fn close(self) {
        let Self { runtime, links, .. } = self;
        runtime.block_on(async {
            futures::future::join_all(links.into_iter().flatten().map(Link::close)).await;
        });
    }

    /// Tells both peers why the session is over. What they say of it may still be heard.
    pub fn say_end(&mut self, ending: Ending, reason: &str) {
        let Self { runtime, links, .. } = self;
        runtime.block_on(async {
            let ends = links.iter_mut().flatten().map(|link| link.say_end(ending, reason));
            futures::future::join_all(ends).await;
        });
    }

    /// How and why `peer` ends the session, if it says so within `patience`. What comes before that is skipped.
    pub fn last_word(&mut self, peer: PartyId, patience: Duration) -> Option<(Ending, String)> {
        let link = self.links[peer.index()].as_mut()?;
        let word = async {
            loop {
                match link.receive(patience).await {
                    Ok(_) => {}
                    Err(LinkError::Aborted { reason, ending }) => return Some((ending, reason)),
                    Err(_) => return None,
                }
            }
        };
        self.runtime.block_on(async { timeout(patience, word).await }).ok().flatten()
    }

    fn error(&mut self, peer: PartyId, error: LinkError) -> ChannelError {
        match error {
            LinkError::Lost | LinkError::Broken(_) | LinkError::Stopped => ChannelError::Lost { peer },
            LinkError::Late { deadline } => {
                let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
                ChannelError::Late { peer, name: self.name, deadline_ms }
            }
            LinkError::TooLong { bytes } => ChannelError::TooLong { name: self.name, bytes },
            LinkError::Aborted { reason, ending } => {
                self.reason = Some((peer, ending, reason));
                ChannelError::Aborted { peer }
            }
            LinkError::Fault(fault) => ChannelError::Refused { peer, reason: fault.reason() },
        }
    }
}

impl LinkTraffic {
    /// Of `link`, until now.
    #[must_use]
    pub fn of(link: &Link) -> Self {
        let (sent, received) = (link.sent(), link.received());
        Self {
            sent_bytes: sent.bytes(),
            received_bytes: received.bytes(),
            sent_hash: sent.hash(),
            received_hash: received.hash(),
        }
    }
}

impl Channel for PartyLinks {
    fn send(&mut self, to: PartyId, message: Message) -> Result<(), ChannelError> {
        let Message { step, part, name, body } = message;
        (self.spoke, self.name) = (true, name);
        self.messages += 1;
        let link = self.links[to.index()].as_mut().ok_or(ChannelError::Lost { peer: to })?;
        let sent = self.runtime.block_on(link.send(step, part, body, self.deadline));
        sent.map_err(|error| self.error(to, error))
    }

    fn receive(&mut self, from: PartyId) -> Result<Message, ChannelError> {
        self.rounds += u64::from(std::mem::take(&mut self.spoke));
        let link = self.links[from.index()].as_mut().ok_or(ChannelError::Lost { peer: from })?;
        let received = self.runtime.block_on(link.receive(self.deadline));
        let frame = received.map_err(|error| self.error(from, error))?;
        Ok(Message { step: frame.step, part: frame.part, name: self.name, body: frame.body })
    }

    fn spent(&self) -> Spent {
        let bytes = self.links.iter().flatten().map(|link| link.sent().bytes()).sum();
        Spent { rounds: self.rounds, messages: self.messages, bytes, elapsed: self.began.elapsed() }
    }
}
