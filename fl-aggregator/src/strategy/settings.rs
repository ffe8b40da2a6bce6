//! Which strategy with which numbers, as a task's file and a signed configuration have it.

use super::adaptive::AdaptiveSettings;
use super::state::{self, kind};
use super::{
    Adaptive, AdaptiveRule, Ditto, FedAvg, FedBuff, FedProx, LocalRule, Parts, Scaffold, Strategy, StrategyError,
};
use neuro_primitives::codec::Reader;

/// A strategy and its numbers. The canonical form is field 10 of a round's configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the numbers are those of the strategies' own documentation")]
pub enum StrategySettings {
    /// [`FedAvg`].
    FedAvg { rate: f64 },
    /// [`FedProx`].
    FedProx { rate: f64, mu: f64 },
    /// [`Adaptive`].
    Adaptive { rule: AdaptiveRule, rate: f64, beta1: f64, beta2: f64, tau: f64 },
    /// [`Scaffold`]; N is not a setting but the roster's.
    Scaffold { rate: f64, rho: f64 },
    /// [`FedBuff`].
    FedBuff { rate: f64, most_staleness: u32 },
    /// [`Ditto`].
    Ditto { rate: f64, lambda: f64 },
}

impl StrategySettings {
    /// The strategy's name in files and reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FedAvg { .. } => "fed_avg",
            Self::FedProx { .. } => "fed_prox",
            Self::Adaptive { rule: AdaptiveRule::Adagrad, .. } => "fed_adagrad",
            Self::Adaptive { rule: AdaptiveRule::Adam, .. } => "fed_adam",
            Self::Adaptive { rule: AdaptiveRule::Yogi, .. } => "fed_yogi",
            Self::Scaffold { .. } => "scaffold",
            Self::FedBuff { .. } => "fed_buff",
            Self::Ditto { .. } => "ditto",
        }
    }

    /// The strategy before its first step, for a model of `entries` and a roster of `population` members.
    ///
    /// # Errors
    /// A number out of its range.
    pub fn begin(&self, entries: usize, population: u32) -> Result<Box<dyn Strategy>, StrategyError> {
        Ok(match *self {
            Self::FedAvg { rate } => Box::new(FedAvg::new(rate)?),
            Self::FedProx { rate, mu } => Box::new(FedProx::new(rate, mu)?),
            Self::Adaptive { rule, rate, beta1, beta2, tau } => {
                Box::new(Adaptive::new(rule, AdaptiveSettings { rate, beta1, beta2, tau })?)
            }
            Self::Scaffold { rate, rho } => Box::new(Scaffold::new(rate, rho, population, entries)?),
            Self::FedBuff { rate, most_staleness } => Box::new(FedBuff::new(rate, most_staleness)?),
            Self::Ditto { rate, lambda } => Box::new(Ditto::new(rate, lambda)?),
        })
    }

    /// The strategy whose state was kept.
    ///
    /// # Errors
    /// Bytes that are no state of the strategy that these settings name.
    pub fn restore(&self, bytes: &[u8]) -> Result<Box<dyn Strategy>, StrategyError> {
        Ok(match *self {
            Self::FedAvg { .. } => Box::new(FedAvg::restore(bytes)?),
            Self::FedProx { .. } => Box::new(FedProx::restore(bytes)?),
            Self::Adaptive { rule, .. } => Box::new(Adaptive::restore_as(rule, bytes)?),
            Self::Scaffold { .. } => Box::new(Scaffold::restore(bytes)?),
            Self::FedBuff { .. } => Box::new(FedBuff::restore(bytes)?),
            Self::Ditto { .. } => Box::new(Ditto::restore(bytes)?),
        })
    }

    /// What the vectors hold.
    #[must_use]
    pub const fn parts(&self) -> Parts {
        match *self {
            Self::Scaffold { rho, .. } => Parts::ModelAndControl { rho },
            _ => Parts::Model,
        }
    }

    /// What a participant's trainer does, `control` being the control variate that came with the round, if any.
    #[must_use]
    pub fn local_rule(&self, control: Option<crate::layout::Flat>) -> LocalRule {
        match *self {
            Self::FedProx { mu, .. } => LocalRule::Proximal { mu: mu as f32 },
            Self::Ditto { lambda, .. } => LocalRule::Personal { lambda: lambda as f32 },
            Self::Scaffold { .. } => LocalRule::Scaffold { control: control.unwrap_or_default() },
            _ => LocalRule::Plain,
        }
    }

    /// The canonical form: the strategy's number, then its numbers.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (number, values): (u8, Vec<f64>) = match *self {
            Self::FedAvg { rate } => (kind::FED_AVG, vec![rate]),
            Self::FedProx { rate, mu } => (kind::FED_PROX, vec![rate, mu]),
            Self::Adaptive { rule, rate, beta1, beta2, tau } => (rule.kind(), vec![rate, beta1, beta2, tau]),
            Self::Scaffold { rate, rho } => (kind::SCAFFOLD, vec![rate, rho]),
            Self::FedBuff { rate, most_staleness } => (kind::FED_BUFF, vec![rate, f64::from(most_staleness)]),
            Self::Ditto { rate, lambda } => (kind::DITTO, vec![rate, lambda]),
        };
        let mut out = state::begin(number);
        values.into_iter().for_each(|value| state::put(&mut out, value));
        out.finish()
    }

    /// Reads what [`Self::encode`] wrote, and checks it as [`Self::begin`] does.
    ///
    /// # Errors
    /// Bytes that are no settings, or numbers out of their range.
    pub fn decode(bytes: &[u8]) -> Result<Self, StrategyError> {
        let mut from = Reader::new(bytes);
        let number = from.u8()?;
        let mut next = |field| state::take(&mut from, field);
        let rate = next("rate")?;
        let mut adaptive = |rule| -> Result<Self, StrategyError> {
            Ok(Self::Adaptive { rule, rate, beta1: next("beta1")?, beta2: next("beta2")?, tau: next("tau")? })
        };
        let settings = match number {
            kind::FED_AVG => Self::FedAvg { rate },
            kind::FED_ADAGRAD => adaptive(AdaptiveRule::Adagrad)?,
            kind::FED_ADAM => adaptive(AdaptiveRule::Adam)?,
            kind::FED_YOGI => adaptive(AdaptiveRule::Yogi)?,
            kind::FED_PROX => Self::FedProx { rate, mu: next("mu")? },
            kind::SCAFFOLD => Self::Scaffold { rate, rho: next("rho")? },
            kind::FED_BUFF => Self::FedBuff { rate, most_staleness: whole("most_staleness", next("most_staleness")?)? },
            kind::DITTO => Self::Ditto { rate, lambda: next("lambda")? },
            got => return Err(StrategyError::Kind { expected: kind::FED_AVG, got }),
        };
        from.finish()?;
        settings.begin(1, 1).map(|_| settings)
    }
}

fn whole(field: &'static str, got: f64) -> Result<u32, StrategyError> {
    let number = got as u32;
    let same = f64::from(number) == got;
    if same { Ok(number) } else { Err(StrategyError::Setting { field, expected: "a whole number", got }) }
}
