//! Where an expert's weights come from whenever they are needed in memory: a checkpoint, a cache folder.

use neuro_primitives::{ActivationFormat, ExpertId};

use crate::engine::{EngineError, ExpertWeights};

/// Takes the weights that a source has.
pub type TakeWeights<'a> = dyn FnMut(&ExpertWeights<'_>) -> Result<(), EngineError> + 'a;

/// Stored weights that can be read again and again, from several threads at once.
pub trait ExpertSource: Send + Sync {
    /// Hands the weights of expert `id` to `take`, once, where they lie. After it returns, nothing of them needs to be
    /// in memory any more.
    ///
    /// # Errors
    /// When the weights cannot be read or are not those that they should be, and what `take` returns.
    fn load(&self, id: ExpertId, take: &mut TakeWeights<'_>) -> Result<(), SourceError>;

    /// As [`ExpertSource::load`], for a look at weights that will soon be wanted again.
    ///
    /// # Errors
    /// Those of [`ExpertSource::load`].
    fn look(&self, id: ExpertId, take: &mut TakeWeights<'_>) -> Result<(), SourceError> {
        self.load(id, take)
    }
}

/// What a pool needs to know of an expert that it has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredExpert {
    /// What its weights take as stored, in bytes: the guess at what they take in memory, until an expert of as many
    /// stored bytes was loaded.
    pub stored_bytes: u64,
    /// In what form it takes hidden states.
    pub input_format: ActivationFormat,
}

/// A source gave no weights.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// The engine refuses the weights.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The weights could not be read, or something else lies in their place.
    #[error("{reason}")]
    Unreadable {
        /// What happened, with the file or tensor.
        reason: String,
        /// Whether the weights may be there again later, or be fetched again.
        retryable: bool,
    },
    /// The source returned without handing anything over: a bug of the source.
    #[error("its source handed no weights over")]
    Nothing,
}

impl SourceError {
    /// Whether the same weights may be had later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreadable { retryable: true, .. })
    }
}
