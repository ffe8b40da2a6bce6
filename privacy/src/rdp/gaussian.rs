//! Gaussian noise (Mironov 2017, Prop. 7).

/// ε(α) = α/(2z²) for noise of standard deviation z·Δ₂.
#[must_use]
pub fn gaussian(order: u32, noise_multiplier: f64) -> f64 {
    f64::from(order) / (2.0 * noise_multiplier * noise_multiplier)
}
