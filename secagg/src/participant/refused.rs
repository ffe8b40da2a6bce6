//! Why a participant goes no further.

use neuro_primitives::{Hash, NodeId};

use crate::config::ConfigRefused;
use crate::fields::SignatureRefused;
use crate::floors::FloorRefused;
use crate::identity::Member;
use crate::messages::{NoncesRefused, OutCause};
use crate::parameters::WeakParameters;
use crate::survivor_rule::SetRefused;

use super::PartEnd;

/// A floor, a rule or a check that something announced breaks. The participant's part ends.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// A configuration that is not this task's.
    #[error(transparent)]
    Config(#[from] ConfigRefused),
    /// A configuration or cohort below the participant's own floors.
    #[error(transparent)]
    Floor(#[from] FloorRefused),
    /// A cohort whose k, t and q do not protect (section 11).
    #[error(transparent)]
    Parameters(#[from] WeakParameters),
    /// A join, a statement or a vote that its member did not sign.
    #[error(transparent)]
    Signature(#[from] SignatureRefused),
    /// Nonces that do not open the commitments.
    #[error(transparent)]
    Nonces(#[from] NoncesRefused),
    /// A set that breaks the rule (section 9.1).
    #[error(transparent)]
    Set(#[from] SetRefused),
    /// A member of the cohort that the roster does not list in the round's batches.
    #[error("expected members of the round's batches, got node {node}")]
    Stranger {
        /// The node.
        node: NodeId,
    },
    /// This participant's row is not its join.
    #[error("expected this participant's own join in the cohort, got another")]
    NotMyJoin,
    /// Two rows with one point.
    #[error("expected points of their own for all members, got one of {one} and {other}")]
    SharedPoint {
        /// One of them.
        one: NodeId,
        /// The other.
        other: NodeId,
    },
    /// A number outside what was agreed.
    #[error("expected {least} to {most} {what}, got {got}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
        /// What was announced.
        got: u64,
    },
    /// No rule for the modulus of such a cohort: 64 bits do not suffice, or the noise of private mode has no rule here.
    #[error("expected a rule that gives the modulus of {n} members, got none for this configuration")]
    NoModulus {
        /// Members of the cohort.
        n: u16,
    },
    /// The aggregator signed two things of which there is one.
    #[error("expected {what} {expected} as before, got {got}")]
    TwoOfOne {
        /// What there is one of.
        what: &'static str,
        /// What came first.
        expected: Hash,
        /// What came then.
        got: Hash,
    },
    /// A box of a member that is no neighbour (section 6).
    #[error("expected boxes of neighbours, got one of member {}", dealer.0)]
    NoNeighbour {
        /// The member.
        dealer: Member,
    },
    /// A neighbour among the sharers that never showed a statement for this cohort (section 7.3).
    #[error("expected a statement of this cohort from every neighbour that shares, got none of {dealer}")]
    NoStatement {
        /// The neighbour.
        dealer: NodeId,
    },
    /// Another attempt after shares were sent (section 5).
    #[error("expected no further attempt after shares were sent, got attempt {attempt}")]
    AttemptAfterShares {
        /// The attempt.
        attempt: u8,
    },
}

/// Not part of a round, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfRound {
    /// The aggregator goes on without this participant.
    #[error("the round goes on without this participant: {0:?}")]
    LeftOut(OutCause),
    /// A cohort was announced without it.
    #[error("expected this participant in the announced cohort, got one without it")]
    NotInCohort,
    /// The record is another node's, or belongs to another roster.
    #[error("expected a record of this node and roster, got another")]
    OtherRecord,
}

impl<T: Into<Refused>> From<T> for PartEnd {
    fn from(refused: T) -> Self {
        Self::Refused(refused.into())
    }
}
