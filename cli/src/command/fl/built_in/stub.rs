//! In the place of the trainer, where the program was built without the feature `training`.

use std::path::Path;

use neuro_fl_aggregator::layout::Pattern;

use crate::exit_code::Outcome;
use crate::failure::Failure;

/// Always refuses.
///
/// # Errors
/// Always.
pub fn check(_model: &Path, _examples: &Path, _held_out: Option<&Path>) -> Result<(), Failure> {
    Err(missing())
}

/// Always refuses.
///
/// # Errors
/// Always.
pub fn take_part(_: &Path, _model: &Path, _examples: &Path, _held_out: Option<&Path>) -> Result<String, Failure> {
    Err(missing())
}

/// Always refuses.
///
/// # Errors
/// Always.
pub fn adapters(_model: &Path, _: &[Pattern], _rank: usize, _seed: u64) -> Result<(usize, Vec<u8>), Failure> {
    Err(missing())
}

/// Always refuses.
///
/// # Errors
/// Always.
pub fn apply(_model: &Path, _round: &Path, _alpha: Option<f32>, _out: &Path) -> Result<usize, Failure> {
    Err(missing())
}

fn missing() -> Failure {
    Failure::message(Outcome::Usage, "this program was built without its trainer (the cargo feature `training`)")
        .hint("name a trainer of your own with --trainer CMD")
}
