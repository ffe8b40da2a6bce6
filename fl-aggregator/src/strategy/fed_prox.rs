//! FedProx (Li et al. 2020): FedAvg whose participants stay near the model that they began with.

use super::state::{self, kind};
use super::{DecodedSum, LocalRule, Parts, Strategy, StrategyError, averaged, check_positive};
use crate::layout::Flat;

/// The step of FedAvg; the participants add (μ/2)‖y − x‖² to their loss.
#[derive(Debug, Clone, PartialEq)]
pub struct FedProx {
    rate: f64,
    mu: f64,
}

impl FedProx {
    /// With the aggregator's rate η and the participants' μ.
    ///
    /// # Errors
    /// A number that is not above 0 and finite.
    pub fn new(rate: f64, mu: f64) -> Result<Self, StrategyError> {
        check_positive("rate", rate)?;
        check_positive("mu", mu)?;
        Ok(Self { rate, mu })
    }
}

impl Strategy for FedProx {
    fn local_rule(&self) -> LocalRule {
        LocalRule::Proximal { mu: self.mu as f32 }
    }

    fn vector_parts(&self) -> Parts {
        Parts::Model
    }

    fn apply(&mut self, global: &mut Flat, sum: &DecodedSum) -> Result<(), StrategyError> {
        *global = averaged(global, sum, self.rate)?;
        Ok(())
    }

    fn state(&self) -> Vec<u8> {
        let mut out = state::begin(kind::FED_PROX);
        state::put(&mut out, self.rate);
        state::put(&mut out, self.mu);
        out.finish()
    }

    fn restore(bytes: &[u8]) -> Result<Self, StrategyError> {
        let mut from = state::open(bytes, kind::FED_PROX)?;
        let (rate, mu) = (state::take(&mut from, "rate")?, state::take(&mut from, "mu")?);
        from.finish()?;
        Self::new(rate, mu)
    }
}
