//! Functions of whole rows.

use neuro_model::HiddenActivation;

use super::InstructionSet;
use crate::activation;

/// Replaces every gate value by the activation of it and `up`. Both `[values]`, f32.
pub fn gate_into(_set: InstructionSet, activation: HiddenActivation, gate: &mut [f32], up: &[f32]) {
    activation::gate_into(activation, gate, up);
}
