//! What participants and aggregator agree on before an update becomes integers; read from a signed configuration.

use super::private;
use crate::error::EncodeError;
use crate::signed_settings::SignedSettings;
use crate::strategy::Parts;
use neuro_primitives::Hash;
use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_privacy::Event;
use neuro_secagg::config::{PrivacyMode, RoundConfig};
use neuro_secagg::packing::Modulus;
use neuro_secagg::quantise::Grid;

/// Who adds the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseBy {
    /// Each participant its part, before masking: the aggregator is not trusted.
    Participants,
    /// The aggregator, to the sum: **it is trusted** with the sum as it was before.
    Aggregator,
}

/// Clipping and noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrivateSettings {
    /// Who adds it.
    pub noise: NoiseBy,
    /// c: the L2 norm that no vector exceeds, control part included.
    pub clip: f64,
    /// s, units per 1.0.
    pub scale: f64,
    /// μ: the variance in units² that the honest noise in the sum reaches at least.
    pub variance: f64,
    /// μ_b of the bit "my norm ≤ c", where the clip adapts. Distributed noise only.
    pub bit_variance: Option<f64>,
    /// δ, at which the release's ε is told.
    pub delta: f64,
    /// Of the rotation; public.
    pub rotation: Hash,
}

/// How numbers become integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EncodingMode {
    /// Weighted and quantised; the sum itself is what the aggregator learns.
    Plain {
        /// Bits and scale.
        grid: Grid,
        /// W, the greatest weight.
        weight_cap: u32,
    },
    /// Clipped, rotated, rounded, noised; w = 1.
    Private(PrivateSettings),
}

/// Everything about the vectors of one cohort.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncodingPlan {
    /// m: model values.
    pub entries: usize,
    /// What the vectors hold beside them.
    pub parts: Parts,
    /// How they become integers.
    pub mode: EncodingMode,
}

impl EncodingPlan {
    /// The plan that a configuration describes.
    ///
    /// # Errors
    /// Strategy or privacy settings that this build does not read, and what [`Self::check`] refuses.
    pub fn of(config: &RoundConfig) -> Result<Self, EncodeError> {
        let parts = SignedSettings::decode(&config.strategy.settings).map_err(private::refused)?.strategy.parts();
        let mode = match config.privacy.mode {
            PrivacyMode::None => {
                let grid = Grid::new(config.value_bits, config.scale).map_err(private::refused)?;
                EncodingMode::Plain { grid, weight_cap: config.weight_cap }
            }
            PrivacyMode::Distributed => EncodingMode::Private(PrivateSettings::of(config, NoiseBy::Participants)?),
            PrivacyMode::Central => EncodingMode::Private(PrivateSettings::of(config, NoiseBy::Aggregator)?),
        };
        let plan = Self { entries: config.entries as usize, parts, mode };
        plan.check()?;
        Ok(plan)
    }

    /// Refuses what no plan can be.
    ///
    /// # Errors
    /// The first number that is out of its range.
    pub fn check(&self) -> Result<(), EncodeError> {
        let positive = |field, got: f64| {
            let wrong = EncodeError::Setting { field, expected: "finite and above 0", got };
            if got > 0.0 && got.is_finite() { Ok(()) } else { Err(wrong) }
        };
        positive("entries", self.entries as f64)?;
        if let Parts::ModelAndControl { rho } = self.parts {
            positive("rho", rho)?;
        }
        match &self.mode {
            EncodingMode::Plain { weight_cap, .. } => positive("weight cap", f64::from(*weight_cap)),
            EncodingMode::Private(settings) => {
                positive("clip", settings.clip)?;
                positive("scale", settings.scale)?;
                positive("noise variance", settings.variance)?;
                settings.bit_variance.map_or(Ok(()), |variance| positive("variance of the bit", variance))?;
                if !(settings.delta > 0.0 && settings.delta < 1.0) {
                    let expected = "above 0 and below 1";
                    return Err(EncodeError::Setting { field: "delta", expected, got: settings.delta });
                }
                let got = settings.bit_variance.unwrap_or_default();
                let expected = "0 where the aggregator adds the noise: it would see the bits";
                let central_bit = settings.noise == NoiseBy::Aggregator && settings.bit_variance.is_some();
                if central_bit {
                    Err(EncodeError::Setting { field: "variance of the bit", expected, got })
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Model and control values: what is quantised or clipped.
    #[must_use]
    pub const fn value_entries(&self) -> usize {
        self.parts.vector_entries(self.entries)
    }

    /// L: all entries of the vector.
    #[must_use]
    pub const fn vector_entries(&self) -> usize {
        let bit = matches!(self.mode, EncodingMode::Private(PrivateSettings { bit_variance: Some(_), .. }));
        self.value_entries() + 1 + bit as usize
    }

    /// W.
    #[must_use]
    pub const fn weight_cap(&self) -> u32 {
        match self.mode {
            EncodingMode::Plain { weight_cap, .. } => weight_cap,
            EncodingMode::Private(_) => 1,
        }
    }

    /// B for a cohort of `members`, of whom at least `honest_at_least` honest ones survive, in a round of `cohorts` (section 10).
    ///
    /// # Errors
    /// When 64 bits are not enough.
    pub fn modulus(&self, members: u16, honest_at_least: u16, cohorts: u16) -> Result<Modulus, EncodeError> {
        match &self.mode {
            EncodingMode::Plain { grid, weight_cap } => {
                Modulus::plain(grid.value_bits(), members, *weight_cap).map_err(private::refused)
            }
            EncodingMode::Private(settings) => private::modulus(self, settings, members, honest_at_least, cohorts),
        }
    }

    /// What the sum reveals about one participant; none in plain mode, about which nothing is promised.
    ///
    /// # Errors
    /// Settings for which there is no noise.
    pub fn release(&self, members: u16, honest_at_least: u16) -> Result<Option<Event>, EncodeError> {
        match &self.mode {
            EncodingMode::Plain { .. } => Ok(None),
            EncodingMode::Private(settings) => private::release(self, settings, members, honest_at_least).map(Some),
        }
    }

    /// δ of [`Self::release`]; none in plain mode.
    #[must_use]
    pub const fn delta(&self) -> Option<f64> {
        match &self.mode {
            EncodingMode::Plain { .. } => None,
            EncodingMode::Private(settings) => Some(settings.delta),
        }
    }

    /// The size of a number that fills the grid or the clipping norm by itself.
    pub(super) fn reach(&self) -> f64 {
        match &self.mode {
            EncodingMode::Plain { grid, .. } => grid.limit() as f64 / grid.scale(),
            EncodingMode::Private(settings) => settings.clip,
        }
    }
}

impl PrivateSettings {
    /// The canonical form: field 13's settings of a configuration. Scale and rotation stand elsewhere in it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u64(self.clip.to_bits());
        out.u64(self.variance.to_bits());
        out.u64(self.bit_variance.unwrap_or(0.0).to_bits());
        out.u64(self.delta.to_bits());
        out.finish()
    }

    /// The rotation's seed comes from the round id, which is drawn before anybody's update.
    #[must_use]
    pub fn rotation_seed(round_id: &[u8; 32]) -> Hash {
        Hash::of(&[b"neuro/fl/rotation/1\0".as_slice(), round_id].concat())
    }

    fn of(config: &RoundConfig, noise: NoiseBy) -> Result<Self, EncodeError> {
        let [clip, variance, bit, delta] = numbers(&config.privacy.settings).map_err(private::refused)?;
        let rotation = Self::rotation_seed(&config.round_id);
        let bit_variance = (bit != 0.0).then_some(bit);
        Ok(Self { noise, clip, scale: config.scale, variance, bit_variance, delta, rotation })
    }
}

fn numbers(bytes: &[u8]) -> Result<[f64; 4], CodecError> {
    let mut from = Reader::new(bytes);
    let numbers = [from.u64()?, from.u64()?, from.u64()?, from.u64()?].map(f64::from_bits);
    from.finish().map(|()| numbers)
}
