//! From the rows of a call to what travels. Every worker would refuse what is refused here, and end its stream for it.

use neuro_expert_runtime::activations::{self, ActivationError};
use neuro_inference::ExpertsError;
use neuro_primitives::{ActivationFormat, Activations, Routes, Rows};

/// `hidden` (`[rows, d_model]`, f32) in the format that `formats` has for `layer`.
///
/// # Errors
/// Not to be retried: when a hidden state or a gate is not finite, the rows are no whole number of blocks, or the model
/// has no such layer.
pub(super) fn encode(
    formats: &[ActivationFormat],
    layer: u16,
    hidden: &Rows,
    routes: &Routes,
) -> Result<Activations, ExpertsError> {
    let refused =
        |reason: String| ExpertsError { message: format!("layer {layer}: {reason}"), retryable: false, expert: None };
    let format = formats.get(usize::from(layer)).copied();
    let format = format.ok_or_else(|| refused(format!("the model has {} layers", formats.len())))?;
    if let Some(route) = routes.entries().iter().find(|route| !route.gate.is_finite()) {
        return Err(refused(format!("the gate of expert {} is {}", route.expert, route.gate)));
    }
    check_finite(hidden).and_then(|()| activations::encode(hidden, format)).map_err(|error| refused(error.to_string()))
}

fn check_finite(hidden: &Rows) -> Result<(), ActivationError> {
    let Some(place) = hidden.values().iter().position(|value| !value.is_finite()) else { return Ok(()) };
    let width = hidden.width();
    Err(ActivationError::NotFinite { row: place / width, column: place % width, value: hidden.values()[place] })
}
