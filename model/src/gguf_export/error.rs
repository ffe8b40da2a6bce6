//! Why a checkpoint cannot be a GGUF file.

use crate::checkpoint::CheckpointError;
use crate::config::Architecture;
use crate::gguf_writer::GgufWriteError;

/// A checkpoint that the format has no words for.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The checkpoint itself.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file.
    #[error(transparent)]
    Write(#[from] GgufWriteError),
    /// A tensor without a name in the format.
    #[error("{name}: no tensor of {architecture} in GGUF files")]
    NoPlace {
        /// The family.
        architecture: Architecture,
        /// The tensor.
        name: String,
    },
    /// A setting that the format has no key for.
    #[error("{setting} is {got}, expected {expected}: GGUF files have no key for another")]
    Setting {
        /// Its name in `config.json`.
        setting: &'static str,
        /// What readers of the format take it to be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A stack of experts that lacks one.
    #[error("{name}: no expert {index}")]
    Gap {
        /// The stacked tensor.
        name: String,
        /// The first expert that is missing.
        index: usize,
    },
    /// There is no `tokenizer.json`.
    #[error("no tokenizer.json; expected one beside the weights")]
    NoTokenizer,
    /// A file of the tokenizer that is not what it should be.
    #[error("{file}: {source}")]
    Json {
        /// The file's name.
        file: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A tokenizer of another kind.
    #[error("tokenizer.json: the model is {got}, expected BPE")]
    Tokenizer {
        /// Its kind.
        got: String,
    },
    /// Text is split before merging in a way that the format has no name for.
    #[error("tokenizer.json: no name in GGUF files for the pre-tokenizer {got}")]
    Splitting {
        /// The step, as JSON.
        got: String,
    },
    /// A token beyond the embedding.
    #[error("tokenizer.json: token {id} is beyond the vocabulary of {size}")]
    Token {
        /// The token.
        id: usize,
        /// Rows of the embedding.
        size: usize,
    },
}

impl ExportError {
    /// Whether the same call may succeed later: only the disk changes.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Write(error) => error.is_retryable(),
            Self::Checkpoint(CheckpointError::Io { .. }) => true,
            _ => false,
        }
    }
}
