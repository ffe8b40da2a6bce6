//! `round.toml`: what a task is about, as its owner wrote it.
//!
//! ```toml
//! task = "digits"
//! listen = "127.0.0.1:11714"
//! model = "global.safetensors"
//! rounds = 10
//! start_at = 8            # members that attend; without it, rounds begin by `neuro fl round start`
//!
//! [strategy]
//! name = "fed_avg"
//! rate = 1.0
//!
//! [update]
//! value_bits = 16
//! scale = 4096.0
//! weight_cap = 1000
//!
//! [cohort]
//! least = 8
//! most = 100
//! corrupt = 0.1
//! dropout = 0.1
//!
//! [deadlines]             # seconds
//! upload = 600
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use neuro_fl_aggregator::{StrategySettings, TensorChoice};
use neuro_secagg::config::Deadlines;
use neuro_secagg::masks::Generator;
use serde::Deserialize;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path}: {reason}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The plan of a task.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskPlan {
    /// The task's name: printable ASCII without blanks, at most 64 bytes.
    pub task: String,
    /// `host:port` to listen on.
    #[serde(default = "default_listen")]
    pub listen: String,
    /// `host:port` that participants reach it by; without it, where it listens.
    #[serde(default)]
    pub public: Vec<String>,
    /// The first global weights; relative to the file.
    pub model: PathBuf,
    /// Which tensors are trained, by pattern; all without it.
    #[serde(default)]
    pub train: Vec<String>,
    /// How many rounds with a result are run.
    #[serde(default = "default_rounds")]
    pub rounds: u64,
    /// A round begins by itself when so many members attend; without it, by command alone.
    #[serde(default)]
    pub start_at: Option<usize>,
    /// Batches that new members are spread over.
    #[serde(default = "one")]
    pub batches: u16,
    /// How updates are applied.
    #[serde(default)]
    pub strategy: StrategyPlan,
    /// How updates become integers.
    #[serde(default)]
    pub update: UpdatePlan,
    /// Who makes up a cohort.
    #[serde(default)]
    pub cohort: CohortPlan,
    /// How long phases last.
    #[serde(default)]
    pub deadlines: DeadlinePlan,
}

/// How updates are applied.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StrategyPlan {
    /// `fed_avg` or `fed_prox`.
    pub name: String,
    /// η: how far the model follows the mean update.
    pub rate: f64,
    /// μ of `fed_prox`.
    pub mu: f64,
}

/// How updates become integers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdatePlan {
    /// Bits of a value, 2 to 32.
    pub value_bits: u8,
    /// Units per 1.0.
    pub scale: f64,
    /// The greatest weight of one participant.
    pub weight_cap: u32,
    /// `aes` or `chacha`.
    pub masks: String,
}

/// Who makes up a cohort.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CohortPlan {
    /// The smallest cohort.
    pub least: u16,
    /// The largest.
    pub most: u16,
    /// γ: the part of the rostered members that may be corrupt.
    pub corrupt: f64,
    /// δ: the part of the cohort that may drop out.
    pub dropout: f64,
    /// σ, in bits.
    pub security_bits: u8,
    /// η, in bits.
    pub correctness_bits: u8,
    /// Whether dealers publish commitments.
    pub feldman: bool,
}

/// How long phases last, in seconds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the phases of the specification")]
pub struct DeadlinePlan {
    pub join: f64,
    pub reveal: f64,
    pub shares: f64,
    pub received: f64,
    pub upload: f64,
    pub vote: f64,
    pub answer: f64,
}

impl TaskPlan {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// When it cannot be read, or a field is missing, unknown or out of its range.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let text = fs::read_to_string(path).map_err(|source| PlanError::Io { path: path.to_owned(), source })?;
        let wrong = |reason: String| PlanError::Wrong { path: path.to_owned(), reason };
        let mut plan: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if let Some(folder) = path.parent() {
            plan.model = folder.join(&plan.model);
        }
        plan.check().map_err(wrong)?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), String> {
        self.strategy_settings()?;
        self.generator()?;
        self.choice()?;
        for (field, part) in [("corrupt", self.cohort.corrupt), ("dropout", self.cohort.dropout)] {
            if !(0.0..1.0).contains(&part) {
                return Err(format!("expected {field} from 0 up to below 1, got {part}"));
            }
        }
        Ok(())
    }

    /// The strategy's settings.
    ///
    /// # Errors
    /// For a strategy that rounds do not run.
    pub fn strategy_settings(&self) -> Result<StrategySettings, String> {
        let StrategyPlan { name, rate, mu } = &self.strategy;
        match name.as_str() {
            "fed_avg" => Ok(StrategySettings::FedAvg { rate: *rate }),
            "fed_prox" => Ok(StrategySettings::FedProx { rate: *rate, mu: *mu }),
            got => Err(format!("expected the strategy fed_avg or fed_prox, got {got:?}")),
        }
    }

    /// What masks are made of.
    ///
    /// # Errors
    /// For another word than `aes` or `chacha`.
    pub fn generator(&self) -> Result<Generator, String> {
        match self.update.masks.as_str() {
            "aes" => Ok(Generator::Aes128Ctr),
            "chacha" => Ok(Generator::ChaCha20),
            got => Err(format!("expected masks of aes or chacha, got {got:?}")),
        }
    }

    /// Which tensors are trained.
    ///
    /// # Errors
    /// For a pattern that is none.
    pub fn choice(&self) -> Result<TensorChoice, String> {
        if self.train.is_empty() {
            return Ok(TensorChoice::All);
        }
        TensorChoice::parse(self.train.iter().map(String::as_str)).map_err(|error| error.to_string())
    }

    /// The phases' spans.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        let ms = |seconds: f64| (seconds * 1000.0).clamp(1.0, f64::from(u32::MAX)) as u32;
        let plan = &self.deadlines;
        Deadlines {
            join_ms: ms(plan.join),
            reveal_ms: ms(plan.reveal),
            shares_ms: ms(plan.shares),
            received_ms: ms(plan.received),
            upload_ms: ms(plan.upload),
            vote_ms: ms(plan.vote),
            answer_ms: ms(plan.answer),
        }
    }
}

/// A part of the whole in 1/10,000.
pub(super) fn basis_points(part: f64) -> u16 {
    (part * 10_000.0).round().clamp(0.0, 10_000.0) as u16
}

impl Default for StrategyPlan {
    fn default() -> Self {
        Self { name: "fed_avg".into(), rate: 1.0, mu: 0.0 }
    }
}

impl Default for UpdatePlan {
    fn default() -> Self {
        Self { value_bits: 16, scale: 4096.0, weight_cap: 1000, masks: "aes".into() }
    }
}

impl Default for CohortPlan {
    fn default() -> Self {
        Self {
            least: 8,
            most: 1000,
            corrupt: 0.1,
            dropout: 0.1,
            security_bits: 40,
            correctness_bits: 20,
            feldman: false,
        }
    }
}

impl Default for DeadlinePlan {
    fn default() -> Self {
        Self { join: 60.0, reveal: 30.0, shares: 60.0, received: 30.0, upload: 3600.0, vote: 60.0, answer: 60.0 }
    }
}

fn default_listen() -> String {
    "127.0.0.1:11714".into()
}

const fn default_rounds() -> u64 {
    1
}

const fn one() -> u16 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TaskPlan, PlanError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("round.toml");
        fs::write(&path, text).unwrap();
        TaskPlan::read(&path)
    }

    #[test]
    fn what_is_not_said_has_the_specifications_defaults() {
        let plan = read("task = \"digits\"\nmodel = \"global.safetensors\"").unwrap();
        assert_eq!((plan.cohort.least, plan.cohort.security_bits, plan.rounds), (8, 40, 1));
        assert_eq!(plan.strategy_settings(), Ok(StrategySettings::FedAvg { rate: 1.0 }));
        assert!(plan.model.is_absolute(), "beside the file");
        assert_eq!(plan.deadlines().join_ms, 60_000);
        assert_eq!((basis_points(plan.cohort.corrupt), basis_points(0.3333)), (1_000, 3_333));
    }

    #[test]
    fn a_wrong_word_is_named() {
        for (text, word) in [
            ("task = \"x\"\nmodel = \"m\"\nroundz = 3", "roundz"),
            ("task = \"x\"", "model"),
            ("task = \"x\"\nmodel = \"m\"\n[strategy]\nname = \"magic\"", "magic"),
            ("task = \"x\"\nmodel = \"m\"\n[cohort]\ndropout = 1.0", "dropout"),
            ("task = \"x\"\nmodel = \"m\"\n[update]\nmasks = \"des\"", "des"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
