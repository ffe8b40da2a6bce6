//! The feed-forward network of a dense layer: `down(silu(gate·x) ⊙ up·x)`, for every row.
//!
//! "GLU Variants Improve Transformer", Shazeer, arXiv 2002.05202, equation 6. It has the form of an expert, so the
//! engine computes it as one; but it belongs to the trunk, and no gate weighs it.

use neuro_expert_runtime::{EngineError, Expert};
use neuro_primitives::Rows;

/// One dense layer's feed-forward network.
pub struct Dense {
    network: Box<dyn Expert>,
}

impl Dense {
    /// The network that the engine made of the layer's three matrices.
    #[must_use]
    pub fn new(network: Box<dyn Expert>) -> Self {
        Self { network }
    }

    /// `hidden` (`[rows, d_model]`, f32, normalised) → `[rows, d_model]`, f32.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn apply(&self, hidden: &Rows) -> Result<Rows, EngineError> {
        self.network.forward(&hidden.clone().into())
    }
}
