//! The trainer of mixture-of-experts models, by the crate `training`.

use std::path::Path;

use neuro_fl_aggregator::layout::Pattern;
use neuro_training::contract::{self, LocalData, take_part as train};

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

/// What a round of adapters begins with: how many projections have one, and the file.
///
/// # Errors
/// When the model has no such projection.
pub fn adapters(model: &Path, patterns: &[Pattern], rank: usize, seed: u64) -> Result<(usize, Vec<u8>), Failure> {
    let finds = |name: &str| patterns.iter().any(|pattern| pattern.finds(name));
    contract::adapters(model, finds, rank, seed).map_err(|error| Failure::new(Outcome::Usage, error))
}

/// Writes a checkpoint with a round's weights; how many values are the round's.
///
/// # Errors
/// When they do not belong together.
pub fn apply(model: &Path, round: &Path, alpha: Option<f32>, out: &Path) -> Result<usize, Failure> {
    contract::apply(model, round, alpha, out).map_err(|error| Failure::new(Outcome::Failed, error))
}

fn data(model: &Path, examples: &Path, held_out: Option<&Path>) -> LocalData {
    LocalData { model: model.into(), examples: examples.into(), held_out: held_out.map(Into::into) }
}
