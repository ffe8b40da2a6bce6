//! The default engine: f32 on burn's CPU backend `flex`.
//!
//! Weights are laid out once, when a layer is made (see `striped`), and held as f32. A call reads them where they
//! lie. Strips of outputs are computed by the threads of the current rayon pool; each output is computed by one
//! thread in an order that depends on nothing but the weight's shape, so thread counts do not change a bit.

use burn::tensor::Device;
use neuro_model::HiddenActivation;
use neuro_primitives::Rows;

use crate::activation::gate_into;
use crate::engine::{Engine, EngineError, EngineId, Expert, ExpertWeights, FLOAT_SPEC, Linear, Matrix};
use striped::{DepthChunks, StripedMatrix, assemble, each};

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

impl Default for BurnFlexEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine for BurnFlexEngine {
    fn id(&self) -> EngineId {
        EngineId { class: "burn-flex-f32", spec: FLOAT_SPEC }
    }

    fn linear(&self, weight: Matrix) -> Result<Box<dyn Linear>, EngineError> {
        weight.check("weight")?;
        Ok(Box::new(FlexLinear { weight: StripedMatrix::new(weight, &self.device), device: self.device.clone() }))
    }

    fn expert(&self, weights: ExpertWeights) -> Result<Box<dyn Expert>, EngineError> {
        weights.check()?;
        let lay_out = |matrix| StripedMatrix::new(matrix, &self.device);
        Ok(Box::new(FlexExpert {
            gate: lay_out(weights.gate),
            up: lay_out(weights.up),
            down: lay_out(weights.down),
            activation: weights.activation,
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

impl Expert for FlexExpert {
    fn forward(&self, hidden: &Rows) -> Result<Rows, EngineError> {
        self.down.apply(&self.gated(hidden)?, &self.device)
    }

    fn resident_bytes(&self) -> u64 {
        self.gate.resident_bytes() + self.up.resident_bytes() + self.down.resident_bytes()
    }
}

#[cfg(test)]
mod tests;
