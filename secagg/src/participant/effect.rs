//! What a participant's core asks its caller to do, in order.

use neuro_primitives::hash::Hash;

use super::record::Record;
use super::refused::{OutOfRound, Refused};
use crate::masks::MaskJob;
use crate::messages::EndReason;
use crate::packing::Modulus;

/// One thing to do. Effects are carried out in the order in which they are listed.
#[derive(Debug)]
pub enum PartEffect {
    /// Replace the round's record on disk and flush it before anything that follows: this is what "signed", "uploaded"
    /// and "answered" mean.
    Store(Box<Record>),
    /// Send these bytes to the aggregator, and note them in the audit log.
    Send(Vec<u8>),
    /// Encode the update for this modulus, add all masks, pack it, flush it, and answer with
    /// [`super::PartInput::Payload`]. An update that is not ready yet is waited for.
    Mask {
        /// One job per neighbour that shares, and the self-mask.
        jobs: Vec<MaskJob>,
        /// `B`.
        modulus: Modulus,
        /// n − d − c: how many honest vectors a sum holds at least. It sizes the noise.
        honest_at_least: u16,
    },
    /// Upload the stored payload, from the byte on that the aggregator holds.
    Upload {
        /// BLAKE3 of the payload.
        payload: Hash,
    },
    /// Charge one release to the accountant, unless this round's is charged already.
    Charge(Release),
    /// Delete record and payload. Round number, releases and the audit log stay.
    Wipe,
    /// The participant's part is over; nothing further is sent.
    End(PartEnd),
}

/// One sum that this participant's vector may be in (section 12, several rounds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// The task.
    pub task: Hash,
    /// Number of the round within it.
    pub round: u64,
    /// The cohort.
    pub cohort: u16,
    /// BLAKE3 of the configuration, which says what the release costs.
    pub config: Hash,
    /// n − d − c of the cohort: with how many honest members' noise the release counts.
    pub honest_at_least: u16,
}

/// How a participant's part ended (section 16).
#[derive(Debug, Clone, PartialEq)]
pub enum PartEnd {
    /// The aggregator says that the round ended.
    Round(EndReason),
    /// This participant goes no further: what it was shown breaks a floor, a rule or a check.
    Refused(Refused),
    /// It is not in this round.
    OutOfRound(OutOfRound),
    /// The user or the trainer gave up.
    Stopped,
}
