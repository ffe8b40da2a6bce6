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
    Failure::message(Outcome::Usage, "this program was built without its trainer (the cargo feature `training`)").hint(
        "name a trainer of your own with --trainer CMD, or build the program with the feature, which is on by default: cargo \
         install --path cli",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_for_it_says_what_is_missing_and_how_to_get_it() {
        let path = Path::new("model");
        for failure in [
            check(path, path, None).unwrap_err(),
            take_part(path, path, path, None).unwrap_err(),
            adapters(path, &[], 8, 1).unwrap_err(),
            apply(path, path, None, path).unwrap_err(),
        ] {
            assert_eq!(failure.outcome, Outcome::Usage);
            assert!(failure.text().contains("without its trainer (the cargo feature `training`)"), "{failure}");
            let hint = failure.hint.unwrap();
            assert!(hint.contains("--trainer CMD") && hint.contains("cargo install --path cli"), "{hint}");
        }
    }
}
