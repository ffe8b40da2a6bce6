//! What passes between a participant and whatever trains for it: file names, `task.json`, the last line on stdout.
//!
//! A trainer is a local command of the participant's own choice; nothing here comes from the server but numbers. It is
//! started in a folder of its own that holds [`TASK_FILE`], [`GLOBAL_FILE`] and, with SCAFFOLD, [`CONTROL_FILE`] and
//! what it left in [`STATE_FOLDER`] the last time. It writes [`UPDATE_FILE`] (Δ = after − before, f32, the same names
//! and shapes), with SCAFFOLD [`CONTROL_UPDATE_FILE`] (cᵢ⁺ − cᵢ), and as its last line on stdout
//! `{"weight": 128, "loss": 0.41, "metrics": {…}}`. In an evaluation round it writes no files. Whatever is wrong with
//! any of it, the participant drops out with that reason before it masks anything.

use crate::layout::{Flat, Layout, LayoutError};
use crate::strategy::{LocalRule, Parts};
use neuro_primitives::Hash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The round, as [`TaskFile`].
pub const TASK_FILE: &str = "task.json";
/// The global weights of the layout.
pub const GLOBAL_FILE: &str = "global.safetensors";
/// SCAFFOLD: the server's control variate c, of the same layout.
pub const CONTROL_FILE: &str = "control.safetensors";
/// What the trainer learned.
pub const UPDATE_FILE: &str = "update.safetensors";
/// SCAFFOLD: cᵢ⁺ − cᵢ.
pub const CONTROL_UPDATE_FILE: &str = "control_update.safetensors";
/// Kept for the trainer between rounds: its own cᵢ, its personal model.
pub const STATE_FOLDER: &str = "state";
/// The longest last line: metrics have names.
pub const MOST_LINE_BYTES: usize = 64 * 1024;
/// The most metrics in it, and the longest name of one.
pub const MOST_METRICS: usize = 64;
/// Format of `task.json`.
pub const CONTRACT_VERSION: u32 = 1;

/// `task.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskFile {
    /// [`CONTRACT_VERSION`].
    pub contract: u32,
    /// The task's name.
    pub task: String,
    /// The round's number.
    pub round: u64,
    /// The model that the update is a difference to, 64 hexadecimal digits.
    pub model: String,
    /// `"train"` or `"evaluate"`.
    pub action: Action,
    /// The tensors in the files.
    pub tensors: Vec<TensorEntry>,
    /// The strategy's wishes.
    pub rule: RuleEntry,
    /// Different for every participant and round; the same when a round is trained again after a crash.
    pub seed: u64,
    /// Seconds until the command is stopped.
    pub deadline_s: u64,
    /// The greatest weight that counts.
    pub weight_cap: u32,
    /// `[training]` of the plan.
    pub training: serde_json::Map<String, serde_json::Value>,
    /// In an evaluation: what to measure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<String>,
}

/// What the command is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Train and write the update.
    Train,
    /// Measure alone.
    Evaluate,
}

/// A tensor of the layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorEntry {
    /// Its name in the files.
    pub name: String,
    /// The slowest dimension first.
    pub shape: Vec<usize>,
}

/// The strategy's wishes as numbers; the control variate is a file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RuleEntry {
    /// Plain steps.
    Plain,
    /// The loss gains (μ/2)‖y − x‖².
    Proximal {
        /// μ.
        mu: f32,
    },
    /// Steps along g − cᵢ + c.
    Scaffold,
    /// Besides, a personal model held by λ.
    Personal {
        /// λ.
        lambda: f32,
    },
}

impl From<&LocalRule> for RuleEntry {
    fn from(rule: &LocalRule) -> Self {
        match *rule {
            LocalRule::Plain => Self::Plain,
            LocalRule::Proximal { mu } => Self::Proximal { mu },
            LocalRule::Scaffold { .. } => Self::Scaffold,
            LocalRule::Personal { lambda } => Self::Personal { lambda },
        }
    }
}

/// The layout as `task.json` lists it.
#[must_use]
pub fn tensor_entries(layout: &Layout) -> Vec<TensorEntry> {
    layout.slots().iter().map(|slot| TensorEntry { name: slot.name(), shape: slot.shape.clone() }).collect()
}

/// The last line of a trainer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultLine {
    /// How many examples it has seen; counts in the mean, at most the cap.
    pub weight: u32,
    /// Its own training loss, for the participant's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// The model that it trained, if it says so: it must be the round's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Anything else that it measured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}

/// Why a trainer's work is not used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ContractError {
    /// Nothing on stdout.
    #[error("expected a JSON line on stdout, got nothing")]
    NoLine,
    /// A line that is too long.
    #[error("expected a last line of at most {MOST_LINE_BYTES} bytes, got {got}")]
    LongLine {
        /// Its length.
        got: usize,
    },
    /// A line that is not the one of the contract.
    #[error("expected {{\"weight\": …}} as the last line on stdout: {why}")]
    Line {
        /// What the reader says.
        why: String,
    },
    /// A weight of 0.
    #[error("expected a weight of at least 1, got 0")]
    Weight,
    /// NaN and infinity cannot be written in JSON, but huge numbers can.
    #[error("expected a finite {name}, got {got}")]
    NotFinite {
        /// Which number.
        name: String,
        /// Its value.
        got: f64,
    },
    /// Too many metrics, or a name that is too long.
    #[error("expected at most {MOST_METRICS} metrics with names of as many bytes, got {got}")]
    Metrics {
        /// How many, or how long.
        got: usize,
    },
    /// It trained another model than the round's.
    #[error("expected an update of model {expected}, got one of {got:?}")]
    Model {
        /// The round's.
        expected: Hash,
        /// What the trainer says.
        got: String,
    },
    /// A file of vectors that does not fit.
    #[error("{file}: {why}")]
    File {
        /// Which file.
        file: &'static str,
        /// What is wrong with it.
        why: LayoutError,
    },
    /// A file that is not there.
    #[error("expected {file} from the trainer, got none")]
    NoFile {
        /// Which file.
        file: &'static str,
    },
}

/// Reads the last line that is not blank. A weight above `weight_cap` is lowered to it.
///
/// # Errors
/// No line, a line that is none of the contract's, a weight of 0, numbers that are not finite, another model.
pub fn read_result(stdout: &str, model: &Hash, weight_cap: u32) -> Result<ResultLine, ContractError> {
    let line = stdout.lines().rev().find(|line| !line.trim().is_empty()).ok_or(ContractError::NoLine)?.trim();
    if line.len() > MOST_LINE_BYTES {
        return Err(ContractError::LongLine { got: line.len() });
    }
    if !line.starts_with('{') {
        return Err(ContractError::Line { why: format!("got {:?}", line.chars().take(80).collect::<String>()) });
    }
    let mut result: ResultLine =
        serde_json::from_str(line).map_err(|error| ContractError::Line { why: error.to_string() })?;
    if result.weight == 0 {
        return Err(ContractError::Weight);
    }
    check_numbers(&result)?;
    if let Some(got) = result.model.as_ref().filter(|got| got.parse::<Hash>().ok() != Some(*model)) {
        return Err(ContractError::Model { expected: *model, got: got.clone() });
    }
    result.weight = result.weight.min(weight_cap);
    Ok(result)
}

fn check_numbers(result: &ResultLine) -> Result<(), ContractError> {
    let longest = result.metrics.keys().map(String::len).max().unwrap_or(0);
    if result.metrics.len() > MOST_METRICS || longest > MOST_METRICS {
        return Err(ContractError::Metrics { got: result.metrics.len().max(longest) });
    }
    let loss = result.loss.iter().map(|loss| ("loss", *loss));
    let metrics = result.metrics.iter().map(|(name, value)| (name.as_str(), *value));
    match loss.chain(metrics).find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((name, got)) => Err(ContractError::NotFinite { name: name.to_owned(), got }),
    }
}

/// Reads what a trainer wrote: the update and, where the strategy has one, the change of the control variate.
///
/// # Errors
/// A missing file, and everything that [`Layout::read`] refuses.
pub fn read_update(
    layout: &Layout,
    parts: Parts,
    update: Option<&[u8]>,
    control: Option<&[u8]>,
) -> Result<(Flat, Option<Flat>), ContractError> {
    let read = |file: &'static str, bytes: Option<&[u8]>| {
        let bytes = bytes.ok_or(ContractError::NoFile { file })?;
        layout.read(bytes).map_err(|why| ContractError::File { file, why })
    };
    let update = read(UPDATE_FILE, update)?;
    let control = match parts {
        Parts::Model => None,
        Parts::ModelAndControl { .. } => Some(read(CONTROL_UPDATE_FILE, control)?),
    };
    Ok((update, control))
}

#[cfg(test)]
mod tests;
