//! The one line in which a trainer says how it went.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::TrainerError;

/// Characters of a wrong line that an error shows.
const SHOWN: usize = 120;

/// What a trainer answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TrainerLine {
    /// How much its update counts: mostly the number of examples. From 1 up to the configuration's cap.
    pub weight: u32,
    /// The loss after training; may be missing.
    #[serde(default)]
    pub loss: Option<f64>,
    /// Whatever else it measured. Stays on this machine.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
}

/// Reads the last line.
///
/// # Errors
/// [`TrainerError::Line`] when it is no such object or its weight is 0.
pub fn parse(line: &str) -> Result<TrainerLine, TrainerError> {
    let wrong = |reason: String| TrainerError::Line { got: line.chars().take(SHOWN).collect(), reason };
    let read: TrainerLine = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
    match read.weight {
        0 => Err(wrong("the weight is 0".into())),
        _ => Ok(read),
    }
}
