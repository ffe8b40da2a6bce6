//! A roster under its owner's signature, and what a participant pins (section 3).

use neuro_primitives::codec::Reader;
use neuro_primitives::{Hash, NodeId, NodeKey, Signature, UnixMillis, Untrusted};

use super::{Registry, Roster, read};
use crate::error::DocumentError;
use crate::{fields, tags};

impl Roster {
    /// Signs the roster with the owner's key.
    ///
    /// # Errors
    /// When `key` is not the owner's.
    pub fn sign(self, key: &NodeKey) -> Result<SignedRoster, RosterRefused> {
        if key.node_id() != self.fields.owner {
            return Err(RosterRefused::Owner { expected: self.fields.owner, got: key.node_id() });
        }
        let signature = key.sign(tags::ROSTER, &self.encode());
        Ok(SignedRoster { roster: self, signature })
    }
}

/// A roster with its owner's signature: what is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRoster {
    roster: Roster,
    signature: Signature,
}

impl SignedRoster {
    /// The roster's bytes, then the signature.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&self.roster.encode()[..], &self.signature.0].concat()
    }

    /// Reads a roster that [`Self::check`] has to let out: `decode(bytes)?.verify(|signed| signed.check(&pin, now))`.
    ///
    /// # Errors
    /// When the bytes are malformed or break a rule of [`Roster::new`].
    pub fn decode(bytes: &[u8]) -> Result<Untrusted<Self>, DocumentError> {
        let mut reader = Reader::new(bytes);
        let roster = Roster::new(read(&mut reader)?)?;
        let signature = fields::signature(&mut reader)?;
        reader.finish()?;
        Ok(Untrusted::new(Self { roster, signature }))
    }

    /// The roster, if it is the pinned owner's for the pinned task, not older than what was seen, the same content if
    /// it is as old, and not expired.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn check(self, pin: &Pin, now: UnixMillis) -> Result<Roster, RosterRefused> {
        let fields = &self.roster.fields;
        if fields.owner != pin.owner {
            return Err(RosterRefused::Owner { expected: pin.owner, got: fields.owner });
        }
        let task = self.roster.task();
        if task != pin.task {
            return Err(RosterRefused::Task { expected: pin.task, got: task });
        }
        if !pin.owner.verifies(tags::ROSTER, &self.roster.encode(), &self.signature) {
            return Err(RosterRefused::Signature { owner: pin.owner });
        }
        pin.check_version(&self.roster)?;
        if now >= fields.expires {
            return Err(RosterRefused::Expired { expires: fields.expires, now });
        }
        Ok(self.roster)
    }
}

/// What a participant keeps of a task from its invitation on: whom it believes, and the newest roster that it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The owner.
    pub owner: NodeId,
    /// The task, [`super::task_id`].
    pub task: Hash,
    /// Version and hash of the newest roster seen, none before the first.
    pub newest: Option<(u64, Hash)>,
}

impl Pin {
    /// Remembers `roster`, which [`SignedRoster::check`] let out under this pin. To be stored before it is used.
    pub fn advance(&mut self, roster: &Roster) {
        if self.newest.is_none_or(|(version, _)| version <= roster.fields.version) {
            self.newest = Some(roster.version());
        }
    }

    fn check_version(&self, roster: &Roster) -> Result<(), RosterRefused> {
        let (got, hash) = roster.version();
        match self.newest {
            Some((seen, _)) if got < seen => Err(RosterRefused::Older { seen, got }),
            Some((seen, expected)) if got == seen && hash != expected => {
                Err(RosterRefused::Changed { owner: self.owner, version: got, expected, got: hash })
            }
            _ => Ok(()),
        }
    }
}

/// Why a roster is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterRefused {
    /// Another owner.
    #[error("expected the roster of owner {expected}, got one of {got}")]
    Owner {
        /// The pinned owner.
        expected: NodeId,
        /// The owner that it names.
        got: NodeId,
    },
    /// Another task of the same owner.
    #[error("expected the roster of task {expected}, got one of {got}")]
    Task {
        /// The pinned task.
        expected: Hash,
        /// The task that it is for.
        got: Hash,
    },
    /// The owner did not sign it.
    #[error("expected a signature of owner {owner} under the roster, got another")]
    Signature {
        /// The pinned owner.
        owner: NodeId,
    },
    /// A roster that was replaced.
    #[error("expected roster version {seen} or later, got {got}")]
    Older {
        /// The newest version seen.
        seen: u64,
        /// Its version.
        got: u64,
    },
    /// The owner signed two contents under one version.
    #[error("expected roster version {version} with hash {expected}, got {got}")]
    Changed {
        /// The owner, who signed both.
        owner: NodeId,
        /// The version of both.
        version: u64,
        /// The hash seen first.
        expected: Hash,
        /// The hash of this one.
        got: Hash,
    },
    /// Its time is over, by this machine's clock.
    #[error("expected a roster that holds at {now} by this machine's clock, got one that expired at {expires}")]
    Expired {
        /// From when on it is refused.
        expires: UnixMillis,
        /// This machine's time.
        now: UnixMillis,
    },
}

impl RosterRefused {
    /// The owner, if its own signatures contradict each other.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        match self {
            Self::Changed { owner, .. } => Some(*owner),
            _ => None,
        }
    }
}
