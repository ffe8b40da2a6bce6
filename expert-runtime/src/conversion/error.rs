//! Why a checkpoint was not written.

use neuro_model::CheckpointError;
use neuro_model::gguf_export::ExportError;
use neuro_model::gguf_writer::GgufWriteError;

use crate::blocks::BlockError;

/// A checkpoint that could not be written as GGUF.
#[derive(Debug, thiserror::Error)]
pub enum ConversionError {
    /// The checkpoint itself.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The format has no words for it.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The file.
    #[error(transparent)]
    Write(#[from] GgufWriteError),
    /// A weight that no block can hold.
    #[error("{name}: {source}")]
    Elements {
        /// The checkpoint's tensor.
        name: String,
        /// What is wrong with it; the index counts from the piece that was being converted.
        source: BlockError,
    },
    /// More parts than there are whole layers of experts for.
    #[error("{got} parts, expected 1 to {most}: one for the trunk and one for each layer of experts")]
    Parts {
        /// What was asked for.
        got: usize,
        /// The most that make sense.
        most: usize,
    },
}

impl ConversionError {
    /// Whether the same call may succeed later: only the disk changes.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Write(error) => error.is_retryable(),
            Self::Export(error) => error.is_retryable(),
            Self::Checkpoint(CheckpointError::Io { .. }) => true,
            _ => false,
        }
    }
}
