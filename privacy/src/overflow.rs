//! How wide the ring must be so that a noisy sum fits (docs/spec/secagg.md, section 10).
//!
//! ```text
//! P[overflow] ≤ 2·L·min_{s>0} exp( s²(nC)²/(2P) + Λ(cosh s − 1) − s·(2^(B−1) − 1 − n) )
//! ```
//!
//! The first term is the rotated sum, sub-Gaussian with proxy (nC)²/P; the second the log-MGF of the whole noise; n is
//! what the roundings add at most. Any s gives a bound, so the search for the best one need not be exact. The functions
//! are libm's, the same bits on every machine: each participant checks the modulus for itself.

use crate::error::OverflowError;

/// log2 of the probability of an overflow that a round allows, in all of its sums together.
pub const OVERFLOW_LOG2: f64 = -20.0;

/// Halvings of the interval in which s is searched: more than an f64 has bits.
const HALVINGS: u32 = 80;

/// cosh of it is still finite.
const GREATEST_S: f64 = 700.0;

/// log2 of the bound on the probability that any entry of the sum leaves `bits` bits, two's complement; at most 0.
///
/// `clip_units` = C, `block` = P ([`Rotation::block`](crate::Rotation::block)), `entries` = L, `total_variance` = Λ of all
/// `n` noises together. Without a sensible number the answer is 0: certain.
#[must_use]
pub fn overflow_log2(n: u16, clip_units: f64, block: usize, entries: usize, total_variance: f64, bits: u8) -> f64 {
    let sum = Sum { n, clip_units, block, entries, total_variance };
    if sum.check().is_err() || !(2..=64).contains(&bits) {
        return 0.0;
    }
    sum.overflow_log2(bits)
}

/// The least modulus, in bits, with which this sum overflows with at most its part of [`OVERFLOW_LOG2`]: one of `sums`, so that
/// a round of as many keeps the limit. The other arguments are those of [`overflow_log2`].
///
/// # Errors
/// Names the number that makes no sense, or says that 64 bits are not enough.
pub fn least_modulus_bits(
    n: u16,
    clip_units: f64,
    block: usize,
    entries: usize,
    total_variance: f64,
    sums: u32,
) -> Result<u8, OverflowError> {
    let sum = Sum { n, clip_units, block, entries, total_variance };
    sum.check()?;
    let limit_log2 = OVERFLOW_LOG2 - libm::log2(f64::from(sums.max(1)));
    let too_wide = || OverflowError::TooWide { limit_log2, got_log2: sum.overflow_log2(64) };
    (2..=64).find(|&bits| sum.overflow_log2(bits) <= limit_log2).ok_or_else(too_wide)
}

/// What is summed.
struct Sum {
    n: u16,
    clip_units: f64,
    block: usize,
    entries: usize,
    total_variance: f64,
}

impl Sum {
    fn check(&self) -> Result<(), OverflowError> {
        let bad = |expected, got| Err(OverflowError::BadInput { expected, got });
        if self.n == 0 {
            return bad("at least 1 participant", 0.0);
        }
        if self.entries == 0 {
            return bad("at least 1 entry", 0.0);
        }
        if self.block == 0 || self.block > self.entries {
            return bad("a rotation block of 1 to L entries", self.block as f64);
        }
        if !(self.clip_units.is_finite() && self.clip_units >= 0.0) {
            return bad("a finite clipping norm of at least 0 units", self.clip_units);
        }
        if !(self.total_variance.is_finite() && self.total_variance >= 0.0) {
            return bad("a finite variance of at least 0", self.total_variance);
        }
        Ok(())
    }

    fn overflow_log2(&self, bits: u8) -> f64 {
        let room = libm::ldexp(1.0, i32::from(bits) - 1) - 1.0 - f64::from(self.n);
        if room <= 0.0 {
            return 0.0;
        }
        let proxy = (f64::from(self.n) * self.clip_units).powi(2) / self.block as f64;
        let s = self.best_s(proxy, room);
        // cosh s − 1 = 2 sinh²(s/2), without the cancellation at small s.
        let noise = 2.0 * self.total_variance * libm::sinh(s / 2.0).powi(2);
        let exponent = s * s * proxy / 2.0 + noise - s * room;
        let bound = 1.0 + libm::log2(self.entries as f64) + exponent / std::f64::consts::LN_2;
        bound.min(0.0)
    }

    /// Where the exponent's derivative s·proxy + Λ sinh s − room, which rises with s, is 0.
    fn best_s(&self, proxy: f64, room: f64) -> f64 {
        let (mut low, mut high) = (0.0, GREATEST_S);
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            if middle * proxy + self.total_variance * libm::sinh(middle) < room {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests;
