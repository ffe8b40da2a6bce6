//! The trainer of mixture-of-experts models, by the crate `training`.

use std::path::Path;

use neuro_training::contract::{LocalData, take_part as train};

use crate::exit_code::Outcome;
use crate::failure::Failure;

/// Looks at the model and the examples.
///
/// # Errors
/// When no round could be trained with them.
pub fn check(model: &Path, examples: &Path, held_out: Option<&Path>) -> Result<(), Failure> {
    let found = data(model, examples, held_out).check();
    found.map(drop).map_err(|error| Failure::new(Outcome::Usage, error))
}

/// One round in `folder`. The last line for standard output.
///
/// # Errors
/// When it cannot be trained or measured.
pub fn take_part(folder: &Path, model: &Path, examples: &Path, held_out: Option<&Path>) -> Result<String, Failure> {
    Ok(serde_json::to_string(&train(folder, &data(model, examples, held_out))?)?)
}

fn data(model: &Path, examples: &Path, held_out: Option<&Path>) -> LocalData {
    LocalData { model: model.into(), examples: examples.into(), held_out: held_out.map(Into::into) }
}
