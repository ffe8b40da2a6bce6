//! Messages of a proof: their names, their lengths, what they cost.

use super::algebra::Algebra;
use super::{Cost, ProofError};
use crate::channel::{Channel, Message};
use crate::party::PartyId;

/// A channel, at one step of the program.
pub(super) struct Link<'a, C> {
    channel: &'a mut C,
    step: u64,
    /// Messages of this step so far, to and from each party.
    sent: [u32; 3],
    received: [u32; 3],
    pub cost: Cost,
}

impl<'a, C: Channel> Link<'a, C> {
    pub fn new(channel: &'a mut C, step: u64) -> Self {
        Self { channel, step, sent: [0; 3], received: [0; 3], cost: Cost::default() }
    }

    pub fn send(&mut self, to: PartyId, name: &'static str, body: Vec<u8>) -> Result<(), ProofError> {
        self.cost.bytes += body.len() as u64;
        let part = next(&mut self.sent[to.index()]);
        Ok(self.channel.send(to, Message { step: self.step, part, name, body })?)
    }

    /// `[expected]` bytes of the next message of this step, `name`.
    pub fn receive(&mut self, from: PartyId, name: &'static str, expected: usize) -> Result<Vec<u8>, ProofError> {
        let message = self.channel.receive(from)?;
        let expected_part = next(&mut self.received[from.index()]);
        if message.step != self.step || message.part != expected_part {
            return Err(ProofError::Step { peer: from, name, expected_part, got: message.part });
        }
        let got = message.body.len();
        if got == expected { Ok(message.body) } else { Err(ProofError::Length { peer: from, name, expected, got }) }
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
