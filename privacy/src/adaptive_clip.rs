//! A clipping norm that follows a quantile of the updates' norms (Andrew et al. 2021).
//!
//! Each participant adds the bit "my norm ≤ c" as one more masked entry, with Skellam noise of its own. The noisy count is
//! a release with Δ = 1 and is charged as one more event: [`bit_event`].

use crate::accountant::Event;
use crate::error::ClipRuleError;
use crate::rounding::IntegerBounds;

/// How the clipping norm follows the quantile.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ClipRule {
    /// γ_q in 0 to 1: which part of the updates should be within the norm.
    pub quantile: f64,
    /// η_c above 0: the step, 0.2 in the paper.
    pub rate: f64,
}

/// c·exp(−η_c(b̄ − γ_q)), where b̄ is the noisy count over `survivors`, kept within 0 to 1 so that noise alone moves the
/// norm by no more than the bits could.
///
/// # Errors
/// Names the number that is out of range.
pub fn next_clip(clip: f64, rule: &ClipRule, noisy_count: i64, survivors: u32) -> Result<f64, ClipRuleError> {
    let refuse = |name, expected, got| Err(ClipRuleError { name, expected, got });
    if !(clip.is_finite() && clip > 0.0) {
        return refuse("a clipping norm", "above 0 and finite", clip);
    }
    if !(0.0..=1.0).contains(&rule.quantile) {
        return refuse("a quantile", "of 0 to 1", rule.quantile);
    }
    if !(rule.rate.is_finite() && rule.rate > 0.0) {
        return refuse("a rate", "above 0 and finite", rule.rate);
    }
    if survivors == 0 {
        return refuse("survivors", "of at least 1", 0.0);
    }
    let part = (noisy_count as f64 / f64::from(survivors)).clamp(0.0, 1.0);
    let next = clip * libm::exp(-rule.rate * (part - rule.quantile));
    if next.is_finite() && next > 0.0 { Ok(next) } else { refuse("a next norm", "above 0 and finite", next) }
}

/// The release of one noisy count of bits, `variance` = μ_b of the honest noise in it.
#[must_use]
pub fn bit_event(variance: f64, distance_log2: f64) -> Event {
    Event::Skellam { variance, bounds: IntegerBounds::BIT, distance_log2 }
}

#[cfg(test)]
mod tests;
