//! The last norm and the language-model head: a row of logits for each row that asks.

use neuro_expert_runtime::EngineError;
use neuro_primitives::Rows;

use crate::norm::RmsNorm;
use crate::projection::Projection;

/// From a hidden state to a logit for every token of the vocabulary.
pub struct LmHead {
    norm: RmsNorm,
    /// `[d_model] → [vocab]`.
    projection: Projection,
}

impl LmHead {
    /// A head with its `norm` and `projection`.
    #[must_use]
    pub const fn new(norm: RmsNorm, projection: Projection) -> Self {
        Self { norm, projection }
    }

    /// The logits (`[rows, vocab]`, f32) of hidden states (`[rows, d_model]`, f32).
    ///
    /// # Errors
    /// When the engine fails.
    pub fn logits(&self, hidden: &Rows) -> Result<Rows, EngineError> {
        self.projection.apply(&self.norm.apply(hidden))
    }
}
