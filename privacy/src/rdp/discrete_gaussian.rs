//! Discrete Gaussian noise on vectors of integers (Canonne, Kamath, Steinke 2020, Thm 14).

/// ε(α) = αΔ₂²/(2σ²), as for continuous noise of the same σ, in any number of dimensions.
#[must_use]
pub fn discrete_gaussian(order: u32, sigma2: f64, l2: f64) -> f64 {
    f64::from(order) * l2 * l2 / (2.0 * sigma2)
}
