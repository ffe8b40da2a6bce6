//! FedAdagrad, FedAdam and FedYogi (Reddi et al. 2021, algorithm 2): the mean update as the gradient of an adaptive
//! optimiser at the aggregator.

use super::state::{self, kind};
use super::{DecodedSum, LocalRule, Parts, Strategy, StrategyError, check_positive, check_sum, moved};
use crate::layout::Flat;
use neuro_primitives::codec::{Reader, Writer};

/// How the second moment v follows Δ̄².
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdaptiveRule {
    /// v ← v + Δ̄².
    Adagrad,
    /// v ← β₂v + (1 − β₂)Δ̄².
    Adam,
    /// v ← v − (1 − β₂)Δ̄²·sign(v − Δ̄²).
    Yogi,
}

impl AdaptiveRule {
    pub(super) const fn kind(self) -> u8 {
        match self {
            Self::Adagrad => kind::FED_ADAGRAD,
            Self::Adam => kind::FED_ADAM,
            Self::Yogi => kind::FED_YOGI,
        }
    }

    fn second_moment(self, v: f64, square: f64, beta2: f64) -> f64 {
        match self {
            Self::Adagrad => v + square,
            Self::Adam => beta2 * v + (1.0 - beta2) * square,
            Self::Yogi if v == square => v,
            Self::Yogi => v - (1.0 - beta2) * square * (v - square).signum(),
        }
    }
}

/// The numbers of an adaptive strategy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveSettings {
    /// η.
    pub rate: f64,
    /// β₁, from 0 to below 1.
    pub beta1: f64,
    /// β₂, from 0 to below 1; FedAdagrad has no use for it.
    pub beta2: f64,
    /// τ > 0, the degree of adaptivity: v starts at τ².
    pub tau: f64,
}

/// m ← β₁m + (1 − β₁)Δ̄; v by the rule; x ← x + ηm/(√v + τ); v₀ = τ².
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptive {
    rule: AdaptiveRule,
    settings: AdaptiveSettings,
    /// m and v, `[entries]`; empty before the first step.
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Adaptive {
    /// Before its first step.
    ///
    /// # Errors
    /// A rate or τ that is not above 0 and finite, a β that is not from 0 to below 1.
    pub fn new(rule: AdaptiveRule, settings: AdaptiveSettings) -> Result<Self, StrategyError> {
        check_positive("rate", settings.rate)?;
        check_positive("tau", settings.tau)?;
        for (field, got) in [("beta1", settings.beta1), ("beta2", settings.beta2)] {
            if !(0.0..1.0).contains(&got) {
                return Err(StrategyError::Setting { field, expected: "from 0 to below 1", got });
            }
        }
        Ok(Self { rule, settings, first: Vec::new(), second: Vec::new() })
    }

    /// η from the next step on, for schedules over rounds; the moments stay.
    ///
    /// # Errors
    /// A rate that is not above 0 and finite. The old one then holds.
    pub fn set_rate(&mut self, rate: f64) -> Result<(), StrategyError> {
        check_positive("rate", rate)?;
        self.settings.rate = rate;
        Ok(())
    }

    /// Restores whichever of the three the state is of.
    pub(super) fn restore_as(rule: AdaptiveRule, bytes: &[u8]) -> Result<Self, StrategyError> {
        let mut from = state::open(bytes, rule.kind())?;
        let mut next = |field| state::take(&mut from, field);
        let (rate, beta1) = (next("rate")?, next("beta1")?);
        let (beta2, tau) = (next("beta2")?, next("tau")?);
        let mut kept = Self::new(rule, AdaptiveSettings { rate, beta1, beta2, tau })?;
        kept.first = state::take_all(&mut from, "first moment")?;
        kept.second = state::take_all(&mut from, "second moment")?;
        from.finish()?;
        let (expected, got) = (kept.first.len(), kept.second.len());
        if expected != got {
            return Err(StrategyError::Length { what: "the second moment", expected, got });
        }
        Ok(kept)
    }

    /// m and v as they are before the step.
    fn moments(&self, entries: usize) -> Result<(Vec<f64>, Vec<f64>), StrategyError> {
        match self.first.len() {
            0 => Ok((vec![0.0; entries], vec![self.settings.tau * self.settings.tau; entries])),
            held if held == entries => Ok((self.first.clone(), self.second.clone())),
            held => Err(StrategyError::Length { what: "the model", expected: held, got: entries }),
        }
    }
}

impl Strategy for Adaptive {
    fn local_rule(&self) -> LocalRule {
        LocalRule::Plain
    }

    fn vector_parts(&self) -> Parts {
        Parts::Model
    }

    fn apply(&mut self, global: &mut Flat, sum: &DecodedSum) -> Result<(), StrategyError> {
        check_sum(global.0.len(), Parts::Model, sum)?;
        let AdaptiveSettings { rate, beta1, beta2, tau } = self.settings;
        let (mut first, mut second) = self.moments(global.0.len())?;
        for ((m, v), value) in first.iter_mut().zip(&mut second).zip(&sum.values) {
            let mean = value / sum.weight;
            *m = beta1 * *m + (1.0 - beta1) * mean;
            *v = self.rule.second_moment(*v, mean * mean, beta2);
        }
        let next = moved(global, first.iter().zip(&second).map(|(m, v)| rate * m / (v.sqrt() + tau)))?;
        super::check_finite("the second moment", &second)?;
        (*global, self.first, self.second) = (next, first, second);
        Ok(())
    }

    fn state(&self) -> Vec<u8> {
        let mut out: Writer = state::begin(self.rule.kind());
        let AdaptiveSettings { rate, beta1, beta2, tau } = self.settings;
        [rate, beta1, beta2, tau].into_iter().for_each(|value| state::put(&mut out, value));
        state::put_all(&mut out, &self.first);
        state::put_all(&mut out, &self.second);
        out.finish()
    }

    fn restore(bytes: &[u8]) -> Result<Self, StrategyError> {
        let got = Reader::new(bytes).u8()?;
        let rules = [AdaptiveRule::Adagrad, AdaptiveRule::Adam, AdaptiveRule::Yogi];
        let rule = rules.into_iter().find(|rule| rule.kind() == got);
        Self::restore_as(rule.ok_or(StrategyError::Kind { expected: kind::FED_ADAM, got })?, bytes)
    }
}
