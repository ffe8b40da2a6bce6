//! Why rounds cannot go on.

use std::io;

use neuro_fl_aggregator::{EncodeError, LayoutError, StrategyError};
use neuro_secagg::error::DocumentError;
use neuro_secagg::roster::RosterRefused;

use crate::aggregator_role::cohort::CohortError;

/// Rounds cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// A file.
    #[error("the task's files cannot be used: {0}")]
    Io(#[from] io::Error),
    /// The cohort.
    #[error(transparent)]
    Cohort(#[from] CohortError),
    /// A file of a round holds something else.
    #[error("a round's files are damaged: {0}")]
    Document(#[from] DocumentError),
    /// The roster of a round is not the owner's.
    #[error(transparent)]
    Roster(#[from] RosterRefused),
    /// The weights.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// How vectors are made.
    #[error(transparent)]
    Encoding(#[from] EncodeError),
    /// The plan.
    #[error("the plan does not make a round: {0}")]
    Plan(String),
    /// The plan, the first weights or the history are others than when the round began.
    #[error(
        "round {round} is open and was called by another plan: put round.toml back as it was, or move rounds/{round} away"
    )]
    Changed {
        /// The round.
        round: u64,
    },
    /// The step.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The cohort's thread ended without a word.
    #[error("a round's thread failed")]
    Thread,
}
