//! Client floors (section 4): what a participant refuses, whatever aggregator and owner sign.
//!
//! They are the participant's own file. [`Floors::admit`] is asked before joining and [`Floors::admit_cohort`] when the
//! cohort is announced; nothing that an aggregator sends can lower them.

use std::collections::BTreeSet;

use neuro_primitives::UnixMillis;

use crate::config::{PrivacyMode, RoundConfig, WHOLE_BPS};
use crate::messages::Cohort;
use crate::parameters::least_alpha;
use crate::roster::Registry;

mod refused;

pub use refused::FloorRefused;

/// A day of the rounds-a-day count, in milliseconds: any 24 hours, not those of a calendar.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The participant's own bounds. [`Floors::default`] has the specification's.
#[derive(Debug, Clone, PartialEq)]
pub struct Floors {
    /// The smallest cohort; 8.
    pub least_members: u16,
    /// The least turnout n/N, in 1/10,000; 5,000. Who leaves honest members out pays for it.
    pub least_turnout_bps: u16,
    /// The least γ, in 1/10,000; 1,000.
    pub least_corrupt_bps: u16,
    /// The least α over all sizes that the cohort may have, in 1/10,000; 5,000.
    pub least_alpha_bps: u16,
    /// The least σ, in bits; 40.
    pub least_security_bits: u8,
    /// Releases of the task in any 24 hours; 48.
    pub most_rounds_a_day: u32,
    /// Bytes of a payload; 1 GiB.
    pub most_upload_bytes: u64,
    /// Whether every participant must add noise itself; no.
    pub private_mode: bool,
    /// The greatest ε of the accountant over the task; none, without which rounds without noise are refused too.
    pub most_epsilon: f64,
    /// The greatest δ of the accountant over the task; no bound.
    pub most_delta: f64,
    /// The strategies that are taken part in; all if none are named.
    pub strategies: Option<BTreeSet<String>>,
    /// The local trainers that may be run; all if none are named. No configuration names a trainer.
    pub trainers: Option<BTreeSet<String>>,
}

impl Default for Floors {
    fn default() -> Self {
        Self {
            least_members: 8,
            least_turnout_bps: 5_000,
            least_corrupt_bps: 1_000,
            least_alpha_bps: 5_000,
            least_security_bits: 40,
            most_rounds_a_day: 48,
            most_upload_bytes: 1 << 30,
            private_mode: false,
            most_epsilon: f64::INFINITY,
            most_delta: 1.0,
            strategies: None,
            trainers: None,
        }
    }
}

/// What the participant knows of its own past in the task, from its own disk and clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// This machine's time.
    pub now: UnixMillis,
    /// The greatest number of a round that it ever joined, with the cohorts of that round.
    pub newest_round: Option<(u64, BTreeSet<u16>)>,
    /// When each release was charged, in any order; those of the last 24 hours do.
    pub releases: Vec<UnixMillis>,
    /// The accountant's ε over the task with this round's release; infinite if the round has no noise.
    pub epsilon: f64,
    /// The accountant's δ that belongs to this ε; 0 if the round has no noise.
    pub delta: f64,
}

impl Floors {
    /// Whether a round of this configuration may be joined.
    ///
    /// # Errors
    /// Names the first floor that it is below, with what was expected.
    pub fn admit(&self, config: &RoundConfig, registry: &dyn Registry, past: &Past) -> Result<(), FloorRefused> {
        past.admit_round(config)?;
        self.admit_today(past)?;
        self.admit_strategy(&config.strategy.name)?;
        self.admit_privacy(config, past)?;
        self.admit_members(config, registry.rostered(&config.batches))?;
        // The cohort may be smaller than the largest, and then the payload is too.
        self.admit_bytes(config.payload_bytes(config.plain_modulus_bits(config.least_members)))
    }

    /// Whether to go on with this cohort of a configuration that was admitted. Its parameters are checked apart, by
    /// [`crate::parameters::check`].
    ///
    /// # Errors
    /// Names the first floor or bound of the configuration that it is below, with what was expected.
    pub fn admit_cohort(
        &self,
        config: &RoundConfig,
        registry: &dyn Registry,
        cohort: &Cohort,
    ) -> Result<(), FloorRefused> {
        let (n, rostered) = (cohort.n(), registry.rostered(&config.batches));
        let expected = config.least_members.max(self.least_members);
        if n < expected {
            return Err(FloorRefused::Members { expected, got: n });
        }
        if n > config.most_members {
            return Err(FloorRefused::TooMany { expected: config.most_members, got: n });
        }
        self.admit_turnout(n, rostered)?;
        self.admit_alpha(config, rostered, n, n)?;
        self.admit_bytes(config.payload_bytes(cohort.modulus_bits))
    }

    /// Whether the local `trainer` may be run.
    ///
    /// # Errors
    /// When trainers are named and this one is not among them.
    pub fn admit_trainer(&self, trainer: &str) -> Result<(), FloorRefused> {
        match &self.trainers {
            Some(named) if !named.contains(trainer) => Err(FloorRefused::Trainer { got: trainer.to_owned() }),
            _ => Ok(()),
        }
    }

    /// The smallest cohort that is gone on with when the batches list `rostered` members: the smallest of the
    /// configuration, and the turnout. From here on α is counted.
    #[must_use]
    pub fn least_cohort(&self, config: &RoundConfig, rostered: u32) -> u32 {
        let turnout = (u64::from(self.least_turnout_bps) * u64::from(rostered)).div_ceil(WHOLE_BPS.into());
        // At most 6.5 · 65,536.
        u32::from(config.least_members.max(self.least_members)).max(turnout as u32)
    }

    /// The least α of all cohorts that are gone on with when the batches list `rostered` members, which is what is shown
    /// before joining; 0 where there is no such cohort.
    #[must_use]
    pub fn alpha(&self, config: &RoundConfig, rostered: u32) -> f64 {
        let whole = |members: u32| u16::try_from(members).unwrap_or(u16::MAX);
        let (least, most) = (whole(self.least_cohort(config, rostered)), config.most_members.min(whole(rostered)));
        least_alpha(&config.demand(0, rostered), least..=most)
    }

    /// The count of the last 24 hours fails closed: a release from the future means that time ran backwards, and how
    /// many rounds there were today is unknown.
    fn admit_today(&self, past: &Past) -> Result<(), FloorRefused> {
        if let Some(&last) = past.releases.iter().max().filter(|last| **last > past.now) {
            return Err(FloorRefused::ClockRanBack { last, now: past.now });
        }
        let today = past.releases.iter().filter(|release| past.now.0 - release.0 < DAY_MS).count();
        if today < self.most_rounds_a_day as usize {
            Ok(())
        } else {
            Err(FloorRefused::RoundsADay { most: self.most_rounds_a_day, got: today })
        }
    }

    fn admit_strategy(&self, name: &str) -> Result<(), FloorRefused> {
        match &self.strategies {
            Some(named) if !named.contains(name) => Err(FloorRefused::Strategy { got: name.to_owned() }),
            _ => Ok(()),
        }
    }

    /// A number that is none passes no comparison, so it is refused.
    fn admit_privacy(&self, config: &RoundConfig, past: &Past) -> Result<(), FloorRefused> {
        if self.private_mode && config.privacy.mode != PrivacyMode::Distributed {
            return Err(FloorRefused::NotPrivate { got: config.privacy.mode });
        }
        let epsilon = if config.privacy.mode == PrivacyMode::None { f64::INFINITY } else { past.epsilon };
        if epsilon.is_nan() || epsilon > self.most_epsilon {
            return Err(FloorRefused::Epsilon { most: self.most_epsilon, got: epsilon });
        }
        if past.delta.is_nan() || past.delta > self.most_delta {
            return Err(FloorRefused::Delta { most: self.most_delta, got: past.delta });
        }
        Ok(())
    }

    fn admit_members(&self, config: &RoundConfig, rostered: u32) -> Result<(), FloorRefused> {
        if config.least_members < self.least_members {
            return Err(FloorRefused::Members { expected: self.least_members, got: config.least_members });
        }
        if config.corrupt_bps < self.least_corrupt_bps {
            return Err(FloorRefused::Corrupt { expected_bps: self.least_corrupt_bps, got_bps: config.corrupt_bps });
        }
        if config.security_bits < self.least_security_bits {
            return Err(FloorRefused::Security { expected: self.least_security_bits, got: config.security_bits });
        }
        // The turnout of the largest cohort: smaller ones are refused when they are announced.
        self.admit_turnout(config.most_members, rostered)?;
        let least = u16::try_from(self.least_cohort(config, rostered)).unwrap_or(config.most_members);
        self.admit_alpha(config, rostered, least, config.most_members)
    }

    fn admit_turnout(&self, n: u16, rostered: u32) -> Result<(), FloorRefused> {
        // A share of nobody is none.
        let got_bps = (u64::from(n) * u64::from(WHOLE_BPS)).checked_div(rostered.into()).unwrap_or(0);
        if got_bps >= self.least_turnout_bps.into() {
            Ok(())
        } else {
            Err(FloorRefused::Turnout { expected_bps: self.least_turnout_bps, n, rostered })
        }
    }

    /// Over every size between `least` and `most`: rounding makes α jump.
    fn admit_alpha(&self, config: &RoundConfig, rostered: u32, least: u16, most: u16) -> Result<(), FloorRefused> {
        let alpha_bps = |n| {
            let honest = u32::from(config.demand(n, rostered).honest_at_least());
            (honest * u32::from(WHOLE_BPS)).checked_div(n.into()).unwrap_or(0)
        };
        let got_bps = (least..=most).map(alpha_bps).min().unwrap_or(0);
        if got_bps >= self.least_alpha_bps.into() {
            Ok(())
        } else {
            Err(FloorRefused::Alpha { expected_bps: self.least_alpha_bps, got_bps })
        }
    }

    const fn admit_bytes(&self, got: u64) -> Result<(), FloorRefused> {
        if got <= self.most_upload_bytes {
            Ok(())
        } else {
            Err(FloorRefused::UploadBytes { most: self.most_upload_bytes, got })
        }
    }
}

impl Past {
    /// A past without any round, at `now`, in which this round costs nothing yet.
    #[must_use]
    pub const fn none(now: UnixMillis) -> Self {
        Self { now, newest_round: None, releases: Vec::new(), epsilon: 0.0, delta: 0.0 }
    }

    /// Rounds only go forward; of the newest one, cohorts that were not joined yet are open.
    fn admit_round(&self, config: &RoundConfig) -> Result<(), FloorRefused> {
        match &self.newest_round {
            Some((newest, cohorts))
                if config.round < *newest || config.round == *newest && cohorts.contains(&config.cohort) =>
            {
                Err(FloorRefused::RoundSeen { newest: *newest, round: config.round, cohort: config.cohort })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
