//! `floors.toml`: the participant's own bounds, which no server can lower.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use neuro_secagg::floors::Floors;
use serde::Deserialize;

/// The floors cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct FloorsError {
    /// The file.
    path: PathBuf,
    /// What is wrong.
    reason: String,
}

/// What may stand in the file. Parts are numbers from 0 to 1; what is not there has the specification's default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FloorsToml {
    least_members: Option<u16>,
    least_turnout: Option<f64>,
    least_corrupt: Option<f64>,
    least_alpha: Option<f64>,
    least_security_bits: Option<u8>,
    most_rounds_a_day: Option<u32>,
    most_upload_bytes: Option<u64>,
    private_mode: Option<bool>,
    most_epsilon: Option<f64>,
    most_delta: Option<f64>,
    strategies: Option<BTreeSet<String>>,
    trainers: Option<BTreeSet<String>>,
}

/// The floors in `path`, or in `floors.toml` of the task's folder, or the defaults where there is none.
///
/// # Errors
/// When a file that was named is not there, or one cannot be read: then nothing is joined.
pub fn read(path: Option<&Path>, task_folder: &Path) -> Result<Floors, FloorsError> {
    let own = task_folder.join("floors.toml");
    let file = path.unwrap_or(&own);
    let wrong = |reason: String| FloorsError { path: file.to_owned(), reason };
    let text = match fs::read_to_string(file) {
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|error| wrong(error.to_string()))?,
    };
    let toml: FloorsToml = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    floors(toml).map_err(wrong)
}

fn floors(toml: FloorsToml) -> Result<Floors, String> {
    let usual = Floors::default();
    Ok(Floors {
        least_members: toml.least_members.unwrap_or(usual.least_members),
        least_turnout_bps: part("least_turnout", toml.least_turnout)?.unwrap_or(usual.least_turnout_bps),
        least_corrupt_bps: part("least_corrupt", toml.least_corrupt)?.unwrap_or(usual.least_corrupt_bps),
        least_alpha_bps: part("least_alpha", toml.least_alpha)?.unwrap_or(usual.least_alpha_bps),
        least_security_bits: toml.least_security_bits.unwrap_or(usual.least_security_bits),
        most_rounds_a_day: toml.most_rounds_a_day.unwrap_or(usual.most_rounds_a_day),
        most_upload_bytes: toml.most_upload_bytes.unwrap_or(usual.most_upload_bytes),
        private_mode: toml.private_mode.unwrap_or(usual.private_mode),
        most_epsilon: toml.most_epsilon.unwrap_or(usual.most_epsilon),
        most_delta: toml.most_delta.unwrap_or(usual.most_delta),
        strategies: toml.strategies.or(usual.strategies),
        trainers: toml.trainers.or(usual.trainers),
    })
}

/// A part of the whole in 1/10,000.
fn part(field: &str, part: Option<f64>) -> Result<Option<u16>, String> {
    match part {
        Some(part) if !(0.0..=1.0).contains(&part) => Err(format!("expected {field} from 0 to 1, got {part}")),
        // From 0 to 10,000.
        part => Ok(part.map(|part| (part * 10_000.0).ceil() as u16)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_its_default_and_what_is_wrong_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(None, folder.path()).unwrap(), Floors::default());
        let path = folder.path().join("floors.toml");
        fs::write(&path, "least_members = 20\nleast_corrupt = 0.2\nstrategies = [\"fed_avg\"]").unwrap();
        let floors = read(None, folder.path()).unwrap();
        assert_eq!((floors.least_members, floors.least_corrupt_bps, floors.least_security_bits), (20, 2_000, 40));
        for wrong in ["least_member = 3", "least_alpha = 1.5", "least_members = \"many\""] {
            fs::write(&path, wrong).unwrap();
            assert!(read(None, folder.path()).is_err(), "{wrong}");
        }
        assert!(read(Some(&folder.path().join("missing.toml")), folder.path()).is_err());
    }
}
