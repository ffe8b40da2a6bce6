//! The default engine: f32 on burn's CPU backend `flex`.
//!
//! Weights are laid out once, when a layer is made (see `striped`), and held as f32. A call reads them where they
//! lie. Strips of outputs are computed by the threads of the current rayon pool; each output is computed by one
//! thread in an order that depends on nothing but the weight's shape, so thread counts do not change a bit.

use burn::tensor::Device;
use neuro_model::HiddenActivation;
use neuro_primitives::{ActivationFormat, Activations, Rows};

use crate::activation::gate_into;
use crate::activations::dequantise;
use crate::engine::{Engine, EngineError, EngineId, Expert, ExpertBiases, ExpertWeights, FLOAT_SPEC, Linear, Weight};
use striped::{DepthChunks, Matrix, StripedMatrix, assemble, each};

mod striped;

/// Computes on the CPU through burn.
#[derive(Debug, Clone)]
pub struct BurnFlexEngine {
    device: Device,
}

impl BurnFlexEngine {
    /// The engine on the one CPU device.
    #[must_use]
    pub fn new() -> Self {
        Self { device: Device::flex() }
    }
}

impl BurnFlexEngine {
    fn lay_out(&self, weight: &Weight<'_>) -> Result<StripedMatrix, EngineError> {
        let matrix = Matrix { rows: weight.rows, columns: weight.columns, values: weight.to_f32()? };
        Ok(StripedMatrix::new(matrix, &self.device))
    }
}

impl Default for BurnFlexEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine for BurnFlexEngine {
    fn id(&self) -> EngineId {
        EngineId { class: "burn-flex-f32", spec: FLOAT_SPEC }
    }

    fn linear(&self, weight: &Weight<'_>) -> Result<Box<dyn Linear>, EngineError> {
        weight.check()?;
        Ok(Box::new(FlexLinear { weight: self.lay_out(weight)?, device: self.device.clone() }))
    }

    fn expert(&self, weights: &ExpertWeights<'_>) -> Result<Box<dyn Expert>, EngineError> {
        weights.check()?;
        Ok(Box::new(FlexExpert {
            gate: self.lay_out(&weights.gate)?,
            up: self.lay_out(&weights.up)?,
            down: self.lay_out(&weights.down)?,
            biases: weights.biases.clone(),
            activation: weights.activation,
            input: weights.input_format(),
            device: self.device.clone(),
        }))
    }
}

struct FlexLinear {
    weight: StripedMatrix,
    device: Device,
}

impl Linear for FlexLinear {
    fn apply(&self, input: &Rows) -> Result<Rows, EngineError> {
        self.weight.apply(input, &self.device)
    }

    fn resident_bytes(&self) -> u64 {
        self.weight.resident_bytes()
    }
}

struct FlexExpert {
    gate: StripedMatrix,
    up: StripedMatrix,
    down: StripedMatrix,
    biases: Option<ExpertBiases>,
    input: ActivationFormat,
    activation: HiddenActivation,
    device: Device,
}

impl FlexExpert {
    /// `activation(gate(hidden)) · up(hidden)`: `[rows, d_model]` to `[rows, d_expert]`. Gate and up have the same
    /// strips; a thread computes both of one strip and their product while it is in its cache.
    fn gated(&self, hidden: &Rows) -> Result<Rows, EngineError> {
        let chunks = DepthChunks::new(hidden, &self.gate, &self.device)?;
        let pairs: Vec<_> = self.gate.strips().iter().zip(self.up.strips()).collect();
        let parts = each(&pairs, 2 * self.gate.work(hidden.count()), |(gate, up)| {
            let mut gated = gate.apply(&chunks)?;
            gate_into(self.activation, &mut gated, &up.apply(&chunks)?);
            Ok(gated)
        })?;
        Ok(assemble(&self.gate, hidden.count(), &parts))
    }
}

impl FlexExpert {
    /// As [`Self::gated`], in models with biases.
    fn biased(&self, hidden: &Rows, biases: &ExpertBiases) -> Result<Rows, EngineError> {
        let mut gate = self.gate.apply(hidden, &self.device)?;
        let mut up = self.up.apply(hidden, &self.device)?;
        add_to_rows(&mut gate, &biases.gate);
        add_to_rows(&mut up, &biases.up);
        gate_into(self.activation, gate.values_mut(), up.values());
        Ok(gate)
    }
}

fn add_to_rows(rows: &mut Rows, bias: &[f32]) {
    for row in 0..rows.count() {
        rows.row_mut(row).iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
    }
}

impl Expert for FlexExpert {
    fn forward(&self, hidden: &Activations) -> Result<Rows, EngineError> {
        let hidden = match hidden {
            Activations::F32(rows) => rows.clone(),
            Activations::Q8(rows) if self.input == ActivationFormat::Q8 => dequantise(rows),
            Activations::Q8(_) => return Err(EngineError::Format { expected: self.input, got: hidden.format() }),
        };
        let gated = if let Some(biases) = &self.biases { self.biased(&hidden, biases)? } else { self.gated(&hidden)? };
        let mut output = self.down.apply(&gated, &self.device)?;
        if let Some(biases) = &self.biases {
            add_to_rows(&mut output, &biases.down);
        }
        Ok(output)
    }

    fn resident_bytes(&self) -> u64 {
        self.gate.resident_bytes() + self.up.resident_bytes() + self.down.resident_bytes()
    }
}

#[cfg(test)]
mod tests;
