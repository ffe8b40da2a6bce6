//! RMSNorm: "Root Mean Square Layer Normalization", Zhang and Sennrich, arXiv 1910.07467, equation 4.
//!
//! `y = x / sqrt(mean(x²) + ε) · w`. The mean is a sum in the order of [`crate::sums`]; the root and the division are
//! those of IEEE 754, which every machine rounds alike.

use neuro_expert_runtime::kernels::{InstructionSet, functions};
use neuro_primitives::Rows;

/// One norm's weight and its ε.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// `[width]`, f32.
    weight: Vec<f32>,
    epsilon: f32,
}

impl RmsNorm {
    /// A norm over vectors as long as `weight` (`[width]`, f32).
    #[must_use]
    pub const fn new(weight: Vec<f32>, epsilon: f32) -> Self {
        Self { weight, epsilon }
    }

    /// The rows of `hidden` (`[rows, width]`, f32), each normalised. `[rows, width]`, f32.
    #[must_use]
    pub fn apply(&self, hidden: &Rows) -> Rows {
        let mut normed = hidden.clone();
        self.apply_in_place(normed.values_mut());
        normed
    }

    /// Normalises each stretch of `width` values: rows, or the heads of rows.
    pub fn apply_in_place(&self, values: &mut [f32]) {
        for vector in values.chunks_exact_mut(self.weight.len().max(1)) {
            functions::rms_norm(InstructionSet::current(), vector, &self.weight, self.epsilon);
        }
    }

    /// Bytes that the weight takes.
    #[must_use]
    pub const fn resident_bytes(&self) -> u64 {
        (self.weight.len() * size_of::<f32>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_divided_by_its_root_mean_square() {
        let norm = RmsNorm::new(vec![1.0, 2.0], 0.0);
        // mean square of (3, 4) is 12.5
        let normed = norm.apply(&Rows::new(2, vec![3.0, 4.0, 0.3, 0.4]));
        let root = 12.5_f32.sqrt();
        for (got, expected) in normed.values().iter().zip([3.0 / root, 8.0 / root, 3.0 / root, 8.0 / root]) {
            assert!((got - expected).abs() < 1e-6, "expected {expected}, got {got}");
        }
    }

    #[test]
    fn epsilon_keeps_a_zero_row_finite() {
        let norm = RmsNorm::new(vec![1.0; 4], 1e-5);
        assert_eq!(norm.apply(&Rows::zeros(1, 4)).values(), [0.0; 4]);
    }

    #[test]
    fn heads_of_a_row_are_normalised_each_for_itself() {
        let norm = RmsNorm::new(vec![1.0, 1.0], 0.0);
        let mut heads = [1.0, 1.0, 100.0, 100.0];
        norm.apply_in_place(&mut heads);
        assert_eq!(heads, [1.0; 4]);
        assert_eq!(norm.resident_bytes(), 8);
    }
}
