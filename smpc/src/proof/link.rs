//! Messages of a proof: their names, their lengths, what they cost.

use super::algebra::Algebra;
use super::{Cost, ProofError};
use crate::channel::{Channel, Message};
use crate::party::PartyId;

/// The messages of one step of the program.
pub(super) struct Link {
    step: u64,
    /// So far, to and from each party.
    sent: [u32; 3],
    received: [u32; 3],
    /// From each party: what was taken from the channel because something else was waited for behind it.
    early: [Option<Vec<u8>>; 3],
    pub cost: Cost,
}

impl Link {
    pub fn new(step: u64) -> Self {
        Self { step, sent: [0; 3], received: [0; 3], early: Default::default(), cost: Cost::default() }
    }

    /// Number of the step in the program.
    pub const fn step(&self) -> u64 {
        self.step
    }

    pub fn send<C: Channel>(
        &mut self,
        channel: &mut C,
        to: PartyId,
        name: &'static str,
        body: Vec<u8>,
    ) -> Result<(), ProofError> {
        self.cost.bytes += body.len() as u64;
        let part = next(&mut self.sent[to.index()]);
        Ok(channel.send(to, Message { step: self.step, part, name, body })?)
    }

    /// `[expected]` bytes of the next message of this step, `name`.
    pub fn receive<C: Channel>(
        &mut self,
        channel: &mut C,
        from: PartyId,
        name: &'static str,
        expected: usize,
    ) -> Result<Vec<u8>, ProofError> {
        self.hear(channel, from, name)?;
        let body = self.early[from.index()].take().unwrap_or_default();
        let got = body.len();
        if got == expected { Ok(body) } else { Err(ProofError::Length { peer: from, name, expected, got }) }
    }

    /// Takes the next message of this step, `name`, from the channel, unless it was taken before.
    pub fn hear<C: Channel>(&mut self, channel: &mut C, from: PartyId, name: &'static str) -> Result<(), ProofError> {
        if self.early[from.index()].is_some() {
            return Ok(());
        }
        let message = channel.receive(from)?;
        let expected_part = next(&mut self.received[from.index()]);
        if message.step != self.step || message.part != expected_part {
            return Err(ProofError::Step { peer: from, name, expected_part, got: message.part });
        }
        self.early[from.index()] = Some(message.body);
        Ok(())
    }
}

/// The number of the next message.
const fn next(count: &mut u32) -> u32 {
    *count += 1;
    *count - 1
}

/// Bytes of elements, one after the other.
pub(super) fn write<A: Algebra>(bytes: &mut Vec<u8>, elements: &[A]) {
    elements.iter().for_each(|element| element.write(bytes));
}

/// The first `count` elements of a message that has them; takes them from it.
pub(super) fn take<A: Algebra>(bytes: &mut &[u8], count: usize) -> Vec<A> {
    let (front, rest) = bytes.split_at(count * A::BYTES);
    *bytes = rest;
    front.chunks_exact(A::BYTES).map(A::read).collect()
}
