//! What an operator writes in `round.toml`, read and checked whole before anybody is called.
//!
//! Every field is known or refused; every value is within its bounds; every error names the line and the field, with
//! what was expected. Fields that may be left out have a default, documented beside the type that they fill.

mod parts;
mod read;
mod section;

use crate::early_stop::EarlyStopSettings;
use crate::experts::ExpertPlan;
use crate::layout::TensorChoice;
use crate::robust::RobustSettings;
use crate::selection::Selection;
use crate::signed_settings::SignedSettings;
use crate::strategy::StrategySettings;
use crate::update::{EncodingMode, EncodingPlan, NoiseBy, PrivateSettings};
use neuro_primitives::Hash;
use neuro_privacy::adaptive_clip::ClipRule;
use neuro_secagg::config::Deadlines;
use neuro_secagg::masks::Generator;
use neuro_secagg::quantise::Grid;

/// A file that is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {field} {expected}, got {got}")]
pub struct PlanError {
    /// The line, from 1.
    pub line: usize,
    /// The field with the names of its sections: `strategy.rate`.
    pub field: String,
    /// What it has to be.
    pub expected: String,
    /// What it is.
    pub got: String,
}

/// Everything that a task's rounds are run by.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundPlan {
    /// `task`: its name, 1 to 64 printable ASCII characters.
    pub task: String,
    /// `model.weights`: the safetensors file to begin with, relative to the plan.
    pub weights: String,
    /// `model.tensors`: what is trained; all of it by default.
    pub tensors: TensorChoice,
    /// `rounds.count`: how many sums are applied before the task ends.
    pub rounds: u32,
    /// `rounds.failures`: how many rounds in a row may fail; 3.
    pub failures: u32,
    /// `[cohort]`.
    pub cohort: CohortPlan,
    /// `[strategy]`.
    pub strategy: StrategySettings,
    /// `[update]`.
    pub update: UpdatePlan,
    /// `[privacy]`; without it nothing is promised about single participants but what the sum itself hides.
    pub privacy: Option<PrivacyPlan>,
    /// `[selection]`; every batch by default.
    pub selection: Selection,
    /// `[robust]`.
    pub robust: Option<RobustPlan>,
    /// `[[experts]]`: one cohort each.
    pub experts: Vec<ExpertPlan>,
    /// `[router]`: the rounds that come after the experts'.
    pub router: Option<RouterPlan>,
    /// `[evaluation]`.
    pub evaluation: Option<EvaluationPlan>,
    /// `[early_stop]`.
    pub early_stop: Option<EarlyStopSettings>,
    /// `[training]`: handed to the trainers as it is, numbers, texts and flags alone.
    pub training: serde_json::Map<String, serde_json::Value>,
}

/// Who makes up a cohort and how it is protected (section 4 of the specification, fields 14 to 19).
#[derive(Debug, Clone, PartialEq)]
pub struct CohortPlan {
    /// `least`: 8.
    pub least: u16,
    /// `most`: 512, at most 4,096.
    pub most: u16,
    /// `corrupt`: γ, from 0 to 1; 0.1. Kept in 1/10,000.
    pub corrupt_bps: u16,
    /// `dropout`: δ, likewise.
    pub dropout_bps: u16,
    /// `security_bits`: σ, 40.
    pub security_bits: u8,
    /// `correctness_bits`: η, 20.
    pub correctness_bits: u8,
    /// `masks`: `"aes-128-ctr"` (the default) or `"chacha20"`.
    pub generator: Generator,
    /// `feldman`: whether dealers publish commitments; no.
    pub feldman: bool,
    /// `[cohort.deadlines]`, each in ms.
    pub deadlines: Deadlines,
}

/// How values become integers in plain mode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdatePlan {
    /// `value_bits`: b, 2 to 32; 16.
    pub value_bits: u8,
    /// `range`: the greatest size of a value; larger ones are clamped. 1.0.
    pub range: f64,
    /// `weight_cap`: W, 1 to 2^20; 1,000, and 1 in private mode and with SCAFFOLD.
    pub weight_cap: u32,
}

impl UpdatePlan {
    /// Units per 1.0.
    #[must_use]
    pub fn scale(&self) -> f64 {
        ((1_i64 << (self.value_bits - 1)) - 1) as f64 / self.range
    }
}

/// Clip, noise and budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrivacyPlan {
    /// `mode`: `"distributed"`, or `"central"`, in which the aggregator is trusted.
    pub noise: NoiseBy,
    /// `clip`: c.
    pub clip: f64,
    /// `scale`: s, units per 1.0.
    pub scale: f64,
    /// `noise_multiplier`: z; the noise in the sum has variance (z·s·c)².
    pub noise_multiplier: f64,
    /// `delta`: δ, at which ε is told.
    pub delta: f64,
    /// `most_epsilon`: the task ends before it would spend more; no bound by default.
    pub most_epsilon: Option<f64>,
    /// `[privacy.adaptive]`: quantile, rate, bit_noise (the standard deviation of the noise on the count).
    pub adaptive: Option<(ClipRule, f64)>,
}

/// Shards and the rule over their means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RobustPlan {
    /// `rule`: `"median"`, `"trimmed_mean"` (with `share`) or `"filter_l2"` (with `spectral_bound`).
    pub rule: RobustSettings,
    /// `shards`: at least 16.
    pub shards: u16,
    /// `norm_bound`: L2.
    pub norm_bound: f64,
}

/// The rounds over all batches that come after the experts'.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterPlan {
    /// `tensors`.
    pub tensors: TensorChoice,
    /// `rounds`: 1.
    pub rounds: u32,
}

/// When participants measure the model instead of training it.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationPlan {
    /// `every`: after so many rounds.
    pub every: u32,
    /// `metrics`: their names, ascending; `loss` by default.
    pub metrics: Vec<String>,
}

impl RoundPlan {
    /// Reads and checks a plan.
    ///
    /// # Errors
    /// The first line that is wrong: bad TOML, an unknown field, a missing one, a value out of its bounds, or settings
    /// that contradict each other.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        read::plan(text)
    }

    /// What a round that trains tells every trainer; `control` names SCAFFOLD's c.
    #[must_use]
    pub fn settings(&self, control: Option<Hash>) -> SignedSettings {
        SignedSettings { strategy: self.strategy, control, training: self.training.clone(), metrics: Vec::new() }
    }

    /// What an evaluation tells them: its metrics, and plain averaging of what they measure.
    #[must_use]
    pub fn evaluation_settings(&self) -> SignedSettings {
        let metrics = self.evaluation.as_ref().map(|evaluation| evaluation.metrics.clone()).unwrap_or_default();
        let strategy = StrategySettings::FedAvg { rate: 1.0 };
        SignedSettings { strategy, control: None, training: self.training.clone(), metrics }
    }

    /// How vectors for `entries` model values are made. `clip` takes the place of the plan's where it adapts.
    ///
    /// # Errors
    /// Numbers that no plan has; not for plans that were parsed.
    pub fn encoding(
        &self,
        entries: usize,
        clip: f64,
        round_id: &[u8; 32],
    ) -> Result<EncodingPlan, crate::error::EncodeError> {
        let mode = match &self.privacy {
            None => {
                let grid = Grid::new(self.update.value_bits, self.update.scale());
                let grid = grid.map_err(|error| crate::error::EncodeError::Private { why: error.to_string() })?;
                EncodingMode::Plain { grid, weight_cap: self.update.weight_cap }
            }
            Some(privacy) => EncodingMode::Private(privacy.settings(clip, round_id)),
        };
        let plan = EncodingPlan { entries, parts: self.strategy.parts(), mode };
        plan.check()?;
        Ok(plan)
    }
}

impl PrivacyPlan {
    /// The settings of one cohort, with the clipping norm as it is now.
    #[must_use]
    pub fn settings(&self, clip: f64, round_id: &[u8; 32]) -> PrivateSettings {
        PrivateSettings {
            noise: self.noise,
            clip,
            scale: self.scale,
            variance: (self.noise_multiplier * self.scale * clip).powi(2),
            bit_variance: self.adaptive.map(|(_, deviation)| deviation * deviation),
            delta: self.delta,
            rotation: PrivateSettings::rotation_seed(round_id),
        }
    }
}

#[cfg(test)]
mod tests;
