//! A matrix product of the engine, with the bias that some checkpoints add.

use neuro_expert_runtime::{EngineError, Linear};
use neuro_primitives::Rows;

use crate::sums;

/// `y = W·x (+ b)`.
pub struct Projection {
    linear: Box<dyn Linear>,
    /// `[out]`, f32.
    bias: Option<Vec<f32>>,
}

impl Projection {
    /// The product with `linear`, plus `bias` (`[out]`, f32) if there is one.
    #[must_use]
    pub fn new(linear: Box<dyn Linear>, bias: Option<Vec<f32>>) -> Self {
        Self { linear, bias }
    }

    /// `input` (`[rows, in]`, f32) → `[rows, out]`, f32.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn apply(&self, input: &Rows) -> Result<Rows, EngineError> {
        let mut output = self.linear.apply(input)?;
        if let Some(bias) = &self.bias {
            for row in 0..output.count() {
                sums::add(output.row_mut(row), bias);
            }
        }
        Ok(output)
    }
}
