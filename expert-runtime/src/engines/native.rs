//! The native engine: computes with weights as the checkpoint stores them.
//!
//! Weights stay in their type, repacked into panels of 16 rows: once, or at each use where they are to stay where they lie. Quantised ones are multiplied with activations in
//! blocks of int8, in integers; float ones with floats. Every output follows one order of operations
//! (`docs/spec/native-engine.md`), so all machines of this class agree on every bit.

use neuro_model::HiddenActivation;
use neuro_primitives::{ActivationFormat, Activations, Rows};

use crate::engine::{
    Engine, EngineError, EngineId, Expert, ExpertBiases, ExpertWeights, Linear, NATIVE_SPEC, Weight, check_width,
};
use crate::kernels::InstructionSet;
use crate::kernels::layer::{Gated, product};
use crate::kernels::operand::Operand;
use crate::kernels::panels::{self, Panels};

/// Computes on the processor with the instruction set it was made for.
#[derive(Debug, Clone, Copy)]
pub struct NativeEngine {
    set: InstructionSet,
}

impl NativeEngine {
    /// An engine that uses the best instruction set of this machine, or the one that the user named.
    #[must_use]
    pub fn new() -> Self {
        Self::with(InstructionSet::current())
    }

    /// An engine that uses `set`; plain Rust when the machine lacks it.
    #[must_use]
    pub fn with(set: InstructionSet) -> Self {
        Self { set: if set.is_available() { set } else { InstructionSet::Scalar } }
    }
}

impl Default for NativeEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine for NativeEngine {
    fn id(&self) -> EngineId {
        EngineId { class: "native", spec: NATIVE_SPEC }
    }

    fn linear(&self, weight: &Weight<'_>) -> Result<Box<dyn Linear>, EngineError> {
        Ok(Box::new(NativeLinear { set: self.set, panels: Panels::new(weight)? }))
    }

    fn expert(&self, weights: &ExpertWeights<'_>) -> Result<Box<dyn Expert>, EngineError> {
        weights.check()?;
        let panels = Panels::together([&weights.gate, &weights.up, &weights.down])?;
        Ok(Box::new(NativeExpert::new(self.set, weights, panels)))
    }

    fn check(&self, weights: &ExpertWeights<'_>) -> Result<(), EngineError> {
        weights.check()?;
        [&weights.gate, &weights.up, &weights.down].into_iter().try_for_each(panels::check)
    }

    fn expert_in_place<'a>(&self, weights: &'a ExpertWeights<'_>) -> Result<Box<dyn Expert + 'a>, EngineError> {
        weights.check()?;
        let [gate, up, down] = [&weights.gate, &weights.up, &weights.down].map(Panels::stored);
        Ok(Box::new(NativeExpert::new(self.set, weights, [gate?, up?, down?])))
    }
}

struct NativeLinear {
    set: InstructionSet,
    panels: Panels<'static>,
}

impl Linear for NativeLinear {
    fn apply(&self, input: &Rows) -> Result<Rows, EngineError> {
        check_width(input.width(), self.panels.columns())?;
        Ok(product(self.set, &self.panels, &operand(self.set, &self.panels, input)?, None))
    }

    fn resident_bytes(&self) -> u64 {
        self.panels.resident_bytes()
    }
}

/// `rows` in the form that `panels` take.
fn operand(set: InstructionSet, panels: &Panels<'_>, rows: &Rows) -> Result<Operand, EngineError> {
    if panels.tensor_type().is_float() {
        return Ok(Operand::from_floats(set, rows));
    }
    Ok(Operand::quantised(set, rows)?)
}

struct NativeExpert<'a> {
    set: InstructionSet,
    gate: Panels<'a>,
    up: Panels<'a>,
    down: Panels<'a>,
    biases: Option<ExpertBiases>,
    activation: HiddenActivation,
    input: ActivationFormat,
}

impl Expert for NativeExpert<'_> {
    fn forward(&self, hidden: &Activations) -> Result<Rows, EngineError> {
        check_width(hidden.width(), self.gate.columns())?;
        let first = match hidden {
            Activations::F32(rows) => operand(self.set, &self.gate, rows)?,
            Activations::Q8(rows) if self.input == ActivationFormat::Q8 => Operand::from_blocks(self.set, rows),
            Activations::Q8(_) => return Err(EngineError::Format { expected: self.input, got: hidden.format() }),
        };
        let second = match hidden {
            Activations::F32(rows) if self.gate.tensor_type().is_float() != self.up.tensor_type().is_float() => {
                Some(operand(self.set, &self.up, rows)?)
            }
            _ => None,
        };
        let gated = self.gated([&first, second.as_ref().unwrap_or(&first)]).run(!self.down.tensor_type().is_float())?;
        let bias = self.biases.as_ref().map(|biases| biases.down.as_slice());
        Ok(product(self.set, &self.down, &gated, bias))
    }

    fn resident_bytes(&self) -> u64 {
        let biases = self.biases.as_ref();
        let biases = biases.map_or(0, |biases| biases.gate.len() + biases.up.len() + biases.down.len());
        let panels: u64 = [&self.gate, &self.up, &self.down].map(Panels::resident_bytes).iter().sum();
        panels + (biases * size_of::<f32>()) as u64
    }
}

impl<'w> NativeExpert<'w> {
    fn new(set: InstructionSet, weights: &ExpertWeights<'_>, [gate, up, down]: [Panels<'w>; 3]) -> Self {
        let (biases, activation, input) = (weights.biases.clone(), weights.activation, weights.input_format());
        Self { set, gate, up, down, biases, activation, input }
    }

    fn gated<'a>(&'a self, operands: [&'a Operand; 2]) -> Gated<'a> {
        let biases = self.biases.as_ref().map(|biases| [biases.gate.as_slice(), biases.up.as_slice()]);
        let (set, gate, up, activation) = (self.set, &self.gate, &self.up, self.activation);
        Gated { set, gate, up, biases, activation, operands }
    }
}

#[cfg(test)]
mod tests;
