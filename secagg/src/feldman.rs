//! Feldman's commitments: shares that can be checked when they arrive (section 7.4; Feldman, FOCS 1987).
//!
//! The dealer publishes `A_l = a_l·G` for the coefficients of both polynomials. A share `y` of the holder at `x` is right
//! if `y·G = Σ A_l·x^l`. `A_0` of the first polynomial is the mask key's point, which is signed already and not sent.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::traits::Identity;
use neuro_primitives::Hash;

use crate::group::{Point, PointError, Scalar};
use crate::identity::Member;
use crate::seal::SharePair;
use crate::share_tree::ShareKind;

/// A dealer's commitments to both polynomials, as they are sent: `A_1 … A_{t−1}` of the first, `A_0 … A_{t−1}` of the
/// second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitments {
    /// `[t − 1]`
    mask_key: Vec<Point>,
    /// `[t]`
    self_mask: Vec<Point>,
}

/// Commitments that cannot be, or a share that does not fit them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeldmanError {
    /// Another number of points than the threshold asks for.
    #[error("expected {expected} commitments, got {got}")]
    Count {
        /// 2t − 1.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// Bytes that are no point.
    #[error("commitment {at}: {reason}")]
    Point {
        /// Which of them, from 0.
        at: usize,
        /// What is wrong with it.
        reason: PointError,
    },
    /// A share that is not on the polynomial.
    #[error("expected a share of the committed polynomial, got another ({kind:?})")]
    Share {
        /// Of which secret.
        kind: ShareKind,
    },
}

impl Commitments {
    /// The commitments to `mask_coefficients` (of index 1 to t − 1, `[t − 1]`) and to the polynomial with the constant term
    /// `self_mask` and `self_coefficients` (`[t − 1]`).
    #[must_use]
    pub fn new(mask_coefficients: &[Scalar], self_mask: &Scalar, self_coefficients: &[Scalar]) -> Self {
        let second = std::iter::once(self_mask).chain(self_coefficients);
        Self {
            mask_key: mask_coefficients.iter().map(Point::base_times).collect(),
            self_mask: second.map(Point::base_times).collect(),
        }
    }

    /// How many points there are for threshold `threshold`: 2t − 1.
    #[must_use]
    pub fn count(threshold: u16) -> usize {
        (2 * usize::from(threshold)).saturating_sub(1)
    }

    /// The points in the order in which they are sent. `[2t − 1]`
    #[must_use]
    pub fn encode(&self) -> Vec<[u8; 32]> {
        self.mask_key.iter().chain(&self.self_mask).map(Point::encode).collect()
    }

    /// Takes a dealer's points. `points`: `[2t − 1]`
    ///
    /// # Errors
    /// Another number of points than `threshold` asks for, the identity and non-canonical points.
    pub fn decode(threshold: u16, points: &[[u8; 32]]) -> Result<Self, FeldmanError> {
        let expected = Self::count(threshold);
        if points.len() != expected || threshold == 0 {
            return Err(FeldmanError::Count { expected, got: points.len() });
        }
        let decode = |(at, point)| Point::decode(point).map_err(|reason| FeldmanError::Point { at, reason });
        let mut mask_key = points.iter().enumerate().map(decode).collect::<Result<Vec<_>, _>>()?;
        let self_mask = mask_key.split_off(usize::from(threshold) - 1);
        Ok(Self { mask_key, self_mask })
    }

    /// The Feldman hash of the dealer's statement: BLAKE3 of the points as they are sent.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(self.encode().as_flattened())
    }

    /// Checks both `shares` that `holder` got from the dealer with the mask key's point `mask_key`.
    ///
    /// # Errors
    /// Names the kind of the share that is wrong.
    pub fn check(&self, mask_key: &Point, holder: Member, shares: &SharePair) -> Result<(), FeldmanError> {
        let check = |kind, share, polynomial: &mut dyn DoubleEndedIterator<Item = &Point>| {
            let expected = value_at(polynomial, u32::from(holder.0) + 1);
            if RistrettoPoint::mul_base(share) == expected { Ok(()) } else { Err(FeldmanError::Share { kind }) }
        };
        let mut first = std::iter::once(mask_key).chain(&self.mask_key);
        check(ShareKind::MaskKey, &shares.mask_key, &mut first)?;
        check(ShareKind::SelfMask, &shares.self_mask, &mut self.self_mask.iter())
    }
}

/// Σ A_l·x^l by Horner's rule. Points and x are public, and x is small: some 25 additions a coefficient.
fn value_at(polynomial: &mut dyn DoubleEndedIterator<Item = &Point>, x: u32) -> RistrettoPoint {
    polynomial.rev().fold(RistrettoPoint::identity(), |sum, point| times(sum, x) + point.element())
}

/// `point`·`x` by doubling and adding, in a time that depends on `x`.
fn times(point: RistrettoPoint, x: u32) -> RistrettoPoint {
    let bits = (0..u32::BITS - x.leading_zeros()).rev().map(|bit| x >> bit & 1 == 1);
    bits.fold(RistrettoPoint::identity(), |sum, set| if set { sum + sum + point } else { sum + sum })
}

#[cfg(test)]
mod tests;
