//! What people see of a running round.

use neuro_primitives::NodeId;
use neuro_primitives::clock::Moment;

use crate::messages::{EndReason, OutCause};

/// The phases of a round, in order (sections 5 to 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nothing is announced yet.
    Idle,
    /// Members send their keys.
    Join,
    /// The cohort's members reveal their nonces.
    Reveal,
    /// Members deal their shares.
    Shares,
    /// Members say which shares were bad.
    Received,
    /// Sharers upload masked vectors.
    Upload,
    /// Survivors vote for one set.
    Vote,
    /// Survivors answer with one share per neighbour.
    Answer,
    /// The masks are being removed.
    Unmask,
    /// The round is over.
    Ended,
}

/// A snapshot of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundView {
    /// Number of the round within its task.
    pub round: u64,
    /// Which cohort of the round.
    pub cohort: u16,
    /// The phase.
    pub phase: Phase,
    /// The attempt at joining, 0 to 2.
    pub attempt: u8,
    /// When the phase ends without those who have not reported.
    pub deadline: Option<Moment>,
    /// Who did what the phase asks for, ascending.
    pub reported: Vec<NodeId>,
    /// Who has not, as far as the core can name them, ascending. Empty while members join.
    pub stragglers: Vec<NodeId>,
    /// Whose payloads the sum should hold, ascending.
    pub in_sum: Vec<NodeId>,
    /// Members that were left out although it cannot be proved who lied, ascending (section 7.3).
    pub suspected: Vec<NodeId>,
    /// Everybody who is out of the round, with the cause, ascending.
    pub left_out: Vec<(NodeId, OutCause)>,
    /// Bytes of members' messages that were accepted, and of the payloads that are complete.
    pub bytes_in: u64,
    /// Bytes of announcements, counted once for every receiver.
    pub bytes_out: u64,
    /// Size and parameters of the cohort while there is one.
    pub numbers: Option<CohortNumbers>,
    /// α: the least part of a cohort whose sum can be learned (section 12).
    pub alpha: f64,
    /// How it ended.
    pub end: Option<EndReason>,
}

/// Numbers of an announced cohort (section 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CohortNumbers {
    /// Members.
    pub n: u16,
    /// Neighbours of each.
    pub k: u16,
    /// Shares that rebuild a secret.
    pub t: u16,
    /// Votes that certify a set.
    pub q: u16,
    /// Bits of the modulus, `B`.
    pub modulus_bits: u8,
}
