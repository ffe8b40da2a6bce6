//! The queues between the three threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Fate, Tampering};
use crate::channel::{ChannelError, Message};
use crate::party::PartyId;

/// Messages of one direction that nobody has read. Parties run in step and leave a few; one that leaves so many is taken
/// for gone. Twice as many would only hide a party that never reads for twice as long.
pub(super) const QUEUE_MESSAGES: usize = 4096;

/// A message on its way.
#[derive(Clone)]
pub(super) struct Envelope {
    /// On the virtual clock.
    pub(super) arrives: Duration,
    /// Length of the chain of dependent messages that this one ends.
    pub(super) depth: u64,
    pub(super) message: Message,
}

/// All six directions. The lock is held for a push or a pop, never while waiting.
pub(super) struct Switch {
    state: Mutex<State>,
    changed: Condvar,
    tampering: Option<Mutex<Box<dyn Tampering>>>,
}

#[derive(Default)]
struct State {
    /// `[from][to]`.
    queues: [[VecDeque<Envelope>; 3]; 3],
    /// `[from][to]`: held back until the next has gone.
    held: [[Option<Envelope>; 3]; 3],
    left: [bool; 3],
    /// Whom each party waits for.
    awaits: [Option<PartyId>; 3],
    /// Parties whose waiting was found to be without hope.
    stalled: [bool; 3],
}

impl Switch {
    pub(super) fn new(tampering: Option<Box<dyn Tampering>>) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), tampering: tampering.map(Mutex::new) }
    }

    /// Puts a message into the queue of its direction.
    pub(super) fn send(&self, from: PartyId, to: PartyId, mut envelope: Envelope) -> Result<(), ChannelError> {
        let fate = self.tamper(from, to, &mut envelope.message);
        let mut state = self.lock();
        if state.left[to.index()] || state.queues[from.index()][to.index()].len() >= QUEUE_MESSAGES {
            return Err(ChannelError::Lost { peer: to });
        }
        state.push(from, to, envelope, fate);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// The next message of a direction, once there is one; none if all parties that are left wait for each other.
    pub(super) fn receive(&self, from: PartyId, to: PartyId) -> Result<Option<Envelope>, ChannelError> {
        let mut state = self.lock();
        loop {
            if let Some(envelope) = state.queues[from.index()][to.index()].pop_front() {
                state.stop_waiting(to);
                return Ok(Some(envelope));
            }
            state.awaits[to.index()] = Some(from);
            if state.find_stall() {
                self.changed.notify_all();
            }
            if state.stalled[to.index()] {
                state.stop_waiting(to);
                return Ok(None);
            }
            if state.left[from.index()] {
                state.stop_waiting(to);
                return Err(ChannelError::Lost { peer: from });
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A party has ended: nothing more comes from it.
    pub(super) fn leave(&self, party: PartyId) {
        self.lock().left[party.index()] = true;
        self.changed.notify_all();
    }

    fn tamper(&self, from: PartyId, to: PartyId, message: &mut Message) -> Fate {
        let Some(tampering) = &self.tampering else { return Fate::Deliver };
        tampering.lock().unwrap_or_else(PoisonError::into_inner).tamper(from, to, message)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, from: PartyId, to: PartyId, envelope: Envelope, fate: Fate) {
        let (held, queue) = (&mut self.held[from.index()][to.index()], &mut self.queues[from.index()][to.index()]);
        let before = held.take();
        match fate {
            Fate::Deliver => queue.push_back(envelope),
            Fate::Drop => {}
            Fate::Duplicate => queue.extend([envelope.clone(), envelope]),
            Fate::HoldBack => *held = Some(envelope),
            Fate::Follow(message) => {
                let following = Envelope { message, ..envelope };
                queue.extend([envelope, following]);
            }
        }
        queue.extend(before);
    }

    fn stop_waiting(&mut self, party: PartyId) {
        self.awaits[party.index()] = None;
        self.stalled[party.index()] = false;
    }

    /// Whether every party that is left waits for a message that another one would have to send first. Marks them.
    fn find_stall(&mut self) -> bool {
        let hopeless = |to: PartyId| match self.awaits[to.index()] {
            Some(from) => self.queues[from.index()][to.index()].is_empty() && !self.left[from.index()],
            None => false,
        };
        if !PartyId::ALL.into_iter().all(|party| self.left[party.index()] || hopeless(party)) {
            return false;
        }
        for party in PartyId::ALL {
            self.stalled[party.index()] = !self.left[party.index()];
        }
        true
    }
}
