//! Skellam noise on vectors of integers (Agarwal, Kairouz, Liu 2021, the bound in many dimensions).

use crate::rounding::IntegerBounds;

/// ε(α) = αΔ₂²/(2μ) + min{ ((2α − 1)Δ₂² + 6Δ₁)/(4μ²), 3Δ₁/(2μ) }, for integers α > 1 and noise of variance μ.
///
/// The first term is the Gaussian's of the same variance; the rest fades as μ grows.
#[must_use]
pub fn skellam(order: u32, variance: f64, bounds: &IntegerBounds) -> f64 {
    let (alpha, squared) = (f64::from(order), bounds.l2 * bounds.l2);
    let gaussian = alpha * squared / (2.0 * variance);
    let much_noise = ((2.0 * alpha - 1.0) * squared + 6.0 * bounds.l1) / (4.0 * variance * variance);
    let little_noise = 3.0 * bounds.l1 / (2.0 * variance);
    gaussian + much_noise.min(little_noise)
}

#[cfg(test)]
mod tests;
