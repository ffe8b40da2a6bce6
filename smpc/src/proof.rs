//! The proof that the other two parties multiplied rightly.
//!
//! Boneh, Boyle, Corrigan-Gibbs, Gilboa, Ishai (CRYPTO 2019): a fully linear interactive proof of an inner product whose
//! statement is spread over two verifiers; Boyle, Gilboa, Ishai, Nof (CCS 2019): its use for replicated shares of three
//! parties; over Z_2^64 by a Galois extension. Every party proves all relations of its [`Tapes`] to the other two, and
//! verifies both of theirs, in the same rounds:
//!
//! ```text
//! left verifier P_{i-1}            prover P_i                    right verifier P_{i+1}
//!   seed part 0, hashes ──────────────▶ ◀────────────── seed part 1, hash         weights
//!   (draws its shares)        shares of the coefficients ─────────▶               fold k = 1 ... K
//!                                       ◀────────────── zeta                      all but the last
//!   value, part of the target ────────────────────────────────────▶               both check
//!   ◀──────────────────────────────────────────── value, part of the target
//! ```
//!
//! If at most one party lies, a wrong relation is accepted with a chance below 2^-55 a proof. Nobody learns anything:
//! all messages are masked by randomness that the receiver does not know. `docs/spec/smpc-proof.md` argues both.
//!
//! Nothing that depends on a relation may be opened before [`verify`] has returned `Ok`. Any error ends the session: the
//! caller sends an abort, says no more, and forgets its shares.

mod algebra;
mod challenge;
mod first;
mod fold;
mod instance;
mod layout;
mod link;
mod matrix;
mod plan;
mod role;
mod session;

use thiserror::Error;

pub(crate) use instance::Room;
pub(crate) use session::Proof;

use crate::channel::{Channel, ChannelError};
use crate::party::PartyId;
use crate::tape::Tapes;

/// Randomness that two parties have in common and the third does not know.
pub trait Coins {
    /// Fills `own` with fresh words of component i, which P_{i-1} draws as well, and `next` with fresh words of component
    /// i+1, which P_{i+1} draws as well. Both depend on `step` and on nothing else but the component's seed; a step is
    /// drawn from once.
    ///
    /// # Errors
    /// A step that was drawn from before.
    fn draw(&mut self, step: u64, own: &mut [u64], next: &mut [u64]) -> Result<(), CoinsError>;
}

/// A step that was drawn from before: our own bug, and the end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("shared randomness of step {step} drawn twice")]
pub struct CoinsError {
    /// What was asked for.
    pub step: u64,
}

/// What a proof cost this party.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Messages that had to wait for one another.
    pub rounds: u64,
    /// Bytes that it sent.
    pub bytes: u64,
}

/// Why nothing was proved. Never says a value; every one of them ends the session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The relations of an instance do not hold: its prover lied, or its other verifier, whose word counts for as much.
    #[error(
        "step {step}: the proof of party {prover} does not hold: party {prover} lied, or party {verifier}, who checks it \
         as well"
    )]
    Rejected {
        /// Of the program.
        step: u64,
        /// Who proved.
        prover: PartyId,
        /// Who checks beside this party.
        verifier: PartyId,
    },
    /// The verifiers of this party's own instance tell different challenges: one of them lies.
    #[error("step {step}: challenges of one proof differ: party {left} lied, or party {right}")]
    Challenge {
        /// Of the program.
        step: u64,
        /// The one verifier.
        left: PartyId,
        /// The other.
        right: PartyId,
    },
    /// A message of another length than the tapes say.
    #[error("party {peer}: expected {expected} bytes in step {name}, got {got}")]
    Length {
        /// Who sent it.
        peer: PartyId,
        /// Of which message.
        name: &'static str,
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// A message of another step.
    #[error("party {peer}: expected message {expected_part} of the proof ({name}), got {got} of this or another step")]
    Step {
        /// Who sent it.
        peer: PartyId,
        /// What was waited for.
        name: &'static str,
        /// Its number in the step.
        expected_part: u32,
        /// The number that came.
        got: u32,
    },
    /// A tape of this party that does not fit together: our own bug.
    #[error("a tape of this party has {got} {what}, expected {expected}")]
    Tape {
        /// What does not fit.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// See [`CoinsError`].
    #[error(transparent)]
    Coins(#[from] CoinsError),
    /// A peer that is gone, late, or has aborted.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// Proves to the other two what `party` multiplied, and verifies what they did: all relations on the tapes hold, of all
/// three. All parties call it at the same `step`, with tapes of the same lengths. Without relations nothing is sent.
///
/// The tapes are only read: the caller empties them when this returns.
///
/// # Errors
/// See [`ProofError`]. The caller must abort the session.
pub fn verify<C: Channel>(
    party: PartyId,
    tapes: &Tapes,
    channel: &mut C,
    coins: &mut impl Coins,
    step: u64,
) -> Result<Cost, ProofError> {
    let (mut proof, mut room) = (Proof::begin(party, tapes, channel, coins, step)?, Room::default());
    while !proof.is_over() {
        proof.advance(channel, &mut room)?;
    }
    Ok(proof.cost())
}
