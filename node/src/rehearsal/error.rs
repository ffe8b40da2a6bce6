//! Why a rehearsal cannot go on.

use std::io;

use neuro_fl_aggregator::{EncodeError, LayoutError, StrategyError};
use neuro_secagg::error::DocumentError;
use neuro_secagg::packing::{ModulusError, PayloadError};

use crate::aggregator_role::AggregatorError;

/// A rehearsal cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The plan or the first weights.
    #[error(transparent)]
    Task(#[from] AggregatorError),
    /// A file.
    #[error("the rehearsal's files cannot be used: {0}")]
    Io(#[from] io::Error),
    /// Too few or too many participants for any roster.
    #[error("expected 1 to {most} participants, got {got}")]
    Participants {
        /// The most.
        most: usize,
        /// How many there are.
        got: usize,
    },
    /// What the plan makes is no roster or configuration.
    #[error("the plan does not make a round: {0}")]
    Document(#[from] DocumentError),
    /// The weights.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// How vectors are made.
    #[error(transparent)]
    Encoding(#[from] EncodeError),
    /// The step.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The size of a sum's entries.
    #[error(transparent)]
    Modulus(#[from] ModulusError),
    /// A vector that does not fit the sum.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The user stopped it.
    #[error("the rehearsal was stopped")]
    Stopped,
}

impl RehearsalError {
    /// Whether the plan, the weights or the number of participants are at fault.
    #[must_use]
    pub const fn is_input(&self) -> bool {
        matches!(self, Self::Task(_) | Self::Participants { .. } | Self::Document(_) | Self::Encoding(_))
    }
}
