//! Secret sharing over the integers modulo ℓ (section 7.1; Shamir, *How to share a secret*, 1979).
//!
//! A secret is the constant term of a polynomial of degree t − 1. The share of member `j` is its value at x = j + 1. Any t
//! shares give the secret back as Σ y_j·λ_j with λ_j = Π_{l≠j} x_l/(x_l − x_j); fewer say nothing about it.

use std::collections::{BTreeSet, HashMap};

use crate::group::Scalar;
use crate::identity::Member;

/// Sets of holders whose factors a [`LagrangeCache`] keeps. In a complete graph nearly all dealers have the same first t
/// holders; in a ring each has its own, and keeping more would only take memory (32 bytes × t each).
const MOST_SETS: usize = 64;

/// Words of a product that is reduced modulo ℓ: 512 bits, as wide as a reduction takes.
const PRODUCT_WORDS: usize = 8;

/// Shares from which no secret can be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError {
    /// There are none.
    #[error("expected at least one share, got none")]
    NoShares,
    /// Two shares of one holder.
    #[error("expected one share of each holder, got two of member {}", holder.0)]
    Twice {
        /// The holder.
        holder: Member,
    },
}

/// The shares of `secret` for `holders`, in their order. `coefficients` are those of index 1 to t − 1, `[t − 1]`.
///
/// In constant time in secret and coefficients (Horner's rule).
#[must_use]
pub fn split(secret: &Scalar, coefficients: &[Scalar], holders: &[Member]) -> Vec<Scalar> {
    let share = |holder: &Member| {
        let x = Scalar::from(point(*holder));
        let rest = coefficients.iter().rev().fold(Scalar::ZERO, |sum, coefficient| (sum + coefficient) * x);
        rest + secret
    };
    holders.iter().map(share).collect()
}

/// The secret of which `shares` are exactly t shares by distinct holders.
///
/// Shares of another polynomial, or too few, give another scalar: the caller compares what it gets with the signed key or
/// commitment.
///
/// # Errors
/// No shares, or two of one holder.
pub fn rebuild(shares: &[(Member, Scalar)]) -> Result<Scalar, RebuildError> {
    LagrangeCache::default().rebuild(shares)
}

/// Lagrange's factors of the sets of holders seen last.
#[derive(Debug, Default)]
pub struct LagrangeCache {
    factors: HashMap<Vec<Member>, Vec<Scalar>>,
}

impl LagrangeCache {
    /// λ of each of `holders`, in their order. `[holders]`
    ///
    /// # Errors
    /// No holders, or one twice.
    pub fn at_zero(&mut self, holders: &[Member]) -> Result<&[Scalar], RebuildError> {
        if !self.factors.contains_key(holders) {
            let factors = factors_at_zero(holders)?;
            if self.factors.len() >= MOST_SETS {
                self.factors.clear();
            }
            self.factors.insert(holders.to_vec(), factors);
        }
        self.factors.get(holders).map(Vec::as_slice).ok_or(RebuildError::NoShares)
    }

    /// [`rebuild`] with factors from the cache.
    ///
    /// # Errors
    /// As [`rebuild`].
    pub fn rebuild(&mut self, shares: &[(Member, Scalar)]) -> Result<Scalar, RebuildError> {
        let holders: Vec<Member> = shares.iter().map(|(holder, _)| *holder).collect();
        let factors = self.at_zero(&holders)?;
        Ok(shares.iter().zip(factors).map(|((_, share), factor)| share * factor).sum())
    }
}

/// λ_j = Π_{l≠j} x_l/(x_l − x_j) of each holder. Holders are public, so nothing here is in constant time.
fn factors_at_zero(holders: &[Member]) -> Result<Vec<Scalar>, RebuildError> {
    if holders.is_empty() {
        return Err(RebuildError::NoShares);
    }
    let mut seen = BTreeSet::new();
    if let Some(holder) = holders.iter().find(|holder| !seen.insert(**holder)) {
        return Err(RebuildError::Twice { holder: *holder });
    }
    let others = |j: Member| holders.iter().filter(move |l| **l != j);
    // x_j stands in the denominator so that the numerator is the product over all.
    let denominator = |&j: &Member| {
        let differences = others(j).map(|l| point(*l).abs_diff(point(j)));
        let size = product(differences.chain([point(j)]));
        if others(j).filter(|l| **l < j).count() % 2 == 0 { size } else { -size }
    };
    // None is zero: holders are distinct and no x is 0.
    let mut inverses: Vec<Scalar> = holders.iter().map(denominator).collect();
    Scalar::invert_batch_alloc(&mut inverses);
    let numerator = product(holders.iter().map(|l| point(*l)));
    Ok(inverses.iter().map(|inverse| numerator * inverse).collect())
}

/// The product modulo ℓ of `numbers` above 0: points of distinct holders, or their differences. They are multiplied as
/// integers for as long as they fit, first into words and then into 512 bits, so that there is one reduction for 28 of the
/// largest and for more of those of a small cohort.
fn product(numbers: impl Iterator<Item = u64>) -> Scalar {
    let (mut reduced, mut words, mut filled) = (None, [0; PRODUCT_WORDS], 0);
    let mut word = 1_u64;
    for number in numbers {
        if let Some(larger) = word.checked_mul(number) {
            word = larger;
            continue;
        }
        words[filled] = std::mem::replace(&mut word, number);
        filled += 1;
        // One place is left for the last word.
        if filled == PRODUCT_WORDS - 1 {
            reduced = Some(times_reduced(reduced, &words[..filled]));
            filled = 0;
        }
    }
    words[filled] = word;
    times_reduced(reduced, &words[..=filled])
}

/// `reduced`, if there is one, times all `words`.
fn times_reduced(reduced: Option<Scalar>, words: &[u64]) -> Scalar {
    let product = wide_product(words);
    reduced.map_or(product, |reduced| reduced * product)
}

/// The product modulo ℓ of at most [`PRODUCT_WORDS`] words.
fn wide_product(words: &[u64]) -> Scalar {
    let mut product = [0_u64; PRODUCT_WORDS];
    product[0] = 1;
    words.iter().enumerate().for_each(|(words_so_far, factor)| times(&mut product[..=words_so_far], *factor));
    let mut bytes = [0; 8 * PRODUCT_WORDS];
    bytes.as_chunks_mut().0.iter_mut().zip(product).for_each(|(bytes, word)| *bytes = word.to_le_bytes());
    Scalar::from_bytes_mod_order_wide(&bytes)
}

/// `number`·`factor`; it has the room.
fn times(number: &mut [u64], factor: u64) {
    let mut carry = 0_u128;
    for word in number {
        carry += u128::from(*word) * u128::from(factor);
        *word = carry as u64;
        carry >>= 64;
    }
}

/// x of `holder`: never 0, where the secret is.
fn point(holder: Member) -> u64 {
    u64::from(holder.0) + 1
}

#[cfg(test)]
mod tests;
