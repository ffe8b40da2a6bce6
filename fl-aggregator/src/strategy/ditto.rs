//! Ditto (Li et al. 2021): FedAvg, and beside it a personal model for each participant, which never leaves it.

use super::state::{self, kind};
use super::{DecodedSum, LocalRule, Parts, Strategy, StrategyError, averaged, check_positive};
use crate::layout::Flat;

/// The step of FedAvg; the participants also keep vᵢ ← vᵢ − η(∇Fᵢ(vᵢ) + λ(vᵢ − x)).
#[derive(Debug, Clone, PartialEq)]
pub struct Ditto {
    rate: f64,
    lambda: f64,
}

impl Ditto {
    /// With the aggregator's rate η and the participants' λ.
    ///
    /// # Errors
    /// A number that is not above 0 and finite.
    pub fn new(rate: f64, lambda: f64) -> Result<Self, StrategyError> {
        check_positive("rate", rate)?;
        check_positive("lambda", lambda)?;
        Ok(Self { rate, lambda })
    }
}

impl Strategy for Ditto {
    fn local_rule(&self) -> LocalRule {
        LocalRule::Personal { lambda: self.lambda as f32 }
    }

    fn vector_parts(&self) -> Parts {
        Parts::Model
    }

    fn apply(&mut self, global: &mut Flat, sum: &DecodedSum) -> Result<(), StrategyError> {
        *global = averaged(global, sum, self.rate)?;
        Ok(())
    }

    fn state(&self) -> Vec<u8> {
        let mut out = state::begin(kind::DITTO);
        state::put(&mut out, self.rate);
        state::put(&mut out, self.lambda);
        out.finish()
    }

    fn restore(bytes: &[u8]) -> Result<Self, StrategyError> {
        let mut from = state::open(bytes, kind::DITTO)?;
        let (rate, lambda) = (state::take(&mut from, "rate")?, state::take(&mut from, "lambda")?);
        from.finish()?;
        Self::new(rate, lambda)
    }
}
