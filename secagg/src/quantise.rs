//! Real values as integers, in plain mode (section 8, "Vector").
//!
//! An entry is round-half-even(w·clamp(v·scale)) in f64 with the clamp to ±(2^(b−1) − 1): products of 20 and 31 bits are
//! exact there, so the same values give the same integers on every machine.

use crate::masks::Lanes;

/// The most that a participant's weight can be, whatever the configuration says (field 11).
pub const MOST_WEIGHT: u32 = 1 << 20;

/// Which integers values become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    value_bits: u8,
    scale: f64,
}

/// Values, or settings, that cannot be quantised.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum QuantiseError {
    /// Value bits outside 2 to 32.
    #[error("expected 2 to 32 value bits, got {got}")]
    ValueBits {
        /// What was set.
        got: u8,
    },
    /// A scale that is no positive number.
    #[error("expected a finite scale above 0, got {got}")]
    Scale {
        /// What was set.
        got: f64,
    },
    /// A weight of 0 or above the cap.
    #[error("expected a weight of 1 to {MOST_WEIGHT}, got {got}")]
    Weight {
        /// The weight.
        got: u32,
    },
    /// NaN or an infinity.
    #[error("expected a finite value at entry {entry}, got {got}")]
    NotFinite {
        /// The first such entry, from 0.
        entry: usize,
        /// Its value.
        got: f32,
    },
    /// As many values as entries are needed.
    #[error("expected {expected} values, got {got}")]
    Length {
        /// The lanes' entries.
        expected: usize,
        /// The values.
        got: usize,
    },
    /// Weighted values that do not fit into the lanes' words.
    #[error("expected lanes of 64 bits for values of {value_bits} bits with weight {weight}, got lanes of 32")]
    Lanes {
        /// b.
        value_bits: u8,
        /// w.
        weight: u32,
    },
}

impl Grid {
    /// Values of `value_bits` bits (2 to 32) and `scale` units per 1.0.
    ///
    /// # Errors
    /// Other bits, and a scale that is not finite and positive.
    pub fn new(value_bits: u8, scale: f64) -> Result<Self, QuantiseError> {
        if !(2..=32).contains(&value_bits) {
            return Err(QuantiseError::ValueBits { got: value_bits });
        }
        if !(scale.is_finite() && scale > 0.0) {
            return Err(QuantiseError::Scale { got: scale });
        }
        Ok(Self { value_bits, scale })
    }

    /// b, the bits of a value before it is weighted.
    #[must_use]
    pub const fn value_bits(self) -> u8 {
        self.value_bits
    }

    /// Units per 1.0.
    #[must_use]
    pub const fn scale(self) -> f64 {
        self.scale
    }

    /// The largest integer that a value becomes: 2^(b−1) − 1.
    #[must_use]
    pub const fn limit(self) -> i64 {
        (1 << (self.value_bits - 1)) - 1
    }

    /// One value as an integer in two's complement: finite `value`, weight within its cap.
    fn entry(self, value: f32, weight: f64) -> u64 {
        let limit = self.limit() as f64;
        rounded(weight * (f64::from(value) * self.scale).clamp(-limit, limit))
    }
}

/// 1.5·2^52: f64 near it are 1 apart, so that a sum with it is rounded to an integer, half to even, in its lowest bits. No
/// call of a library's function for each value, and vectors of them where the machine has such.
const TO_INTEGER: f64 = 6_755_399_441_055_744.0;

/// `value` rounded half to even, in two's complement. |`value`| is below 2^51: 2^20·(2^31 − 1) is the most here.
const fn rounded(value: f64) -> u64 {
    (value + TO_INTEGER).to_bits().wrapping_sub(TO_INTEGER.to_bits())
}

/// Writes `values` (f32, `[entries]`), weighted by `weight`, to `out` as integers modulo the words' size.
///
/// Finite values beyond the grid are clamped to its ends.
///
/// # Errors
/// NaN and infinities (the first entry with one is named), another number of values than of entries, a weight out of its
/// bounds, and words of 32 bits for which weight times the grid's limit is too large. Nothing is written then.
pub fn quantise(values: &[f32], weight: u32, grid: Grid, out: Lanes<'_>) -> Result<(), QuantiseError> {
    if !(1..=MOST_WEIGHT).contains(&weight) {
        return Err(QuantiseError::Weight { got: weight });
    }
    if values.len() != out.len() {
        return Err(QuantiseError::Length { expected: out.len(), got: values.len() });
    }
    // All are looked at, without a branch for each.
    if values.iter().fold(false, |bad, value| bad | !value.is_finite())
        && let Some(entry) = values.iter().position(|value| !value.is_finite())
    {
        return Err(QuantiseError::NotFinite { entry, got: values[entry] });
    }
    let factor = f64::from(weight);
    match out {
        Lanes::Narrow(_) if i64::from(weight) * grid.limit() > i64::from(i32::MAX) => {
            return Err(QuantiseError::Lanes { value_bits: grid.value_bits, weight });
        }
        Lanes::Narrow(words) => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = grid.entry(*value, factor) as u32;
            }
        }
        Lanes::Wide(words) => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = grid.entry(*value, factor);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
