//! `[training]` of the plan, as this trainer understands it.

use serde_json::{Map, Value};

use super::RoundFailure;
use crate::moe_trainer::TrainPlan;
use crate::network::Objective;
use crate::optimiser::Optimiser;

/// The names that are known.
pub(super) const KNOWN: [&str; 10] =
    ["epochs", "steps", "batch", "rate", "optimiser", "beta1", "beta2", "longest_gradient", "balance", "lora_alpha"];

/// How a round is trained.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    /// Passes over the examples, unless `steps` says otherwise.
    pub(super) epochs: u32,
    /// Steps, whatever the number of examples.
    pub(super) steps: Option<u32>,
    /// Examples of a step.
    pub(super) batch: usize,
    pub(super) optimiser: Optimiser,
    pub(super) longest_gradient: Option<f32>,
    /// What the loss that balances experts counts.
    pub(super) balance: f32,
    /// Adapters count `lora_alpha / rank` times; without it, once.
    pub(super) lora_alpha: Option<f32>,
}

impl Settings {
    /// Reads what the plan says; the rest has its defaults.
    pub(super) fn read(training: &Map<String, Value>) -> Result<Self, RoundFailure> {
        if let Some(name) = training.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(RoundFailure::UnknownSetting { name: name.clone() });
        }
        let number = |name| number(training, name);
        let rate = number("rate")?.unwrap_or(0.01);
        let optimiser = match training.get("optimiser").map(|value| value.as_str().unwrap_or_default()) {
            None | Some("sgd") => Optimiser::Sgd { rate },
            Some("adam") => {
                let (beta1, beta2) = (decay(training, "beta1", 0.9)?, decay(training, "beta2", 0.999)?);
                Optimiser::Adam { rate, beta1, beta2 }
            }
            Some(_) => {
                return Err(wrong("optimiser", "\"sgd\" or \"adam\"", &training["optimiser"]));
            }
        };
        Ok(Self {
            epochs: count(training, "epochs")?.unwrap_or(1),
            steps: count(training, "steps")?,
            batch: count(training, "batch")?.unwrap_or(8) as usize,
            optimiser,
            longest_gradient: number("longest_gradient")?,
            balance: number("balance")?.unwrap_or(0.0),
            lora_alpha: number("lora_alpha")?,
        })
    }

    /// The steps over `examples` examples.
    pub(super) fn plan(&self, examples: usize) -> TrainPlan {
        let per_epoch = u32::try_from(examples.div_ceil(self.batch)).unwrap_or(u32::MAX);
        TrainPlan {
            optimiser: self.optimiser,
            steps: self.steps.unwrap_or_else(|| self.epochs.saturating_mul(per_epoch)),
            rate_scale: 1.0,
            longest_gradient: self.longest_gradient,
            objective: Objective { balance: self.balance, ..Objective::default() },
        }
    }
}

/// A number above 0.
fn number(training: &Map<String, Value>, name: &'static str) -> Result<Option<f32>, RoundFailure> {
    let Some(value) = training.get(name) else { return Ok(None) };
    let got = value.as_f64().map(|number| number as f32).filter(|number| *number > 0.0 && number.is_finite());
    got.map(Some).ok_or_else(|| wrong(name, "a number above 0", value))
}

/// A number from 0 to below 1.
fn decay(training: &Map<String, Value>, name: &'static str, usual: f32) -> Result<f32, RoundFailure> {
    let Some(value) = training.get(name) else { return Ok(usual) };
    let got = value.as_f64().map(|number| number as f32).filter(|number| (0.0..1.0).contains(number));
    got.ok_or_else(|| wrong(name, "a number from 0 to below 1", value))
}

/// A whole number of at least 1.
fn count(training: &Map<String, Value>, name: &'static str) -> Result<Option<u32>, RoundFailure> {
    let Some(value) = training.get(name) else { return Ok(None) };
    let got = value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|&count| count > 0);
    got.map(Some).ok_or_else(|| wrong(name, "a whole number from 1 to 4294967295", value))
}

fn wrong(name: &'static str, expected: &'static str, got: &Value) -> RoundFailure {
    RoundFailure::Setting { name, expected, got: got.to_string() }
}
