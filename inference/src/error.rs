//! What can go wrong while loading a trunk and while running it.

use neuro_expert_runtime::{BlockError, EngineError, PoolError};
use neuro_model::CheckpointError;

use crate::experts::ExpertsError;

/// A checkpoint that could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The checkpoint's files are wrong or unreadable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A tensor's elements cannot be used: one is NaN or infinite, and the model would answer nonsense.
    #[error("tensor {name:?}: {source}")]
    Elements {
        /// The tensor.
        name: String,
        /// What is wrong.
        source: BlockError,
    },
    /// The engine refused a weight.
    #[error("the engine refused {name}: {source}")]
    Engine {
        /// The tensor, or the expert.
        name: String,
        /// Why.
        source: EngineError,
    },
    /// The names are those of latent attention, and the configuration has no widths for it: a bug of ours.
    #[error("layer {layer} has latent attention, but the configuration says nothing about it")]
    LatentShape {
        /// The layer.
        layer: usize,
    },
    /// The experts could not be brought into memory.
    #[error(transparent)]
    Experts(PoolError),
}

impl LoadError {
    /// Whether the same checkpoint may load later: never, its bytes are what they are.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

/// A forward pass that failed. The cache is as it was before the chunk that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ForwardError {
    /// Nothing to run.
    #[error("expected at least one token, got none")]
    NoTokens,
    /// A token id that the model has no embedding for.
    #[error("token {id} lies outside the vocabulary of {vocab_size}")]
    TokenOutOfVocabulary {
        /// The id.
        id: u32,
        /// Ids are below this.
        vocab_size: usize,
    },
    /// The positions do not fit the model's context.
    #[error("{wanted} tokens exceed the context of {context}")]
    ContextFull {
        /// Positions that the model has.
        context: usize,
        /// Positions that the call would need.
        wanted: usize,
    },
    /// A cache made for another model: a bug of the caller.
    #[error("the cache has {got} layers, the model {expected}, or their heads or number formats differ")]
    WrongCache {
        /// Layers of the model.
        expected: usize,
        /// Layers of the cache.
        got: usize,
    },
    /// Arithmetic left the finite numbers.
    #[error("{what} at layer {layer}, position {position}, are not finite")]
    NotFinite {
        /// `router logits` or `logits`.
        what: &'static str,
        /// The layer; the number of layers for the lm head.
        layer: usize,
        /// The position in the sequence, from 0.
        position: usize,
    },
    /// The experts gave no answer.
    #[error(transparent)]
    Experts(#[from] ExpertsError),
    /// The engine failed at a trunk product.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ForwardError {
    /// Whether the same call may succeed later: only what the experts say can.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Experts(error) => error.retryable,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_experts_can_make_an_error_retryable() {
        let experts =
            |retryable| ForwardError::Experts(ExpertsError { message: "no holder".into(), retryable, expert: None });
        assert!(experts(true).is_retryable());
        assert!(!experts(false).is_retryable());
        assert!(!ForwardError::NoTokens.is_retryable());
        assert_eq!(experts(true).to_string(), "no holder");
    }

    #[test]
    fn messages_name_what_was_expected_and_what_came() {
        let error = ForwardError::NotFinite { what: "logits", layer: 4, position: 17 };
        assert_eq!(error.to_string(), "logits at layer 4, position 17, are not finite");
        let error = ForwardError::TokenOutOfVocabulary { id: 600, vocab_size: 512 };
        assert_eq!(error.to_string(), "token 600 lies outside the vocabulary of 512");
    }
}
