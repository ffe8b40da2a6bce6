//! Three parties as threads of one process, with a network that is only calculated.
//!
//! Each party has a virtual clock: the processor time of its thread since it began, and what it has waited. A message
//! carries its sender's time; over a link of `bytes_per_second` and `delay` it arrives at
//!
//! ```text
//! begins = max(sender's time, when the message before it on this link was out)
//! out    = begins + bytes / bytes_per_second
//! arrives = out + delay
//! ```
//!
//! and who receives it sets its clock to `max(own, arrives)`. So two processor cores show what three machines with a
//! round trip of 50 ms would take, and nothing sleeps. Only the thread that runs the party counts: work that it gives to
//! other threads is free.
//!
//! Rounds are the longest chain of messages each of which was sent after the one before it was received.
//!
//! Nothing hangs: a party that ends, or panics, loses its links, and when all that are left wait for each other, all
//! are late.

mod clock;
mod switch;
mod tampering;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::channel::{Channel, ChannelError, Message, Spent};
use crate::party::PartyId;

use clock::Clock;
use switch::{Envelope, Switch};

pub use tampering::{Fate, Tampering};

/// What is assumed of the three links, the same in all six directions; none shares its bandwidth with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkModel {
    /// From the last byte out to its arrival: half of the round trip.
    pub delay: Duration,
    /// Of one direction of one link; none is without limit. Bodies alone count.
    pub bytes_per_second: Option<u64>,
    /// Whether computing takes time. Without it every time is exact, and the same in each run.
    pub count_computing: bool,
    /// What [`ChannelError::Late`] says was waited when nothing more can come.
    pub deadline: Duration,
}

/// What one party has sent, and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages to each party.
    pub messages: [u64; 3],
    /// Bytes of their bodies.
    pub bytes: [u64; 3],
    /// Longest chain of dependent messages that ends at this party.
    pub rounds: u64,
    /// The party's clock.
    pub elapsed: Duration,
    /// The part of it in which it waited.
    pub waited: Duration,
}

/// One party's end of its links to the other two.
pub struct Link {
    party: PartyId,
    model: NetworkModel,
    switch: Arc<Switch>,
    clock: Clock,
    /// When the last message to each party was out.
    free_at: [Duration; 3],
    rounds: u64,
    /// Whether something was sent since the party last waited, and how often it waited so.
    spoke: bool,
    waits: u64,
    messages: [u64; 3],
    bytes: [u64; 3],
    /// What the last message was called, for errors.
    name: &'static str,
}

impl NetworkModel {
    /// Takes no time at all.
    pub const INSTANT: Self = Self {
        delay: Duration::ZERO,
        bytes_per_second: None,
        count_computing: false,
        deadline: Duration::from_secs(30),
    };

    /// A round trip of 1 ms, 1 Gbit/s: machines of one region.
    pub const NEAR: Self = Self {
        delay: Duration::from_micros(500),
        bytes_per_second: Some(125_000_000),
        count_computing: true,
        ..Self::INSTANT
    };

    /// A round trip of 50 ms, 1 Gbit/s: operators of one continent.
    pub const FAR: Self = Self { delay: Duration::from_millis(25), ..Self::NEAR };
}

impl Traffic {
    /// To both peers.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.bytes.iter().sum()
    }

    /// To both peers.
    #[must_use]
    pub fn total_messages(&self) -> u64 {
        self.messages.iter().sum()
    }
}

/// Links between three parties, for P_0, P_1 and P_2.
#[must_use]
pub fn network(model: NetworkModel) -> [Link; 3] {
    connected(model, Switch::new(None))
}

/// As [`network`], with a hook through which every message goes: so tests play a party that lies.
#[must_use]
pub fn tampered_network(model: NetworkModel, tampering: impl Tampering + 'static) -> [Link; 3] {
    connected(model, Switch::new(Some(Box::new(tampering))))
}

/// Runs `program` as each of the three parties, over links that take no time. A panic goes on to the caller.
pub fn run_three<T: Send>(program: impl Fn(PartyId, &mut Link) -> T + Sync) -> [T; 3] {
    run_over(network(NetworkModel::INSTANT), program).map(|(result, _)| result)
}

/// Runs `program` as each of the three parties, each in a thread of its own, and says what each has sent. A panic goes
/// on to the caller once all three have ended.
pub fn run_over<T: Send>(links: [Link; 3], program: impl Fn(PartyId, &mut Link) -> T + Sync) -> [(T, Traffic); 3] {
    let program = &program;
    std::thread::scope(|scope| {
        let threads = links.map(|mut link| {
            scope.spawn(move || {
                link.clock.restart();
                let result = program(link.party, &mut link);
                (result, link.traffic())
            })
        });
        threads.map(|thread| thread.join()).map(|joined| match joined {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn connected(model: NetworkModel, switch: Switch) -> [Link; 3] {
    let switch = Arc::new(switch);
    PartyId::ALL.map(|party| Link {
        party,
        model,
        switch: Arc::clone(&switch),
        clock: Clock::new(model.count_computing),
        free_at: [Duration::ZERO; 3],
        rounds: 0,
        spoke: false,
        waits: 0,
        messages: [0; 3],
        bytes: [0; 3],
        name: "start",
    })
}

impl Link {
    /// Whose end it is.
    #[must_use]
    pub const fn party(&self) -> PartyId {
        self.party
    }

    /// What this party has sent, and its clock. To be asked for in the thread that runs the party.
    pub fn traffic(&mut self) -> Traffic {
        Traffic {
            messages: self.messages,
            bytes: self.bytes,
            rounds: self.rounds,
            elapsed: self.clock.now(),
            waited: self.clock.waited(),
        }
    }

    /// When a message of `bytes` that is sent now to `to` arrives there; the link is busy until it is out.
    fn arrival(&mut self, to: PartyId, bytes: usize) -> Duration {
        let begins = self.clock.now().max(self.free_at[to.index()]);
        let out = begins + self.model.bytes_per_second.map_or(Duration::ZERO, |rate| serialisation(bytes, rate));
        self.free_at[to.index()] = out;
        out + self.model.delay
    }
}

/// How long `bytes` take at `bytes_per_second`, rounded up to a nanosecond.
fn serialisation(bytes: usize, bytes_per_second: u64) -> Duration {
    let ns = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(bytes_per_second.max(1)));
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

impl Channel for Link {
    /// Hands over a message.
    ///
    /// # Errors
    /// A peer that has ended, or that has left [`switch::QUEUE_MESSAGES`] messages unread.
    fn send(&mut self, to: PartyId, message: Message) -> Result<(), ChannelError> {
        let arrives = self.arrival(to, message.body.len());
        (self.spoke, self.name) = (true, message.name);
        self.messages[to.index()] += 1;
        self.bytes[to.index()] += message.body.len() as u64;
        self.switch.send(self.party, to, Envelope { arrives, depth: self.rounds + 1, message })
    }

    fn receive(&mut self, from: PartyId) -> Result<Message, ChannelError> {
        self.waits += u64::from(std::mem::take(&mut self.spoke));
        let Some(envelope) = self.switch.receive(from, self.party)? else {
            let now = self.clock.now();
            self.clock.wait_until(now + self.model.deadline);
            let deadline_ms = u64::try_from(self.model.deadline.as_millis()).unwrap_or(u64::MAX);
            return Err(ChannelError::Late { peer: from, name: self.name, deadline_ms });
        };
        self.clock.wait_until(envelope.arrives);
        self.rounds = self.rounds.max(envelope.depth);
        self.name = envelope.message.name;
        Ok(envelope.message)
    }

    fn spent(&self) -> Spent {
        let (messages, bytes) = (self.messages.iter().sum(), self.bytes.iter().sum());
        Spent { rounds: self.waits, messages, bytes, elapsed: self.clock.read() }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.switch.leave(self.party);
    }
}
