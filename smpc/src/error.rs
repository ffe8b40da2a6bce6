//! Why a computation ended.

use thiserror::Error;

use crate::channel::ChannelError;
use crate::party::PartyId;
use crate::proof::ProofError;
use crate::prss::StepReused;
use crate::ring::packing::UnpackError;

/// Why a party left the computation. None of these says a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SmpcError {
    /// A peer that is gone, late, or has aborted.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A message of another step than the one that is due.
    #[error("party {peer}: expected step {expected} ({name}), got part {part} of step {got}")]
    OutOfStep {
        /// Who sent it.
        peer: PartyId,
        /// What the step is called here.
        name: &'static str,
        /// Number of the step here.
        expected: u64,
        /// Number that came.
        got: u64,
        /// Which of the messages of that step, on this link; the first, 0, is due.
        part: u32,
    },
    /// A message of another length.
    #[error("party {peer}, step {name}: expected {expected} bytes, got {got}")]
    Length {
        /// Who sent it.
        peer: PartyId,
        /// The step.
        name: &'static str,
        /// Bytes that the step has.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// A message that is not packed as it should be.
    #[error("party {peer}, step {name}: {source}")]
    Unpack {
        /// Who sent it.
        peer: PartyId,
        /// The step.
        name: &'static str,
        /// What is wrong with it.
        source: UnpackError,
    },
    /// What the other two say of one opened value differs: one of them told it wrongly, or says wrongly what it was told.
    #[error("step {step} ({name}): openings differ: party {left} lied, or party {right}")]
    OpeningsDiffer {
        /// Number of the step.
        step: u64,
        /// What it is called.
        name: &'static str,
        /// The one.
        left: PartyId,
        /// The other.
        right: PartyId,
    },
    /// Inputs that no embedding has: the client put in something else.
    #[error("the client: an input is beyond the largest entry of the embedding table")]
    InputRange,
    /// A proof that is not right.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// Our own mistake: randomness asked for twice.
    #[error(transparent)]
    StepReused(#[from] StepReused),
    /// The program takes more correlated randomness than was made for it.
    #[error("the program takes more {kind} than the {made} that were made")]
    OutOfRandomness {
        /// Which kind.
        kind: &'static str,
        /// How many there were.
        made: usize,
    },
}
