//! SCAFFOLD (Karimireddy et al. 2020, option II): control variates against the drift of unlike participants.
//!
//! Participant i steps along g − cᵢ + c, ends at y after K steps of rate η_l, sets cᵢ⁺ = cᵢ − c + (x − y)/(Kη_l) and
//! hands in [Δ, ρ(cᵢ⁺ − cᵢ)] as one vector. In private mode that whole vector is clipped as one, so the sensitivity of
//! the release counts the control variate too; ρ says how the clipping norm is shared out between the two.

use super::state::{self, kind};
use super::{DecodedSum, LocalRule, Parts, Strategy, StrategyError, check_positive, check_sum, moved};
use crate::layout::Flat;

/// x ← x + ηΔ̄; c ← c + (|S|/N)·(mean of the second part)/ρ.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaffold {
    rate: f64,
    rho: f64,
    population: u32,
    /// c: `[entries]`, f64 so that many small changes are not lost.
    control: Vec<f64>,
}

impl Scaffold {
    /// Before the first round, with c = 0, for a model of `entries` and a roster of `population` members (N).
    ///
    /// # Errors
    /// A rate or ρ that is not above 0 and finite; nobody in the roster.
    pub fn new(rate: f64, rho: f64, population: u32, entries: usize) -> Result<Self, StrategyError> {
        check_positive("rate", rate)?;
        check_positive("rho", rho)?;
        check_positive("population", f64::from(population))?;
        Ok(Self { rate, rho, population, control: vec![0.0; entries] })
    }
}

impl Strategy for Scaffold {
    fn local_rule(&self) -> LocalRule {
        LocalRule::Scaffold { control: Flat(self.control.iter().map(|&c| c as f32).collect()) }
    }

    fn vector_parts(&self) -> Parts {
        Parts::ModelAndControl { rho: self.rho }
    }

    fn apply(&mut self, global: &mut Flat, sum: &DecodedSum) -> Result<(), StrategyError> {
        let entries = self.control.len();
        if global.0.len() != entries {
            return Err(StrategyError::Length { what: "the model", expected: entries, got: global.0.len() });
        }
        check_sum(entries, self.vector_parts(), sum)?;
        if sum.survivors > self.population {
            return Err(StrategyError::Population { expected: self.population, got: sum.survivors });
        }
        let (model, change) = sum.values.split_at(entries);
        let next = moved(global, model.iter().map(|value| self.rate * (value / sum.weight)))?;
        let share = f64::from(sum.survivors) / f64::from(self.population);
        for (c, value) in self.control.iter_mut().zip(change) {
            *c += share * (value / sum.weight) / self.rho;
        }
        *global = next;
        Ok(())
    }

    fn state(&self) -> Vec<u8> {
        let mut out = state::begin(kind::SCAFFOLD);
        state::put(&mut out, self.rate);
        state::put(&mut out, self.rho);
        out.u32(self.population);
        state::put_all(&mut out, &self.control);
        out.finish()
    }

    fn restore(bytes: &[u8]) -> Result<Self, StrategyError> {
        let mut from = state::open(bytes, kind::SCAFFOLD)?;
        let (rate, rho) = (state::take(&mut from, "rate")?, state::take(&mut from, "rho")?);
        let population = from.u32()?;
        let control = state::take_all(&mut from, "control")?;
        from.finish()?;
        Ok(Self { control, ..Self::new(rate, rho, population, 0)? })
    }
}
