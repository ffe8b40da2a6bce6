//! Skellam noise: the difference of two Poisson numbers, closed under summation, so shares of it add up exactly.
//!
//! Each participant adds variance μ/(n − d − c). Any n − d − c honest survivors then reach μ, though d drop out and c add
//! none or know theirs.

use crate::error::VarianceError;
use crate::poisson::{MAX_RATE, PoissonTable, RATE_UNIT};
use crate::random::NoiseRng;

/// A variance of Skellam noise, in units²: a multiple of 1/128, above 0 and at most 2^21, since it is twice a λ of the
/// Poisson table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variance {
    /// λ of both Poisson numbers, in 1/256.
    rate: u32,
}

impl Variance {
    /// The greatest, in units².
    pub const MAX: f64 = 2.0 * (MAX_RATE / RATE_UNIT) as f64;

    /// The least variance that is at least `wanted`.
    ///
    /// # Errors
    /// When `wanted` is not above 0, or beyond [`Self::MAX`].
    pub fn at_least(wanted: f64) -> Result<Self, VarianceError> {
        if !(wanted.is_finite() && wanted > 0.0) {
            return Err(VarianceError::NotPositive { got: wanted });
        }
        if wanted > Self::MAX {
            return Err(VarianceError::TooLarge { limit: Self::MAX, got: wanted });
        }
        Ok(Self { rate: (wanted * f64::from(RATE_UNIT / 2)).ceil() as u32 })
    }

    /// In units².
    #[must_use]
    pub fn value(self) -> f64 {
        2.0 * f64::from(self.rate) / f64::from(RATE_UNIT)
    }
}

/// What each participant adds so that `honest_at_least` = n − d − c of them together reach `target` = μ.
///
/// # Errors
/// When `target` is not above 0, nobody is honest, or the share is too large for the sampler.
pub fn local_variance(target: f64, honest_at_least: u16) -> Result<Variance, VarianceError> {
    if honest_at_least == 0 {
        return Err(VarianceError::NobodyHonest);
    }
    if !(target.is_finite() && target > 0.0) {
        return Err(VarianceError::NotPositive { got: target });
    }
    // One division of f64 may fall short by 2^−53 of the value: a nudge up, then up to the sampler's grid.
    Variance::at_least((target / f64::from(honest_at_least)).next_up())
}

/// A sampler of Skellam noise.
#[derive(Clone)]
pub struct Skellam {
    variance: Variance,
    poisson: PoissonTable,
}

impl Skellam {
    /// The sampler of a variance.
    ///
    /// # Errors
    /// None for a [`Variance`] made by this module.
    pub fn new(variance: Variance) -> Result<Self, VarianceError> {
        let refused = VarianceError::NotPositive { got: variance.value() };
        Ok(Self { variance, poisson: PoissonTable::new(variance.rate).ok_or(refused)? })
    }

    /// The variance of each entry's noise.
    #[must_use]
    pub fn variance(&self) -> Variance {
        self.variance
    }

    /// One number.
    #[inline]
    pub fn sample(&self, rng: &mut NoiseRng) -> i64 {
        let plus = self.poisson.sample(rng);
        let minus = self.poisson.sample(rng);
        plus as i64 - minus as i64
    }

    /// Adds fresh noise to each entry of `to`, `[entries]`, i64 units.
    pub fn add(&self, rng: &mut NoiseRng, to: &mut [i64]) {
        for entry in to {
            *entry = entry.wrapping_add(self.sample(rng));
        }
    }

    /// log2 of the statistical distance of one Poisson draw from Poisson(λ), at most.
    #[must_use]
    pub fn distance_log2(&self) -> f64 {
        self.poisson.distance_log2()
    }

    /// log2 of the distance of a whole sum's noise from Skellam noise, at most: two draws per entry and participant.
    /// This is the `distance_log2` of [`Event::Skellam`](crate::Event::Skellam).
    #[must_use]
    pub fn release_distance_log2(&self, participants: u16, entries: usize) -> f64 {
        self.distance_log2() + libm::log2(2.0 * f64::from(participants) * entries as f64)
    }
}

#[cfg(test)]
mod tests;
