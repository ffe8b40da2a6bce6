//! The pipeline of private mode: rotate, clip, scale, round, add noise; and the way back from a sum.
//!
//! ```text
//! x′ = Rot(x)·min(1, c/‖x‖)  →  s·x′  →  conditional rounding  →  + Skellam   (then masked by secagg)
//! ```
//!
//! The clip that counts comes after the rotation, so float error cannot pass it; one before it keeps huge but finite
//! updates within f32.

use neuro_primitives::Hash;

use crate::clip::{clip_l2, norm_l2};
use crate::error::{ClipError, EncodeError};
use crate::random::NoiseRng;
use crate::rotation::Rotation;
use crate::rounding::{BETA, IntegerBounds, integer_bounds, round_conditionally};
use crate::skellam::Skellam;

/// 2^40: the greatest clipping norm in units, far below where f64 loses its fraction.
const MAX_CLIP_UNITS: f64 = 1_099_511_627_776.0;

/// How the updates of one cohort are encoded; the same for all its members.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderSettings {
    /// Seed of the rotation, public.
    pub rotation: Hash,
    /// L, entries of an update.
    pub entries: usize,
    /// c, the clipping norm.
    pub clip: f64,
    /// s, units per 1.0.
    pub scale: f64,
}

/// Turns updates into integers for the sum, and sums into updates.
pub struct Encoder {
    rotation: Rotation,
    clip: f64,
    scale: f64,
    bounds: IntegerBounds,
}

/// An update ready for masking.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// `[entries]`, i64 units, noise included.
    pub values: Vec<i64>,
    /// min(1, c/‖x‖).
    pub factor: f64,
    /// "My norm ≤ c", the bit of the adaptive clip.
    pub within_clip: bool,
    /// Tries of the conditional rounding.
    pub tries: u32,
}

impl Encoder {
    /// An encoder of these settings.
    ///
    /// # Errors
    /// When clip or scale are not above 0 and finite, or clip·scale is beyond 2^40 units.
    pub fn new(settings: &EncoderSettings) -> Result<Self, EncodeError> {
        let EncoderSettings { rotation, entries, clip, scale } = *settings;
        if !(clip.is_finite() && clip > 0.0) {
            return Err(ClipError::Bound { got: clip }.into());
        }
        let in_range = 0.0 < clip * scale && clip * scale <= MAX_CLIP_UNITS;
        if !(in_range && scale.is_finite() && scale > 0.0) {
            return Err(EncodeError::Scale { scale, clip });
        }
        let bounds = integer_bounds(clip * scale, entries, BETA);
        Ok(Self { rotation: Rotation::new(&rotation, entries), clip, scale, bounds })
    }

    /// The sensitivities of the sum, in units.
    #[must_use]
    pub fn bounds(&self) -> &IntegerBounds {
        &self.bounds
    }

    /// C = s·c, in units.
    #[must_use]
    pub fn clip_units(&self) -> f64 {
        self.clip * self.scale
    }

    /// P, the rotation's block.
    #[must_use]
    pub fn block(&self) -> usize {
        self.rotation.block()
    }

    /// Encodes `update`, `[entries]`, f32. Without `noise` (central mode) the integers are exact and the aggregator,
    /// which adds the noise, is trusted.
    ///
    /// # Errors
    /// When the length is wrong, an entry is NaN or infinite, or the rounding gave up.
    pub fn encode(&self, update: &[f32], noise: Option<&Skellam>, rng: &mut NoiseRng) -> Result<Encoded, EncodeError> {
        self.check_length(update.len())?;
        let within_clip = norm_l2(update)? <= self.clip;
        let mut turned = update.to_vec();
        let before = clip_l2(&mut turned, self.clip)?;
        self.rotation.forward(&mut turned);
        let after = clip_l2(&mut turned, self.clip)?;
        let mut values = vec![0; turned.len()];
        let tries = round_conditionally(&turned, self.scale, &self.bounds, rng, &mut values)?;
        if let Some(noise) = noise {
            noise.add(rng, &mut values);
        }
        Ok(Encoded { values, factor: before * after, within_clip, tries })
    }

    /// The sum of the updates, `[entries]`, f32, from the sum of what was encoded, `[entries]`, i64 units.
    ///
    /// # Errors
    /// When the length is wrong.
    pub fn decode(&self, sum: &[i64]) -> Result<Vec<f32>, EncodeError> {
        self.check_length(sum.len())?;
        let mut values: Vec<f32> = sum.iter().map(|&units| (units as f64 / self.scale) as f32).collect();
        self.rotation.backward(&mut values);
        Ok(values)
    }

    fn check_length(&self, got: usize) -> Result<(), EncodeError> {
        let expected = self.rotation.entries();
        if got == expected { Ok(()) } else { Err(EncodeError::Length { expected, got }) }
    }
}

#[cfg(test)]
mod tests;
