//! What a program will take, before it runs: it is run by one party alone on zeros, and counted.
//!
//! A program's steps depend on lengths alone, never on values. So a rehearsal says exactly which masks are asked for, and
//! what is sent.

use crate::channel::Nobody;
use crate::computation::{Computation, Security};
use crate::error::SmpcError;
use crate::party::PartyId;
use crate::supply::Request;

/// What one party sends, and how often it waits for what was sent after it had sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// Messages that depend on a message received before.
    pub rounds: u64,
    /// Bytes of all messages.
    pub bytes: u64,
    /// Bytes of the largest.
    pub largest: usize,
    /// Whether something was sent since the last wait.
    sent: bool,
}

impl Rehearsal {
    pub(crate) const fn sends(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.largest = if bytes > self.largest { bytes } else { self.largest };
        self.sent = true;
    }

    pub(crate) const fn receives(&mut self) {
        self.rounds += self.sent as u64;
        self.sent = false;
    }
}

/// What a program takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Masks, in the order in which they are asked for.
    pub requests: Vec<Request>,
    /// The program itself, with its masks made.
    pub online: Cost,
    /// Making the masks.
    pub preprocessing: Cost,
}

/// Rounds of the party that waits most often, and bytes of all three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Messages that wait for one another.
    pub rounds: u64,
    /// Of all three parties.
    pub bytes: u64,
}

impl Forecast {
    /// What `program` takes.
    ///
    /// # Errors
    /// Those of the program.
    pub fn of(
        security: Security,
        program: impl Fn(PartyId, &mut Computation<Nobody>) -> Result<(), SmpcError>,
    ) -> Result<Self, SmpcError> {
        let (mut requests, mut online, mut preprocessing) = (Vec::new(), Cost::default(), Cost::default());
        for party in PartyId::ALL {
            let mut alone = Computation::rehearsing(party, security, Rehearsal::default());
            program(party, &mut alone)?;
            let (counted, supply) = alone.counted();
            online.add(counted);
            requests = supply.requests;
            let mut alone = Computation::rehearsing(party, security, Rehearsal::default());
            alone.prepare(&requests)?;
            preprocessing.add(alone.counted().0);
        }
        Ok(Self { requests, online, preprocessing })
    }
}

impl Cost {
    fn add(&mut self, party: Rehearsal) {
        self.rounds = self.rounds.max(party.rounds);
        self.bytes += party.bytes;
    }
}
