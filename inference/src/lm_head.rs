//! The last norm and the language-model head: one row of logits.

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

    /// The logits (`[vocab]`, f32) of one hidden state (`[d_model]`, f32).
    ///
    /// # Errors
    /// When the engine fails.
    pub fn logits(&self, hidden: &[f32]) -> Result<Vec<f32>, EngineError> {
        let normed = self.norm.apply(&Rows::new(hidden.len(), hidden.to_vec()));
        self.projection.apply(&normed).map(Rows::into_values)
    }
}
