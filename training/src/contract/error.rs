//! Why a round is not trained or measured here.

use std::io;
use std::path::{Path, PathBuf};

use neuro_fl_aggregator::LayoutError;
use neuro_fl_aggregator::trainer_contract::CONTRACT_VERSION;

use super::METRICS;
use super::settings::KNOWN;
use crate::error::{ModelError, TrainError};

/// The round cannot be trained or measured with this model and these examples. The participant drops out of it before it
/// masks anything.
#[derive(Debug, thiserror::Error)]
pub enum RoundFailure {
    /// A file.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A file of tensors that are not the round's.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: LayoutError,
    },
    /// `task.json` is none.
    #[error("task.json: {why}")]
    Task {
        /// What the reader says.
        why: String,
    },
    /// Another contract.
    #[error("expected contract {CONTRACT_VERSION}, got {got}")]
    Contract {
        /// The one in `task.json`.
        got: u32,
    },
    /// The model, or a tensor that it does not have.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor of the round that is another one in this model.
    #[error("expected tensor {name} of shape {expected:?} as this model has it, got one of {got:?} in the round")]
    Shape {
        /// Its name in the round.
        name: String,
        /// The model's.
        expected: Vec<usize>,
        /// The round's.
        got: Vec<usize>,
    },
    /// Adapters that do not belong together.
    #[error("expected adapters {expected}, got {got}")]
    Adapters {
        /// What they should be.
        expected: &'static str,
        /// What they are.
        got: String,
    },
    /// A setting of `[training]` that is not known here.
    #[error("expected settings out of {}, got {name}", KNOWN.join(", "))]
    UnknownSetting {
        /// Its name.
        name: String,
    },
    /// A setting out of its range.
    #[error("expected {name} to be {expected}, got {got}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// A metric that is not measured here.
    #[error("expected metrics out of {}, got {got}", METRICS.join(", "))]
    Metric {
        /// The one that was asked for.
        got: String,
    },
    /// A line of the examples.
    #[error("{path}, line {line}: {why}")]
    Example {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// No examples.
    #[error("expected at least one example in {path}, got none")]
    NoExamples {
        /// The file.
        path: PathBuf,
    },
    /// The training.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl RoundFailure {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn file(path: &Path, why: LayoutError) -> Self {
        Self::File { path: path.to_owned(), why }
    }

    /// Whether the same round may succeed at another time.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Train(error) => error.is_retryable(),
            _ => false,
        }
    }
}
