//! What can go wrong in a simulation. A round that ends for want of members is no error: its report has the reason.

use neuro_primitives::Hash;
use neuro_secagg::aggregator::{ReplayError, SetupError};
use neuro_secagg::error::DocumentError;
use neuro_secagg::packing::{ModulusError, PayloadError};
use neuro_secagg::participant::{OutOfRound, PartEnd, RecordError, Refused};
use neuro_secagg::quantise::QuantiseError;

/// A plan that cannot be carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A number outside its bounds.
    #[error("expected {what} between {least} and {most}, got {got}")]
    Range {
        /// Which number.
        what: &'static str,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
        /// The plan's.
        got: u64,
    },
    /// Fields that no roster or configuration may have.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// What should not happen, whatever the plan and the seed.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An aggregator that cannot be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// An aggregator that cannot be made from its journal.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A participant did not join.
    #[error("participant {participant} did not join: {why}")]
    DidNotJoin {
        /// The participant's number.
        participant: u32,
        /// The check or the floor.
        why: Refused,
    },
    /// A participant ended its part although nobody deviated.
    #[error("participant {participant} ended its part: {end:?}")]
    Left {
        /// The participant's number.
        participant: u32,
        /// How.
        end: PartEnd,
    },
    /// A participant that cannot go on from its record.
    #[error("participant {participant} could not go on from its record: {why}")]
    Resume {
        /// The participant's number.
        participant: u32,
        /// What the core says.
        why: OutOfRound,
    },
    /// A record that cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The aggregator refused a message of an honest participant.
    #[error("the aggregator refused a message of participant {participant}: {why}")]
    MessageRefused {
        /// The participant's number.
        participant: u32,
        /// Why.
        why: String,
    },
    /// The aggregator held an honest participant to be at fault.
    #[error("the aggregator blames a participant: {evidence}")]
    Blamed {
        /// What it has.
        evidence: String,
    },
    /// An update that cannot be quantised.
    #[error("participant {participant}: {source}")]
    Quantise {
        /// The participant's number.
        participant: u32,
        /// What is wrong with the update.
        source: QuantiseError,
    },
    /// An update that cannot be given its noise.
    #[error("participant {participant}: {why}")]
    Encode {
        /// The participant's number.
        participant: u32,
        /// What the updates say.
        why: String,
    },
    /// A sum with noise that cannot be decoded.
    #[error("the sum cannot be decoded: {why}")]
    Decode {
        /// What the updates say.
        why: String,
    },
    /// A modulus that there is not.
    #[error(transparent)]
    Modulus(#[from] ModulusError),
    /// A payload that does not fit the sum.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A payload that is asked for and was never made, or is another than was stated.
    #[error("expected the payload {expected} that participant {participant} stated, got none or another")]
    NoPayload {
        /// The participant's number.
        participant: u32,
        /// Its hash.
        expected: Hash,
    },
    /// The unmasked sum is not the plain sum.
    #[error("expected {expected} as entry {entry} of the sum, got {got}")]
    SumDiffers {
        /// The first entry that differs.
        entry: usize,
        /// The plain sum's.
        expected: i64,
        /// The unmasked sum's.
        got: i64,
    },
    /// The round stands still: nothing is under way and nothing is waited for.
    #[error("the round stands still in phase {phase:?}")]
    StandsStill {
        /// The phase.
        phase: neuro_secagg::aggregator::Phase,
    },
    /// A folder for records that cannot be used.
    #[error("the folder for records: {0}")]
    Park(#[from] std::io::Error),
}
