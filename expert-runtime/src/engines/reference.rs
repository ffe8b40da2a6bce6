//! The reference engine: slow, plain and easy to believe. Others are compared with it; nobody computes with it.
//!
//! Sums run in f64 over the inputs in ascending order and are rounded to f32 once per layer output. The activation is
//! computed in f64. So its results lie closer to the exact ones than those of any f32 engine.

use neuro_model::HiddenActivation;
use neuro_primitives::Rows;

use crate::engine::{Engine, EngineError, EngineId, Expert, ExpertWeights, FLOAT_SPEC, Linear, Matrix, check_width};

/// Computes in plain loops with f64 sums.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReferenceEngine;

impl Engine for ReferenceEngine {
    fn id(&self) -> EngineId {
        EngineId { class: "reference-f32", spec: FLOAT_SPEC }
    }

    fn linear(&self, weight: Matrix) -> Result<Box<dyn Linear>, EngineError> {
        weight.check("weight")?;
        Ok(Box::new(ReferenceLinear { weight }))
    }

    fn expert(&self, weights: ExpertWeights) -> Result<Box<dyn Expert>, EngineError> {
        weights.check()?;
        Ok(Box::new(ReferenceExpert { weights }))
    }
}

struct ReferenceLinear {
    weight: Matrix,
}

impl Linear for ReferenceLinear {
    fn apply(&self, input: &Rows) -> Result<Rows, EngineError> {
        times(&self.weight, input)
    }

    fn resident_bytes(&self) -> u64 {
        matrix_bytes(&self.weight)
    }
}

struct ReferenceExpert {
    weights: ExpertWeights,
}

impl Expert for ReferenceExpert {
    fn forward(&self, hidden: &Rows) -> Result<Rows, EngineError> {
        let mut gated = times(&self.weights.gate, hidden)?;
        let up = times(&self.weights.up, hidden)?;
        for (gate, &up) in gated.values_mut().iter_mut().zip(up.values()) {
            *gate = (activate(self.weights.activation, f64::from(*gate)) * f64::from(up)) as f32;
        }
        times(&self.weights.down, &gated)
    }

    fn resident_bytes(&self) -> u64 {
        [&self.weights.gate, &self.weights.up, &self.weights.down].map(matrix_bytes).iter().sum()
    }
}

fn activate(activation: HiddenActivation, x: f64) -> f64 {
    match activation {
        HiddenActivation::Silu => x / (1.0 + libm::exp(-x)),
    }
}

/// `input` (`[rows, in]`) times `weight` (`[out, in]`), transposed: `[rows, out]`.
fn times(weight: &Matrix, input: &Rows) -> Result<Rows, EngineError> {
    check_width(input, weight.columns)?;
    let mut output = Rows::zeros(input.count(), weight.rows);
    for row in 0..input.count() {
        let input = input.row(row);
        for (sum, weights) in output.row_mut(row).iter_mut().zip(weight.values.chunks_exact(weight.columns)) {
            *sum = dot(weights, input);
        }
    }
    Ok(output)
}

fn dot(weights: &[f32], input: &[f32]) -> f32 {
    weights.iter().zip(input).map(|(&weight, &value)| f64::from(weight) * f64::from(value)).sum::<f64>() as f32
}

fn matrix_bytes(matrix: &Matrix) -> u64 {
    size_of_val(matrix.values.as_slice()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worked_example_by_hand() -> Result<(), EngineError> {
        let gate = Matrix { rows: 1, columns: 2, values: vec![1.0, -1.0] };
        let up = Matrix { rows: 1, columns: 2, values: vec![2.0, 0.5] };
        let down = Matrix { rows: 2, columns: 1, values: vec![1.0, -4.0] };
        let weights = ExpertWeights { gate, up, down, activation: HiddenActivation::Silu };
        let expert = ReferenceEngine.expert(weights)?;
        // gate = 3 - 1 = 2, up = 6 + 0.5 = 6.5; silu(2) = 1.7615942; product 11.450362.
        let output = expert.forward(&Rows::new(2, vec![3.0, 1.0]))?;
        assert_eq!(output.values(), [11.450_362, -45.801_45]);
        assert_eq!(expert.resident_bytes(), 6 * 4);
        Ok(())
    }

    #[test]
    fn rows_of_another_width_are_refused() -> Result<(), EngineError> {
        let linear = ReferenceEngine.linear(Matrix { rows: 1, columns: 2, values: vec![1.0, 1.0] })?;
        assert_eq!(linear.apply(&Rows::zeros(1, 3)), Err(EngineError::Width { expected: 2, got: 3 }));
        Ok(())
    }
}
