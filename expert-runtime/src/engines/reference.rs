//! The reference engine: slow, plain and easy to believe. Others are compared with it; nobody computes with it.
//!
//! Sums run in f64 over the inputs in ascending order and are rounded to f32 once per layer output. The activation is
//! computed in f64. So its results lie closer to the exact ones than those of any f32 engine.

use neuro_model::HiddenActivation;
use neuro_primitives::{ActivationFormat, Activations, Rows};

use crate::activations::{dequantise, quantise};
use crate::engine::{
    Engine, EngineError, EngineId, Expert, ExpertBiases, ExpertWeights, FLOAT_SPEC, Linear, Weight, check_width,
};

/// Computes in plain loops with f64 sums.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReferenceEngine;

impl Engine for ReferenceEngine {
    fn id(&self) -> EngineId {
        EngineId { class: "reference", spec: FLOAT_SPEC }
    }

    fn linear(&self, weight: &Weight<'_>) -> Result<Box<dyn Linear>, EngineError> {
        Ok(Box::new(Matrix::new(weight)?))
    }

    fn expert(&self, weights: &ExpertWeights<'_>) -> Result<Box<dyn Expert>, EngineError> {
        weights.check()?;
        Ok(Box::new(ReferenceExpert {
            gate: Matrix::new(&weights.gate)?,
            up: Matrix::new(&weights.up)?,
            down: Matrix::new(&weights.down)?,
            biases: weights.biases.clone(),
            activation: weights.activation,
            input: weights.input_format(),
        }))
    }
}

/// A weight as f32, and whether its inputs are quantised first.
struct Matrix {
    columns: usize,
    /// `[rows, columns]`, f32.
    values: Vec<f32>,
    quantised: bool,
}

impl Matrix {
    fn new(weight: &Weight<'_>) -> Result<Self, EngineError> {
        weight.check()?;
        let quantised = !weight.tensor_type.is_float();
        Ok(Self { columns: weight.columns, values: weight.to_f32()?, quantised })
    }

    /// `input` (`[rows, in]`, f32) times this weight (`[out, in]`), transposed: `[rows, out]`.
    fn times(&self, input: &Rows) -> Result<Rows, EngineError> {
        check_width(input.width(), self.columns)?;
        let rounded = if self.quantised { dequantise(&quantise(input)?) } else { input.clone() };
        let mut output = Rows::zeros(input.count(), self.values.len() / self.columns);
        for row in 0..input.count() {
            let input = rounded.row(row);
            for (sum, weights) in output.row_mut(row).iter_mut().zip(self.values.chunks_exact(self.columns)) {
                *sum = dot(weights, input);
            }
        }
        Ok(output)
    }
}

impl Linear for Matrix {
    fn apply(&self, input: &Rows) -> Result<Rows, EngineError> {
        self.times(input)
    }

    fn resident_bytes(&self) -> u64 {
        size_of_val(self.values.as_slice()) as u64
    }
}

struct ReferenceExpert {
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    biases: Option<ExpertBiases>,
    activation: HiddenActivation,
    input: ActivationFormat,
}

impl Expert for ReferenceExpert {
    fn forward(&self, hidden: &Activations) -> Result<Rows, EngineError> {
        let hidden = match hidden {
            Activations::F32(rows) => rows.clone(),
            Activations::Q8(rows) if self.input == ActivationFormat::Q8 => dequantise(rows),
            Activations::Q8(_) => return Err(EngineError::Format { expected: self.input, got: hidden.format() }),
        };
        let (mut gated, mut up) = (self.gate.times(&hidden)?, self.up.times(&hidden)?);
        if let Some(biases) = &self.biases {
            add_to_rows(&mut gated, &biases.gate);
            add_to_rows(&mut up, &biases.up);
        }
        for (gate, &up) in gated.values_mut().iter_mut().zip(up.values()) {
            *gate = activate(self.activation, f64::from(*gate), f64::from(up)) as f32;
        }
        let mut output = self.down.times(&gated)?;
        if let Some(biases) = &self.biases {
            add_to_rows(&mut output, &biases.down);
        }
        Ok(output)
    }

    fn resident_bytes(&self) -> u64 {
        [&self.gate, &self.up, &self.down].map(Linear::resident_bytes).iter().sum()
    }
}

fn activate(activation: HiddenActivation, gate: f64, up: f64) -> f64 {
    match activation {
        HiddenActivation::Silu => gate / (1.0 + libm::exp(-gate)) * up,
        HiddenActivation::ClampedSwiglu { alpha, limit } => {
            let limit = f64::from(limit);
            let gate = gate.min(limit);
            gate / (1.0 + libm::exp(-gate * f64::from(alpha))) * (up.clamp(-limit, limit) + 1.0)
        }
    }
}

fn add_to_rows(rows: &mut Rows, bias: &[f32]) {
    for row in 0..rows.count() {
        rows.row_mut(row).iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
    }
}

fn dot(weights: &[f32], input: &[f32]) -> f32 {
    weights.iter().zip(input).map(|(&weight, &value)| f64::from(weight) * f64::from(value)).sum::<f64>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights<'a>(biases: Option<ExpertBiases>, activation: HiddenActivation) -> ExpertWeights<'a> {
        let gate = Weight::from_f32("gate", 1, 2, &[1.0, -1.0]);
        let up = Weight::from_f32("up", 1, 2, &[2.0, 0.5]);
        let down = Weight::from_f32("down", 2, 1, &[1.0, -4.0]);
        ExpertWeights { gate, up, down, biases, activation }
    }

    #[test]
    fn a_worked_example_by_hand() -> Result<(), EngineError> {
        let expert = ReferenceEngine.expert(&weights(None, HiddenActivation::Silu))?;
        // gate = 3 - 1 = 2, up = 6 + 0.5 = 6.5; silu(2) = 1.7615942; product 11.450362.
        let output = expert.forward(&Rows::new(2, vec![3.0, 1.0]).into())?;
        assert_eq!(output.values(), [11.450_362, -45.801_45]);
        assert_eq!(expert.resident_bytes(), 6 * 4);
        Ok(())
    }

    #[test]
    fn biases_and_the_clamped_activation_by_hand() -> Result<(), EngineError> {
        let biases = ExpertBiases { gate: vec![8.0], up: vec![-20.0], down: vec![0.5, 1.0] };
        let activation = HiddenActivation::ClampedSwiglu { alpha: 1.0, limit: 7.0 };
        let expert = ReferenceEngine.expert(&weights(Some(biases), activation))?;
        // gate = 2 + 8, clamped to 7; up = 6.5 - 20, clamped to -7; 7 · sigmoid(7) · (-7 + 1) = -41.961_72.
        let output = expert.forward(&Rows::new(2, vec![3.0, 1.0]).into())?;
        for (got, expected) in output.values().iter().zip([-41.461_7, 168.846_9]) {
            assert!((got - expected).abs() < 1e-3, "expected {expected}, got {got}");
        }
        Ok(())
    }

    #[test]
    fn rows_of_another_width_are_refused() -> Result<(), EngineError> {
        let linear = ReferenceEngine.linear(&Weight::from_f32("w", 1, 2, &[1.0, 1.0]))?;
        assert_eq!(linear.apply(&Rows::zeros(1, 3)), Err(EngineError::Width { expected: 2, got: 3 }));
        Ok(())
    }
}
