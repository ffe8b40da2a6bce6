//! What is kept between rounds: where a task stands, and a line for every round that ended.

use crate::early_stop::EarlyStop;
use neuro_privacy::Spent;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The format that this build writes.
pub const CHECKPOINT_VERSION: u32 = 1;

/// Where a task stands. Models and strategies' states are files of their own, one for each track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// [`CHECKPOINT_VERSION`].
    pub version: u32,
    /// The number of the last round that was begun. Numbers only rise.
    pub round: u64,
    /// Rounds whose sums were applied, the router's not counted.
    pub applied: u32,
    /// Router rounds that were applied.
    pub router_applied: u32,
    /// Rounds in a row that failed.
    pub failures: u32,
    /// The clipping norm as it is now; 0 without noise.
    pub clip: f64,
    /// Whether an evaluation is still to come.
    pub evaluation_due: bool,
    /// The watch over the metric.
    pub early_stop: Option<EarlyStop>,
}

/// A kept state that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not the JSON of a checkpoint or of a line of history.
    #[error("line {line}: {why}")]
    Json {
        /// Which line, from 1.
        line: usize,
        /// What the reader says.
        why: String,
    },
    /// Another format.
    #[error("expected a checkpoint of version {CHECKPOINT_VERSION}, got {got}")]
    Version {
        /// The version in the file.
        got: u32,
    },
}

impl Checkpoint {
    /// As it is kept.
    #[must_use]
    pub fn encode(&self) -> String {
        // Numbers, flags and texts: there is nothing that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// Text that is no checkpoint, or one of another version.
    pub fn decode(text: &str) -> Result<Self, CheckpointError> {
        let read: Result<Self, _> = serde_json::from_str(text);
        let kept = read.map_err(|error| CheckpointError::Json { line: error.line(), why: error.to_string() })?;
        if kept.version == CHECKPOINT_VERSION { Ok(kept) } else { Err(CheckpointError::Version { got: kept.version }) }
    }
}

/// What a round was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundKind {
    /// Updates of the model or of experts.
    Train,
    /// Updates of the router.
    Router,
    /// Metrics.
    Evaluate,
}

/// One cohort of a round that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CohortRecord {
    /// Its number.
    pub cohort: u16,
    /// Whose: the model, an expert, a shard's number.
    pub name: String,
    /// n.
    pub members: u32,
    /// |S|; 0 if nothing was unmasked.
    pub survivors: u32,
    /// Σw.
    pub weight: f64,
    /// ‖mean update‖₂, f64.
    pub update_norm: f64,
    /// Why nothing came of it; none when its sum was used.
    pub failure: Option<String>,
}

/// One round that ended: a line of `history.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundRecord {
    /// Its number.
    pub round: u64,
    /// What it was for.
    pub kind: RoundKind,
    /// When it began, Unix milliseconds.
    pub began_unix_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    /// The strategy's name.
    pub strategy: String,
    /// Its cohorts, those that were not opened included.
    pub cohorts: Vec<CohortRecord>,
    /// Means over all participants, of an evaluation.
    pub metrics: BTreeMap<String, f64>,
    /// What the model has cost so far; none without noise.
    pub spent: Option<Spent>,
    /// Whether the model moved, or an evaluation has its figures.
    pub succeeded: bool,
}

/// Reads `history.jsonl`.
///
/// # Errors
/// The first line that is none.
pub fn read_history(text: &str) -> Result<Vec<RoundRecord>, CheckpointError> {
    let line = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| CheckpointError::Json { line: index + 1, why: error.to_string() })
    };
    text.lines().enumerate().map(line).collect()
}
