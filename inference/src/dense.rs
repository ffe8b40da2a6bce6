//! Feed-forward networks of the trunk: those of layers without experts, and those that stand beside the experts.
//!
//! "GLU Variants Improve Transformer", Shazeer, arXiv 2002.05202, equation 6. Both have the form of an expert, so the
//! engine computes them as one; but they belong to the trunk, and no router weighs them. Shared experts: "DeepSeekMoE",
//! arXiv 2401.06066, section 3.2.

use neuro_expert_runtime::kernels::functions::sigmoid;
use neuro_expert_runtime::{EngineError, Expert};
use neuro_primitives::Rows;

use crate::projection::Projection;

/// A network that every row takes.
pub struct Dense {
    network: Box<dyn Expert>,
}

/// A network beside a layer's experts.
pub struct SharedExpert {
    /// The network.
    pub network: Dense,
    /// `[d_model] → [1]`: the sigmoid of it weighs the network's output, in models that have it.
    pub gate: Option<Projection>,
}

impl Dense {
    /// The network that the engine made of three matrices.
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

impl SharedExpert {
    /// `hidden` (`[rows, d_model]`, f32, normalised) → what is added to the experts' sums, `[rows, d_model]`, f32.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn apply(&self, hidden: &Rows) -> Result<Rows, EngineError> {
        let mut output = self.network.apply(hidden)?;
        if let Some(gate) = &self.gate {
            let logits = gate.apply(hidden)?;
            for (row, logit) in logits.values().iter().enumerate() {
                let weight = sigmoid(*logit);
                output.row_mut(row).iter_mut().for_each(|value| *value *= weight);
            }
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use neuro_expert_runtime::engines::reference::ReferenceEngine;
    use neuro_expert_runtime::{Engine, ExpertWeights, Weight};
    use neuro_model::HiddenActivation;

    use super::*;

    /// A network of width 1 that takes the first element `x` and puts out `(silu(x)·x, 2·silu(x)·x)`.
    fn network() -> Dense {
        let weights = ExpertWeights {
            gate: Weight::from_f32("gate", 1, 2, &[1.0, 0.0]),
            up: Weight::from_f32("up", 1, 2, &[1.0, 0.0]),
            down: Weight::from_f32("down", 2, 1, &[1.0, 2.0]),
            biases: None,
            activation: HiddenActivation::Silu,
        };
        Dense::new(ReferenceEngine.expert(&weights).expect("a well-formed network"))
    }

    fn silu_squared(x: f64) -> f64 {
        x * x / (1.0 + libm::exp(-x))
    }

    #[test]
    fn every_row_takes_the_network() {
        let output = network().apply(&Rows::new(2, vec![1.0, 9.0, -2.0, 9.0])).expect("the engine works");
        for (row, x) in [1.0, -2.0].into_iter().enumerate() {
            let [first, second] = [output.row(row)[0], output.row(row)[1]].map(f64::from);
            assert!((first - silu_squared(x)).abs() < 1e-6 && (second - 2.0 * silu_squared(x)).abs() < 1e-6);
        }
    }

    #[test]
    fn a_gate_weighs_each_row_by_its_own_sigmoid() {
        let hidden = Rows::new(2, vec![1.0, 3.0, 1.0, -3.0]);
        let free = SharedExpert { network: network(), gate: None };
        assert_eq!(free.apply(&hidden), network().apply(&hidden));
        let gate = ReferenceEngine.linear(&Weight::from_f32("gate", 1, 2, &[0.0, 1.0])).expect("a matrix");
        let gated = SharedExpert { network: network(), gate: Some(Projection::new(gate, None)) };
        let output = gated.apply(&hidden).expect("the engine works");
        for (row, logit) in [3.0, -3.0].into_iter().enumerate() {
            let expected = silu_squared(1.0) / (1.0 + libm::exp(-logit));
            assert!((f64::from(output.row(row)[0]) - expected).abs() < 1e-6, "row {row}");
        }
    }
}
