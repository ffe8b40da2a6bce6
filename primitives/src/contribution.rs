//! The contribution rule: a sum of gated expert outputs that has the same bytes under any grouping.
//!
//! Each `gate × output` is rounded once to f32 (a *contribution*), converted to 64-bit fixed point with
//! [`FRACTION_BITS`] fraction bits, and added as an integer. Integer addition is associative and commutative, so the
//! sum does not depend on which worker held which expert, on the order of the answers, or on a failover. A row with
//! one expert may travel as f32: its receiver makes the same conversion.

use crate::hash::Hash;
use crate::rows::Rows;

/// Fraction bits of the fixed-point sum. 2^-40 is far below f32's step at the size of hidden states; with 41 the
/// range would halve to ±2^22.
pub const FRACTION_BITS: i32 = 40;

/// Contributions of this size or more, 2^23, are refused: 2^23 × 2^40 fills an i64.
pub const RANGE: f32 = 8_388_608.0;

const SCALE: f64 = (1_u64 << FRACTION_BITS) as f64;

/// A contribution or a sum that the rule cannot represent.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ContributionError {
    /// NaN, infinite, or at least 2^23 in size.
    #[error("a contribution of {value} lies outside ±2^23")]
    OutOfRange {
        /// The contribution.
        value: f32,
    },
    /// The integer sum left 64 bits.
    #[error("the sum of the contributions leaves ±2^23")]
    Overflow,
    /// Rows of different widths or counts were added.
    #[error("expected {expected} values, got {got}")]
    Shape {
        /// Values the sum holds.
        expected: usize,
        /// Values that came.
        got: usize,
    },
}

/// `value` in fixed point, rounded to nearest, ties to even.
///
/// # Errors
/// When `value` is NaN or at least 2^23 in size.
pub fn to_fixed(value: f32) -> Result<i64, ContributionError> {
    if value.abs() < RANGE {
        Ok((f64::from(value) * SCALE).round_ties_even() as i64)
    } else {
        Err(ContributionError::OutOfRange { value })
    }
}

/// `sum` as the nearest f32, ties to even.
#[must_use]
pub fn from_fixed(sum: i64) -> f32 {
    sum as f32 * (1.0 / SCALE) as f32
}

/// What a worker commits to beside a sum: BLAKE3 of one contribution (`values`: `[width]`, f32, four bytes each,
/// little-endian). Contributions are exact, so two honest workers give equal digests whatever else they were asked.
#[must_use]
pub fn digest(values: &[f32]) -> Hash {
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), [0; DIGEST_STRETCH]);
    for stretch in values.chunks(DIGEST_STRETCH / size_of::<f32>()) {
        let bytes = &mut bytes[..size_of_val(stretch)];
        for (bytes, value) in bytes.chunks_exact_mut(size_of::<f32>()).zip(stretch) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        hasher.update(bytes);
    }
    Hash(*hasher.finalize().as_bytes())
}

/// Bytes that are hashed at once: BLAKE3 takes up to 16 pieces of 1 KiB side by side.
const DIGEST_STRETCH: usize = 16 << 10;

/// One row's sum as it travels: f32 when a single expert contributed, fixed point otherwise. `[d_model]`.
#[derive(Debug, Clone, PartialEq)]
pub enum RowSum {
    /// The one contribution.
    One(Vec<f32>),
    /// The fixed-point sum of several.
    Many(Vec<i64>),
}

/// Fixed-point sums of all rows of a call. `[rows, width]`, i64 with [`FRACTION_BITS`] fraction bits.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedSum {
    width: usize,
    values: Vec<i64>,
}

impl FixedSum {
    /// `rows` rows of `width` zeros.
    #[must_use]
    pub fn zeros(rows: usize, width: usize) -> Self {
        Self { width, values: vec![0; rows * width] }
    }

    /// Adds one contribution (`[width]`, f32) to row `row`.
    ///
    /// # Errors
    /// When a value is out of range, the sum overflows, or the width differs. The row is then unusable.
    pub fn add_contribution(&mut self, row: usize, contribution: &[f32]) -> Result<(), ContributionError> {
        let sums = self.row_checked(row, contribution.len())?;
        for (sum, &value) in sums.iter_mut().zip(contribution) {
            *sum = sum.checked_add(to_fixed(value)?).ok_or(ContributionError::Overflow)?;
        }
        Ok(())
    }

    /// Adds a row's partial sum, as a worker sent it, to row `row`.
    ///
    /// # Errors
    /// As [`Self::add_contribution`].
    pub fn add(&mut self, row: usize, partial: &RowSum) -> Result<(), ContributionError> {
        let partial = match partial {
            RowSum::One(contribution) => return self.add_contribution(row, contribution),
            RowSum::Many(partial) => partial,
        };
        let sums = self.row_checked(row, partial.len())?;
        for (sum, &value) in sums.iter_mut().zip(partial) {
            *sum = sum.checked_add(value).ok_or(ContributionError::Overflow)?;
        }
        Ok(())
    }

    /// Row `row` (`[width]`, fixed point).
    #[must_use]
    pub fn row(&self, row: usize) -> &[i64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    /// The sums as f32 rows.
    #[must_use]
    pub fn to_rows(&self) -> Rows {
        Rows::new(self.width, self.values.iter().map(|&sum| from_fixed(sum)).collect())
    }

    fn row_checked(&mut self, row: usize, got: usize) -> Result<&mut [i64], ContributionError> {
        if got != self.width {
            return Err(ContributionError::Shape { expected: self.width, got });
        }
        Ok(&mut self.values[row * self.width..(row + 1) * self.width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_grouping_gives_the_same_bytes() -> Result<(), ContributionError> {
        let parts: Vec<Vec<f32>> = (0..7).map(|i| vec![1e-7 * i as f32, -3.7e5 / (i + 1) as f32, 0.1]).collect();
        let mut one_by_one = FixedSum::zeros(1, 3);
        for part in &parts {
            one_by_one.add_contribution(0, part)?;
        }
        let mut grouped = FixedSum::zeros(1, 3);
        for group in parts.rchunks(3) {
            let mut partial = FixedSum::zeros(1, 3);
            for part in group {
                partial.add_contribution(0, part)?;
            }
            grouped.add(0, &RowSum::Many(partial.row(0).to_vec()))?;
        }
        assert_eq!(one_by_one, grouped);
        Ok(())
    }

    #[test]
    fn what_cannot_be_represented_is_an_error() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, RANGE, -RANGE] {
            assert!(to_fixed(value).is_err(), "{value}");
        }
        assert_eq!(to_fixed(-1.5), Ok(-(3 << (FRACTION_BITS - 1))));
        let mut sum = FixedSum::zeros(1, 1);
        assert_eq!(sum.add(0, &RowSum::Many(vec![i64::MAX])), Ok(()));
        assert_eq!(sum.add(0, &RowSum::Many(vec![1])), Err(ContributionError::Overflow));
        assert_eq!(sum.add(0, &RowSum::Many(vec![1, 2])), Err(ContributionError::Shape { expected: 1, got: 2 }));
    }

    #[test]
    fn a_digest_is_the_hash_of_the_little_endian_bytes() {
        for width in [1, 32, 4095, 4096, 4097, 9000] {
            let values: Vec<f32> = (0..width).map(|i| i as f32 * -0.37).collect();
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            assert_eq!(digest(&values), Hash::of(&bytes), "{width}");
        }
        assert_ne!(digest(&[0.0]), digest(&[-0.0]), "bits are compared, not values");
    }

    #[test]
    fn a_lone_contribution_survives_the_way_through_fixed_point() -> Result<(), ContributionError> {
        for value in [0.0, 1.0, -0.333_333_34, 12_345.678, 8_388_607.5] {
            assert_eq!(from_fixed(to_fixed(value)?), value);
        }
        Ok(())
    }
}
