//! The least noise for a budget: the variance at which all releases together cost no more than (ε, δ).

use crate::accountant::{Accountant, Event, check_delta};
use crate::error::CalibrationError;
use crate::rdp::RdpAccountant;

/// What may be spent, and on how many releases.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Target {
    /// ε, above 0.
    pub epsilon: f64,
    /// δ, between 0 and 1.
    pub delta: f64,
    /// Releases with the same noise, at least 1.
    pub releases: u32,
}

/// Exponents of two between which the noise is searched: from next to nothing to more than any sampler takes.
const EXPONENTS: (f64, f64) = (-20.0, 62.0);

/// Halvings of the exponents: the answer is within 2^−24 of the least.
const HALVINGS: u32 = 30;

/// The least noise, in whatever unit `event` takes it (a variance μ or σ², a noise multiplier z), for which the Rényi
/// accountant keeps to the target. ε must not rise with the noise.
///
/// # Errors
/// When the target makes no sense, cannot be met, or the accountant refuses the event.
pub fn least_noise(target: &Target, event: impl Fn(f64) -> Event) -> Result<f64, CalibrationError> {
    check_delta(target.delta)?;
    if !(target.epsilon > 0.0 && target.epsilon.is_finite()) {
        return Err(CalibrationError::Epsilon { got: target.epsilon });
    }
    if target.releases == 0 {
        return Err(CalibrationError::NoReleases);
    }
    let cost = |exponent: f64| spent(target, &event(libm::exp2(exponent)));
    let (mut low, mut high) = EXPONENTS;
    let got = cost(high)?;
    if got > target.epsilon {
        let limit = libm::exp2(high);
        return Err(CalibrationError::OutOfReach { epsilon: target.epsilon, delta: target.delta, limit, got });
    }
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if cost(middle)? <= target.epsilon {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(libm::exp2(high))
}

/// ε of all releases.
fn spent(target: &Target, event: &Event) -> Result<f64, CalibrationError> {
    let mut accountant = RdpAccountant::new();
    accountant.compose(event, target.releases)?;
    Ok(accountant.epsilon(target.delta)?)
}

#[cfg(test)]
mod tests;
