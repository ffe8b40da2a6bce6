//! FedAvg (McMahan et al. 2017): the mean of the updates, times a rate.

use super::state::{self, kind};
use super::{DecodedSum, LocalRule, Parts, Strategy, StrategyError, averaged, check_positive};
use crate::layout::Flat;

/// x ← x + ηΔ̄.
#[derive(Debug, Clone, PartialEq)]
pub struct FedAvg {
    rate: f64,
}

impl FedAvg {
    /// With the aggregator's rate η; 1 is the paper's.
    ///
    /// # Errors
    /// A rate that is not above 0 and finite.
    pub fn new(rate: f64) -> Result<Self, StrategyError> {
        check_positive("rate", rate)?;
        Ok(Self { rate })
    }
}

impl Strategy for FedAvg {
    fn local_rule(&self) -> LocalRule {
        LocalRule::Plain
    }

    fn vector_parts(&self) -> Parts {
        Parts::Model
    }

    fn apply(&mut self, global: &mut Flat, sum: &DecodedSum) -> Result<(), StrategyError> {
        *global = averaged(global, sum, self.rate)?;
        Ok(())
    }

    fn state(&self) -> Vec<u8> {
        let mut out = state::begin(kind::FED_AVG);
        state::put(&mut out, self.rate);
        out.finish()
    }

    fn restore(bytes: &[u8]) -> Result<Self, StrategyError> {
        let mut from = state::open(bytes, kind::FED_AVG)?;
        let rate = state::take(&mut from, "rate")?;
        from.finish()?;
        Self::new(rate)
    }
}
