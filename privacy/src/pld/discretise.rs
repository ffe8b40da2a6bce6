//! One release's losses on a grid, by connecting the dots (Doroshenko et al. 2022).
//!
//! The mass of a loss between two grid points is split between them so that its mass under P and under Q both stay. Then
//! δ(ε) is exact at grid points and lies above the curve, which is convex in e^ε, between them. Of a loss u above the lower
//! of two points h apart, the upper one gets the part
//!
//! ```text
//! (1 − e^(−u)) / (1 − e^(−h))
//! ```

use super::{LossDistribution, tail_quantile};
use crate::accountant::Event;
use crate::error::EventError;

/// A release with one worst pair in one dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Loss {
    /// N(0, 1) against N(1/z, 1).
    Gaussian { noise_multiplier: f64 },
    /// Discrete Gaussians Δ apart.
    DiscreteGaussian { sigma2: f64, sensitivity: f64 },
}

/// Beyond these noise multipliers (and the discrete Gaussian's likes) losses are not numbers that f64 tells apart.
const MULTIPLIERS: std::ops::RangeInclusive<f64> = 1e-4..=1e9;

/// A discrete Gaussian of more than 2^20 units would have twenty million losses.
const MAX_SIGMA2: f64 = (1_u64 << 40) as f64;

impl Loss {
    /// The loss of a simple event.
    pub(super) fn of(event: &Event) -> Result<Self, EventError> {
        let loss = match *event {
            Event::Gaussian { noise_multiplier } => Self::Gaussian { noise_multiplier },
            Event::DiscreteGaussianScalar { sigma2, sensitivity } => {
                in_range("σ²", sigma2, 0.0..=MAX_SIGMA2, "of at most 2^40")?;
                Self::DiscreteGaussian { sigma2, sensitivity: f64::from(sensitivity) }
            }
            _ => {
                return Err(EventError::Unsupported {
                    accountant: "PLD",
                    event: event.kind(),
                    reason: "noise that is not round has no worst pair in one dimension",
                });
            }
        };
        let multiplier = loss.variance().sqrt().recip();
        if multiplier.is_finite() {
            in_range("the noise multiplier", multiplier, MULTIPLIERS, "of 1e-4 to 1e9")?;
        }
        Ok(loss)
    }

    /// The variance of the loss, (Δ/σ)²; of discrete noise about that.
    pub(super) fn variance(&self) -> f64 {
        match *self {
            Self::Gaussian { noise_multiplier } => (noise_multiplier * noise_multiplier).recip(),
            Self::DiscreteGaussian { sigma2, sensitivity } => sensitivity * sensitivity / sigma2,
        }
    }

    /// Its distribution on the grid, with at most `tail` of its mass moved to infinity.
    pub(super) fn discretise(&self, grid: f64, tail: f64) -> LossDistribution {
        match *self {
            Self::Gaussian { noise_multiplier } => gaussian(noise_multiplier, grid, tail),
            Self::DiscreteGaussian { sigma2, sensitivity } => discrete_gaussian(sigma2, sensitivity, grid, tail),
        }
    }
}

/// The loss is N(m, 1/z²) under P and N(−m, 1/z²) under Q, m = 1/(2z²).
fn gaussian(z: f64, grid: f64, tail: f64) -> LossDistribution {
    let (mean, reach) = (0.5 / (z * z), tail_quantile(tail) / z);
    let lowest = ((mean - reach) / grid).floor() as i64;
    let highest = ((mean + reach) / grid).ceil() as i64;
    let mut mass = vec![0.0; (highest - lowest) as usize + 1];
    // What lies below the grid is rounded up to its first point.
    mass[0] = normal_between(f64::NEG_INFINITY, (lowest as f64 * grid - mean) * z);
    for cell in 0..mass.len() - 1 {
        let loss = (lowest + cell as i64) as f64 * grid;
        let (all, upper) = gaussian_cell(z, mean, loss, grid);
        mass[cell] += all - upper;
        mass[cell + 1] += upper;
    }
    let infinity = normal_between((highest as f64 * grid - mean) * z, f64::INFINITY);
    LossDistribution { grid, lowest, mass, infinity }
}

/// The mass of the losses from `loss` to `loss + grid`, and the part of it that goes to the upper point.
fn gaussian_cell(z: f64, mean: f64, loss: f64, grid: f64) -> (f64, f64) {
    let under_p = normal_between((loss - mean) * z, (loss + grid - mean) * z);
    if grid * z > NARROW {
        // From both masses: upper + lower = P, upper·e^(−h) + lower = Q·e^loss.
        let under_q = normal_between((loss + mean) * z, (loss + grid + mean) * z);
        let upper = (under_p - under_q * loss.exp()) / -(-grid).exp_m1();
        return (under_p, upper.clamp(0.0, under_p));
    }
    // The difference above would cancel. The density bends little within the cell: Gauss-Legendre with four points.
    let (mut all, mut upper) = (0.0, 0.0);
    for (place, weight) in QUADRATURE {
        let u = place * grid;
        let x = (loss + u - mean) * z;
        let x_start = (loss - mean) * z;
        let density = weight * (-(x - x_start) * (x + x_start) / 2.0).exp();
        all += density;
        upper += density * upper_part(u, grid);
    }
    (under_p, under_p * upper / all)
}

/// Cells of at most this many standard deviations of the loss are integrated by quadrature, to some 10^−12.
const NARROW: f64 = 1.0 / 16.0;

/// Places in [0, 1] and weights of the Gauss-Legendre rule with four points.
const QUADRATURE: [(f64, f64); 4] = [
    (0.069_431_844_202_973_71, 0.173_927_422_568_726_93),
    (0.330_009_478_207_571_87, 0.326_072_577_431_273_07),
    (0.669_990_521_792_428_1, 0.326_072_577_431_273_07),
    (0.930_568_155_797_026_3, 0.173_927_422_568_726_93),
];

/// P ∝ e^(−x²/2σ²) on the integers, Q the same around Δ: the loss at x is (Δ² − 2Δx)/(2σ²).
fn discrete_gaussian(sigma2: f64, sensitivity: f64, grid: f64, tail: f64) -> LossDistribution {
    let reach = (tail_quantile(tail) * sigma2.sqrt()).ceil() + 1.0;
    let weight = |x: f64| (-x * x / (2.0 * sigma2)).exp();
    let loss = |x: f64| sensitivity * (sensitivity - 2.0 * x) / (2.0 * sigma2);
    let numbers = || (-(reach as i64)..=reach as i64).map(|x| x as f64);
    let lowest = (loss(reach) / grid).floor() as i64;
    let highest = (loss(-reach) / grid).floor() as i64 + 1;
    let mut mass = vec![0.0; (highest - lowest) as usize + 1];
    // Two tails, each below `weight(reach)`·(1 + σ√(π/2)): both at infinity, pessimistic.
    let tails = 2.0 * weight(reach) * (1.0 + (sigma2 * std::f64::consts::FRAC_PI_2).sqrt());
    let total = numbers().map(weight).sum::<f64>() + tails;
    for x in numbers() {
        let point = (loss(x) / grid).floor();
        let upper = upper_part((loss(x) - point * grid).clamp(0.0, grid), grid);
        let entry = (point as i64 - lowest) as usize;
        mass[entry] += weight(x) / total * (1.0 - upper);
        mass[entry + 1] += weight(x) / total * upper;
    }
    LossDistribution { grid, lowest, mass, infinity: tails / total }
}

/// The part of a loss `u` above a grid point that goes to the next point.
fn upper_part(u: f64, grid: f64) -> f64 {
    (-u).exp_m1() / (-grid).exp_m1()
}

/// P[a < N(0, 1) < b], from the side where the tails are small.
fn normal_between(a: f64, b: f64) -> f64 {
    let below = |x: f64| libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) / 2.0;
    if a > 0.0 { below(-a) - below(-b) } else { below(b) - below(a) }
}

fn in_range(
    name: &'static str,
    got: f64,
    range: std::ops::RangeInclusive<f64>,
    expected: &'static str,
) -> Result<(), EventError> {
    if range.contains(&got) { Ok(()) } else { Err(EventError::OutOfRange { name, expected, got }) }
}

#[cfg(test)]
mod tests;
