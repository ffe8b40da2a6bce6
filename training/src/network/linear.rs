//! Projections and norms.

use burn::tensor::Tensor;

use super::Tensors;
use crate::error::ModelError;
use crate::low_rank;

/// A projection without bias and, where it has one, its low-rank adapter.
pub(super) struct Linear {
    /// `[out, in]`.
    weight: Tensor<2>,
    /// `A` `[rank, in]`, `B` `[out, rank]`, and what their product is multiplied by.
    low_rank: Option<(Tensor<2>, Tensor<2>, f32)>,
}

impl Linear {
    /// The projection called `name`.
    pub(super) fn new(tensors: &impl Tensors, name: &str) -> Result<Self, ModelError> {
        let [a, b] = low_rank::names(name).map(|name| tensors.optional(&name));
        let low_rank = a.zip(b).map(|(a, b)| (a, b, tensors.low_rank_scale()));
        Ok(Self { weight: tensors.tensor(name)?, low_rank })
    }

    /// `[rows, in] → [rows, out]`.
    pub(super) fn apply(&self, rows: Tensor<2>) -> Tensor<2> {
        let Some((a, b, scale)) = &self.low_rank else { return rows.matmul(self.weight.clone().transpose()) };
        let short = rows.clone().matmul(a.clone().transpose()).mul_scalar(*scale);
        rows.matmul(self.weight.clone().transpose()) + short.matmul(b.clone().transpose())
    }
}

/// "Root Mean Square Layer Normalization", Zhang and Sennrich, arXiv 1910.07467, equation 4.
pub(super) struct RmsNorm {
    /// `[1, width]`.
    weight: Tensor<2>,
    epsilon: f32,
}

impl RmsNorm {
    /// A norm with `weight` (`[1, width]`).
    pub(super) const fn new(weight: Tensor<2>, epsilon: f32) -> Self {
        Self { weight, epsilon }
    }

    /// Normalises every row: `[rows, width]`.
    pub(super) fn apply(&self, rows: Tensor<2>) -> Tensor<2> {
        let mean_square = rows.clone().square().mean_dim(1);
        rows * mean_square.add_scalar(self.epsilon).sqrt().recip() * self.weight.clone()
    }

    /// Normalises stretches of the norm's width: each head of a row, or the whole row.
    pub(super) fn apply_to_stretches(&self, rows: Tensor<2>) -> Tensor<2> {
        let ([count, all], [_, width]) = (rows.dims(), self.weight.dims());
        self.apply(rows.reshape([count * all / width, width])).reshape([count, all])
    }
}
