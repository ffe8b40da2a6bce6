//! How a sum of updates becomes the next model.
//!
//! With x the model, wᵢ the weights and Δᵢ = xᵢ − x the updates of the survivors, Δ̄ = Σ wᵢΔᵢ/Σ wᵢ. In private mode
//! wᵢ = 1, so the divisor is the number of survivors.
//!
//! | Strategy | Participant | Aggregator |
//! |---|---|---|
//! | [`FedAvg`] | epochs of gradient descent | x ← x + ηΔ̄ |
//! | [`FedProx`] | loss + (μ/2)‖y − x‖² | as FedAvg |
//! | [`Adaptive`] | as FedAvg | FedAdagrad, FedAdam, FedYogi |
//! | [`Scaffold`] | steps along g − cᵢ + c | x ← x + ηΔ̄, c ← c + (\|S\|/N)·mean of (cᵢ⁺ − cᵢ) |
//! | [`FedBuff`] | from an earlier version; Δ/√(1 + τ) | as FedAvg |
//! | [`Ditto`] | besides, a personal model | as FedAvg |
//!
//! A step is taken whole or not at all: with an error the model and the strategy's state are as they were.

mod adaptive;
mod ditto;
mod fed_avg;
mod fed_buff;
mod fed_prox;
mod scaffold;
mod settings;
mod state;

pub use crate::error::StrategyError;
use crate::layout::Flat;
pub use adaptive::{Adaptive, AdaptiveRule, AdaptiveSettings};
pub use ditto::Ditto;
pub use fed_avg::FedAvg;
pub use fed_buff::FedBuff;
pub use fed_prox::FedProx;
pub use scaffold::Scaffold;
pub use settings::StrategySettings;

/// What a strategy asks of the participants' local steps.
#[derive(Debug, Clone, PartialEq)]
pub enum LocalRule {
    /// Plain steps on its own examples.
    Plain,
    /// FedProx (Li et al. 2020): the loss gains (μ/2)‖y − x‖².
    Proximal {
        /// How strongly the global model holds.
        mu: f32,
    },
    /// SCAFFOLD (Karimireddy et al. 2020, option II): steps along g − cᵢ + c.
    Scaffold {
        /// The server's control variate c: `[entries]`.
        control: Flat,
    },
    /// Ditto (Li et al. 2021): besides, a personal model that never leaves, held to the global one by λ.
    Personal {
        /// How strongly the global model holds the personal one.
        lambda: f32,
    },
}

/// What the vector of a participant holds beside Σw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Parts {
    /// The update Δ.
    Model,
    /// The update Δ and, after it, ρ(cᵢ⁺ − cᵢ) of the same length.
    ModelAndControl {
        /// ρ > 0: how the control's change is weighed against the update's when both are clipped as one vector.
        rho: f64,
    },
}

impl Parts {
    /// The entries of a vector for a model of `entries`.
    #[must_use]
    pub const fn vector_entries(self, entries: usize) -> usize {
        match self {
            Self::Model => entries,
            Self::ModelAndControl { .. } => 2 * entries,
        }
    }
}

/// The sum of a cohort's updates, as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedSum {
    /// Σ wᵢ·(what participant i's vector holds): `[entries]`, or `[2·entries]` with a control part.
    pub values: Vec<f64>,
    /// Σ wᵢ.
    pub weight: f64,
    /// |S|: how many took part to the end.
    pub survivors: u32,
}

/// The aggregator's side of a strategy.
pub trait Strategy: Send {
    /// What the participants' trainers do in the next round.
    fn local_rule(&self) -> LocalRule;

    /// What their vectors hold.
    fn vector_parts(&self) -> Parts;

    /// Takes the step from `global` (`[entries]`) that follows from `sum`.
    ///
    /// # Errors
    /// A sum of another length, without weight, or with numbers that are not finite; a model that would not be finite.
    fn apply(&mut self, global: &mut Flat, sum: &DecodedSum) -> Result<(), StrategyError>;

    /// Everything that the next step depends on: settings, moments, control variate.
    fn state(&self) -> Vec<u8>;

    /// The strategy whose [`Self::state`] was kept: it goes on exactly as the kept one would have.
    ///
    /// # Errors
    /// Bytes that are no state of this strategy.
    fn restore(bytes: &[u8]) -> Result<Self, StrategyError>
    where
        Self: Sized;
}

/// Refuses a sum that is not one of `parts` for a model of `entries`.
fn check_sum(entries: usize, parts: Parts, sum: &DecodedSum) -> Result<(), StrategyError> {
    let expected = parts.vector_entries(entries);
    if sum.values.len() != expected {
        return Err(StrategyError::Length { what: "the sum", expected, got: sum.values.len() });
    }
    if !(sum.weight > 0.0 && sum.weight.is_finite()) {
        return Err(StrategyError::Weight { got: sum.weight });
    }
    check_finite("the sum", &sum.values)
}

fn check_finite(what: &'static str, values: &[f64]) -> Result<(), StrategyError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(entry) => Err(StrategyError::NotFinite { what, entry, got: values[entry] }),
    }
}

/// Refuses `got` unless it is finite and above 0.
fn check_positive(field: &'static str, got: f64) -> Result<(), StrategyError> {
    let expected = "finite and above 0";
    if got > 0.0 && got.is_finite() { Ok(()) } else { Err(StrategyError::Setting { field, expected, got }) }
}

/// `global` + `step` (both `[entries]`), if every number of it is finite.
fn moved(global: &Flat, step: impl Iterator<Item = f64>) -> Result<Flat, StrategyError> {
    let next: Vec<f32> = global.0.iter().zip(step).map(|(&x, step)| (f64::from(x) + step) as f32).collect();
    match next.iter().position(|value| !value.is_finite()) {
        None => Ok(Flat(next)),
        Some(entry) => Err(StrategyError::NotFinite { what: "the model", entry, got: f64::from(next[entry]) }),
    }
}

/// x ← x + ηΔ̄, the step of FedAvg and of all that differ from it at the participant alone.
fn averaged(global: &Flat, sum: &DecodedSum, rate: f64) -> Result<Flat, StrategyError> {
    check_sum(global.0.len(), Parts::Model, sum)?;
    moved(global, sum.values.iter().map(|value| rate * (value / sum.weight)))
}

#[cfg(test)]
mod tests;
