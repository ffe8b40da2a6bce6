//! Conditional rounding (Kairouz, Liu, Steinke 2021): from reals to integers, under bounds that always hold.
//!
//! Each entry is rounded up or down at random without bias, and all of them again until the norm is within its bound.
//! Privacy rests on the bound alone, which is checked in integers.

use crate::error::RoundingError;
use crate::random::NoiseRng;

/// β = e^(−1/2): a try fails with at most this probability.
pub const BETA: f64 = 0.606_530_659_712_633_4;

/// Tries before a participant gives up: with β as above the chance of it is below 2^−700.
pub const TRIES: u32 = 1000;

/// 2^52: beyond it an f64 has no fraction left to round.
const RANGE: f64 = 4_503_599_627_370_496.0;

/// Norms that no rounded vector exceeds, in units: the sensitivities of the sum.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct IntegerBounds {
    /// Δ₁.
    pub l1: f64,
    /// Δ₂.
    pub l2: f64,
    /// Δ∞.
    pub linf: f64,
}

impl IntegerBounds {
    /// Bounds of one counted bit: Δ = 1.
    pub const BIT: Self = Self { l1: 1.0, l2: 1.0, linf: 1.0 };

    /// Whether `v` keeps them all. Sums are taken in integers.
    #[must_use]
    pub fn hold_for(&self, v: &[i64]) -> bool {
        let mut norms = Norms::default();
        v.iter().for_each(|&x| norms.add(x));
        norms.within(self)
    }
}

/// The bounds for vectors of `entries` within `clip_units` = C before rounding, each try failing with probability at most
/// `beta` (Thm 1 and sec. 4.1 with γ = 1):
///
/// ```text
/// Δ₂² = min{ (C + √L)², C² + L/4 + √(2 ln(1/β))·(C + √L/2) },  Δ₁ = min(√L·Δ₂, Δ₂²),  Δ∞ = min(Δ₂, C + 1)
/// ```
///
/// Δ₁ ≤ Δ₂² because the vector is of integers. Bad numbers give bounds that no accountant takes.
#[must_use]
pub fn integer_bounds(clip_units: f64, entries: usize, beta: f64) -> IntegerBounds {
    let length = entries as f64;
    let always = (clip_units + length.sqrt()).powi(2);
    let slack = (-2.0 * libm::log(beta)).sqrt();
    let likely = clip_units * clip_units + length / 4.0 + slack * (clip_units + length.sqrt() / 2.0);
    let squared = always.min(likely);
    let l2 = squared.sqrt();
    IntegerBounds { l1: squared.min(length.sqrt() * l2), l2, linf: l2.min(clip_units + 1.0) }
}

/// Rounds `scale`·`v` into `out`, both `[entries]`, f32 and i64 units, so that `bounds` hold. Returns the tries it took.
///
/// # Errors
/// When the lengths differ, an entry is NaN or too large, or no try of [`TRIES`] kept the bounds. `out` is then of no use.
pub fn round_conditionally(
    v: &[f32],
    scale: f64,
    bounds: &IntegerBounds,
    rng: &mut NoiseRng,
    out: &mut [i64],
) -> Result<u32, RoundingError> {
    if v.len() != out.len() {
        return Err(RoundingError::Length { expected: v.len(), got: out.len() });
    }
    let in_units = |x: f32| f64::from(x) * scale;
    // Written so that a NaN is found as well.
    if let Some(entry) = v.iter().position(|&x| in_units(x).abs().partial_cmp(&RANGE) != Some(std::cmp::Ordering::Less))
    {
        return Err(RoundingError::OutOfRange { entry, got: in_units(v[entry]) });
    }
    for tries in 1..=TRIES {
        let mut norms = Norms::default();
        for (&x, rounded) in v.iter().zip(out.iter_mut()) {
            *rounded = round_once(in_units(x), rng);
            norms.add(*rounded);
        }
        if norms.within(bounds) {
            return Ok(tries);
        }
    }
    Err(RoundingError::GaveUp { tries: TRIES, l2_bound: bounds.l2 })
}

/// Up with the probability of the fraction, to 2^−53; else down.
#[inline]
fn round_once(x: f64, rng: &mut NoiseRng) -> i64 {
    let down = x.floor();
    let threshold = ((x - down) * (1_u64 << 53) as f64) as u64;
    down as i64 + i64::from(rng.next_u64() >> 11 < threshold)
}

/// Exact norms of a vector of integers.
#[derive(Default)]
struct Norms {
    sum: u128,
    squares: u128,
    greatest: u64,
}

impl Norms {
    #[inline]
    fn add(&mut self, x: i64) {
        let size = x.unsigned_abs();
        self.sum += u128::from(size);
        self.squares = self.squares.saturating_add(u128::from(size) * u128::from(size));
        self.greatest = self.greatest.max(size);
    }

    fn within(&self, bounds: &IntegerBounds) -> bool {
        // A cast to integers rounds down, turns what is below 0 or NaN into 0, and so only makes a bound stricter.
        self.squares <= (bounds.l2 * bounds.l2) as u128
            && self.sum <= bounds.l1 as u128
            && self.greatest <= bounds.linf as u64
    }
}

#[cfg(test)]
mod tests;
