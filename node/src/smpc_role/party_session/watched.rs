//! Links to the peers, beside a client who waits: it is told how far a turn has come, and nothing is computed for one who
//! has hung up.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use neuro_network::smpc::PartyLinks;
use neuro_smpc::channel::{Channel, ChannelError, Message, Spent};
use neuro_smpc::party::PartyId;

use super::client_link::ClientLink;
use crate::smpc_role::messages::{PartyMessage, Working};
use crate::smpc_role::program::Watch;

/// How often a client is told.
const EVERY: Duration = Duration::from_millis(500);

/// What a client hears of who has hung up.
const HUNG_UP: ChannelError = ChannelError::Unwanted { reason: "the client has hung up" };

/// The links of one session.
pub(super) struct Watched<'a> {
    links: &'a mut PartyLinks,
    client: &'a RefCell<ClientLink>,
    /// Rounds at which the turn is to be over; zero until that is known.
    expected: &'a Cell<u64>,
    told: Instant,
    /// Whether the client was seen to have hung up before.
    hung_up: bool,
}

impl<'a> Watched<'a> {
    pub(super) fn new(links: &'a mut PartyLinks, client: &'a RefCell<ClientLink>, expected: &'a Cell<u64>) -> Self {
        Self { links, client, expected, told: Instant::now(), hung_up: false }
    }

    fn tell(&mut self) -> Result<(), ChannelError> {
        let mut client = self.client.borrow_mut();
        if client.has_ended() {
            return Err(HUNG_UP);
        }
        if self.told.elapsed() < EVERY {
            return Ok(());
        }
        self.told = Instant::now();
        let working = Working { expected: self.expected.get(), cost: self.links.spent().into() };
        // The peers do not wait for a client that does not read.
        client.try_send(&PartyMessage::Working(working)).map_err(|_| HUNG_UP)
    }
}

/// Keeps what a program foresees for the client.
pub(super) struct Foresight<'a> {
    /// Rounds of the session when the turn began.
    pub past: u64,
    pub expected: &'a Cell<u64>,
}

impl Watch for Foresight<'_> {
    fn foresee(&self, rounds: u64) {
        self.expected.set(self.past + rounds);
    }

    fn prepared(&self, _: Spent) {}
}

impl Channel for Watched<'_> {
    fn send(&mut self, to: PartyId, message: Message) -> Result<(), ChannelError> {
        self.links.send(to, message)
    }

    fn receive(&mut self, from: PartyId) -> Result<Message, ChannelError> {
        match self.tell() {
            Ok(()) => self.links.receive(from),
            // What a peer has sent by then is taken once: it may show what the client is to be blamed for.
            Err(hung_up) if !std::mem::replace(&mut self.hung_up, true) => {
                self.links.receive(from).map_err(|_| hung_up)
            }
            Err(hung_up) => Err(hung_up),
        }
    }

    fn spent(&self) -> Spent {
        self.links.spent()
    }
}

#[cfg(test)]
mod tests;
