//! The discrete Gaussian, sampled exactly (Canonne, Kamath, Steinke 2020, algorithms 1-3): P(x) ∝ e^(−x²/2σ²) on the
//! integers, with σ² rational, by integers alone.

use crate::error::VarianceError;
use crate::random::NoiseRng;

/// σ² as a fraction in lowest terms.
///
/// The limits keep every product of the sampler within 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rational {
    numerator: u64,
    denominator: u64,
}

impl Rational {
    /// The greatest σ²: 2^40, σ of a million units.
    pub const MAX: u64 = 1 << 40;

    /// The greatest denominator.
    pub const MAX_DENOMINATOR: u64 = 1 << 10;

    /// `numerator / denominator`.
    ///
    /// # Errors
    /// When it is zero or beyond the limits.
    pub fn new(numerator: u64, denominator: u64) -> Result<Self, VarianceError> {
        if denominator == 0 || denominator > Self::MAX_DENOMINATOR {
            return Err(VarianceError::Denominator { limit: Self::MAX_DENOMINATOR, got: denominator });
        }
        if numerator == 0 {
            return Err(VarianceError::NotPositive { got: 0.0 });
        }
        let value = numerator as f64 / denominator as f64;
        if numerator > Self::MAX * denominator {
            return Err(VarianceError::TooLarge { limit: Self::MAX as f64, got: value });
        }
        let divisor = greatest_common_divisor(numerator, denominator);
        Ok(Self { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// The least multiple of 1/1024 that is at least `wanted`.
    ///
    /// # Errors
    /// When `wanted` is not above 0, or beyond [`Self::MAX`].
    pub fn at_least(wanted: f64) -> Result<Self, VarianceError> {
        if !(wanted.is_finite() && wanted > 0.0) {
            return Err(VarianceError::NotPositive { got: wanted });
        }
        if wanted > Self::MAX as f64 {
            return Err(VarianceError::TooLarge { limit: Self::MAX as f64, got: wanted });
        }
        Self::new((wanted * Self::MAX_DENOMINATOR as f64).ceil() as u64, Self::MAX_DENOMINATOR)
    }

    /// As the nearest f64.
    #[must_use]
    pub fn value(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

/// A sampler of discrete Gaussian noise.
#[derive(Debug, Clone, Copy)]
pub struct DiscreteGaussian {
    sigma2: Rational,
    /// t = ⌊σ⌋ + 1, the scale of the Laplace numbers that are thinned out.
    laplace_scale: u64,
}

impl DiscreteGaussian {
    /// The sampler of a σ².
    #[must_use]
    pub fn new(sigma2: Rational) -> Self {
        Self { sigma2, laplace_scale: (sigma2.numerator / sigma2.denominator).isqrt() + 1 }
    }

    /// σ².
    #[must_use]
    pub fn sigma2(&self) -> Rational {
        self.sigma2
    }

    /// One number (algorithm 3): a discrete Laplace Y of scale t, kept with probability e^(−(|Y| − σ²/t)²/2σ²).
    pub fn sample(&self, rng: &mut NoiseRng) -> i64 {
        loop {
            let y = discrete_laplace(self.laplace_scale, rng);
            if self.keeps(y.unsigned_abs(), rng) {
                return y;
            }
        }
    }

    /// Adds fresh noise to each entry of `to`, `[entries]`, i64 units.
    pub fn add(&self, rng: &mut NoiseRng, to: &mut [i64]) {
        for entry in to {
            *entry = entry.wrapping_add(self.sample(rng));
        }
    }

    /// Bernoulli(e^(−γ)) for γ = (y − σ²/t)²/2σ². With σ² = p/q this is γ = (y·t·q − p)² / (2·p·q·t²).
    ///
    /// y·t·q ≤ 64·t²·q < 2^58·t/⌊σ⌋: its square and the denominator fit 128 bits.
    fn keeps(&self, y: u64, rng: &mut NoiseRng) -> bool {
        let (p, q, t) = (u128::from(self.sigma2.numerator), u128::from(self.sigma2.denominator), self.laplace_scale);
        // Such a Y comes with probability e^−64 and would be kept with one below e^−1900.
        if y > 64 * t {
            return false;
        }
        let t = u128::from(t);
        let distance = (u128::from(y) * t * q).abs_diff(p);
        bernoulli_exp(distance * distance, 2 * p * q * t * t, rng)
    }
}

/// A discrete Laplace number of scale `t` (algorithm 2, s = 1): P(y) ∝ e^(−|y|/t).
fn discrete_laplace(t: u64, rng: &mut NoiseRng) -> i64 {
    loop {
        let low = rng.below(u128::from(t)) as u64;
        if !bernoulli_exp_up_to_one(u128::from(low), u128::from(t), rng) {
            continue;
        }
        let mut high = 0;
        while bernoulli_exp_up_to_one(1, 1, rng) {
            high += 1;
        }
        let size = (low + t * high) as i64;
        let negative = rng.next_u64() & 1 == 1;
        // Zero has one sign only, or it would come twice as often as it should.
        if !(negative && size == 0) {
            return if negative { -size } else { size };
        }
    }
}

/// Bernoulli(e^(−a/b)) (algorithm 1): whole units of the exponent one by one, then the rest.
fn bernoulli_exp(a: u128, b: u128, rng: &mut NoiseRng) -> bool {
    (0..a / b).all(|_| bernoulli_exp_up_to_one(1, 1, rng)) && bernoulli_exp_up_to_one(a % b, b, rng)
}

/// Bernoulli(e^(−a/b)) for a ≤ b: draw A_k ~ Bernoulli(a/(b·k)) until one fails; true if that is an odd k. A_k is the
/// product of Bernoulli(a/b) and Bernoulli(1/k), so that nothing overflows.
fn bernoulli_exp_up_to_one(a: u128, b: u128, rng: &mut NoiseRng) -> bool {
    let mut k = 1;
    while rng.bernoulli(a, b) && rng.bernoulli(1, k) {
        k += 1;
    }
    k % 2 == 1
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests;
