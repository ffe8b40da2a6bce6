//! What can go wrong with a model to be trained, and with training it.

use std::time::Duration;

use neuro_model::CheckpointError;

/// A model that cannot be trained here, or a choice that it does not have.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The checkpoint could not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The model has something that this crate has no gradient for.
    #[error("expected a model that can be trained here (Mixtral, Qwen3-MoE, OLMoE), got one with {feature}")]
    Unsupported {
        /// What it has.
        feature: String,
    },
    /// A tensor is stored in blocks, which have no gradient.
    #[error("expected tensor {name} in f32, f16 or bf16, got {got}")]
    TensorType {
        /// Its name.
        name: String,
        /// How it is stored.
        got: String,
    },
    /// A stored value is NaN or infinite.
    #[error("expected finite values in tensor {name}, got {got} at {index}")]
    NotFinite {
        /// The tensor.
        name: String,
        /// Which value.
        index: usize,
        /// What it is.
        got: f32,
    },
    /// A tensor is not there.
    #[error("tensor {name} is not in the model")]
    Missing {
        /// Its name.
        name: String,
    },
    /// Rows of a tensor that do not exist, or the same rows twice.
    #[error("expected rows inside tensor {name} of {rows} rows, each once, got {from}..{to}")]
    Rows {
        /// The tensor.
        name: String,
        /// How many rows it has.
        rows: usize,
        /// First row.
        from: usize,
        /// One past the last row.
        to: usize,
    },
    /// Nothing was chosen.
    #[error("expected at least one tensor to train, got none")]
    Nothing,
    /// A vector of another length than the chosen tensors have.
    #[error("expected {expected} entries, got {got}")]
    Entries {
        /// What the choice has.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// Files could not be written.
    #[error("{path}: {source}")]
    Write {
        /// Where to.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Tensors could not be put into a file's form.
    #[error("the tensors cannot be written as safetensors: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// `config.json` cannot be changed or read.
    #[error("the configuration cannot be used: {0}")]
    Config(String),
}

/// Training that ended without an update. The participant drops out of the round before it masks anything.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The model or the global vector does not fit.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A token that the vocabulary does not have.
    #[error("expected tokens below {vocabulary}, got {got}")]
    Token {
        /// Tokens that there are.
        vocabulary: usize,
        /// What the example has.
        got: u32,
    },
    /// No example has a token that carries loss.
    #[error("expected examples with at least one token to learn, got none")]
    NoExamples,
    /// The local rule and the optimiser do not go together.
    #[error("local rule {rule} needs {needs}")]
    Rule {
        /// The rule.
        rule: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// Time ran out. Nothing of the attempt is used.
    #[error("expected {steps} steps within {deadline:?}, got {done}")]
    Deadline {
        /// Steps that were planned.
        steps: u32,
        /// Steps that were made.
        done: u32,
        /// The time that was given.
        deadline: Duration,
    },
    /// Someone asked to stop.
    #[error("cancelled after {done} steps")]
    Cancelled {
        /// Steps that were made.
        done: u32,
    },
    /// The loss or a gradient is NaN or infinite: the rate is too high, or an example is broken.
    #[error("expected finite numbers in step {step}, got {got} in the {place}")]
    NotFinite {
        /// The step, from 0.
        step: u32,
        /// Where.
        place: &'static str,
        /// What.
        got: f32,
    },
}

impl TrainError {
    /// Whether the same call may succeed at another time.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Deadline { .. } | Self::Cancelled { .. })
    }
}
