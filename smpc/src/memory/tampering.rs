//! What a test may do to messages on their way.

use crate::channel::Message;
use crate::party::PartyId;

/// Sees every message before it goes out, and may change all of it: its body, its step, its name. Closures of this form
/// are such hooks. Links are authentic, so a test that plays one lying party touches the messages of that party alone.
pub trait Tampering: Send {
    /// `message` goes from `from` to `to`: changes it, and says what becomes of it.
    fn tamper(&mut self, from: PartyId, to: PartyId, message: &mut Message) -> Fate;
}

impl<F: FnMut(PartyId, PartyId, &mut Message) -> Fate + Send> Tampering for F {
    fn tamper(&mut self, from: PartyId, to: PartyId, message: &mut Message) -> Fate {
        self(from, to, message)
    }
}

/// What becomes of a message.
#[derive(Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is delivered, as it now is.
    Deliver,
    /// It is lost.
    Drop,
    /// It is delivered twice.
    Duplicate,
    /// It is delivered after the next one of the same direction: the two change places.
    HoldBack,
    /// It is delivered, and then this other one: an older one again, say.
    Follow(Message),
}
