//! FedBuff (Nguyen et al. 2022): whoever is ready hands in what it learned from a version that may be old by now.
//!
//! A buffer is a cohort of its own, with its own floor; when it ends, its mean is a step of FedAvg. The participant
//! weighs its update by 1/√(1 + τ) before it quantises ([`crate::staleness`]), since the aggregator never sees it alone.

use super::state::{self, kind};
use super::{DecodedSum, LocalRule, Parts, Strategy, StrategyError, averaged, check_positive};
use crate::layout::Flat;

/// The step of FedAvg over a buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct FedBuff {
    rate: f64,
    most_staleness: u32,
}

impl FedBuff {
    /// With the aggregator's rate η; a buffer admits versions up to `most_staleness` steps old.
    ///
    /// # Errors
    /// A rate that is not above 0 and finite.
    pub fn new(rate: f64, most_staleness: u32) -> Result<Self, StrategyError> {
        check_positive("rate", rate)?;
        Ok(Self { rate, most_staleness })
    }

    /// How many steps old the version may be that a participant starts from.
    #[must_use]
    pub const fn most_staleness(&self) -> u32 {
        self.most_staleness
    }
}

impl Strategy for FedBuff {
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
        let mut out = state::begin(kind::FED_BUFF);
        state::put(&mut out, self.rate);
        out.u32(self.most_staleness);
        out.finish()
    }

    fn restore(bytes: &[u8]) -> Result<Self, StrategyError> {
        let mut from = state::open(bytes, kind::FED_BUFF)?;
        let (rate, most_staleness) = (state::take(&mut from, "rate")?, from.u32()?);
        from.finish()?;
        Self::new(rate, most_staleness)
    }
}
