//! Loops over GF(2^64), scalar, and the choice of an instruction set.

use super::galois_set::{Level, Set};

/// The product of two polynomials over GF(2), not reduced. Takes the same time for all.
#[must_use]
pub fn product(a: u64, b: u64) -> u128 {
    #[cfg(target_arch = "x86_64")]
    if Set::current() != Set::SCALAR {
        // SAFETY: every set but the scalar one has PCLMULQDQ.
        return unsafe { super::gf64_clmul::product(a, b) };
    }
    product_scalar(a, b)
}

/// A polynomial of degree below 128 modulo x^64 + x^4 + x^3 + x + 1.
#[must_use]
#[inline]
pub const fn reduce(wide: u128) -> u64 {
    let (low, high) = (wide as u64, (wide >> 64) as u64);
    // Four bits at most are carried over x^63 a second time.
    let over = (high >> 63) ^ (high >> 61) ^ (high >> 60);
    let high = high ^ over;
    low ^ high ^ (high << 1) ^ (high << 3) ^ (high << 4)
}

/// `sum over p of left[p] · right[p]`; both `[n]`.
#[must_use]
pub fn dot(set: Set, left: &[u64], right: &[u64]) -> u64 {
    assert_eq!(left.len(), right.len(), "a factor for every factor");
    reduce(match set.level() {
        Level::Scalar => left.iter().zip(right).fold(0, |sum, (&a, &b)| sum ^ product_scalar(a, b)),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has PCLMULQDQ.
        Level::Avx2 => unsafe { super::gf64_clmul::dot(left, right) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has AVX-512 and VPCLMULQDQ.
        Level::Avx512 => unsafe { super::gf64_clmul::dot_wide(left, right) },
    })
}

/// `sums[i] += sum over g of weights[g] · rows[g][i]`, not reduced.
///
/// `sums`: `[n]`, `weights`: `[g]`, `rows`: `[g, n]`.
pub fn accumulate(set: Set, sums: &mut [u128], weights: &[u64], rows: &[u64]) {
    assert_eq!(rows.len(), sums.len() * weights.len(), "a row has a word for every sum");
    match set.level() {
        Level::Scalar => accumulate_from(0, sums, weights, rows, product_scalar),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has PCLMULQDQ.
        Level::Avx2 => unsafe { super::gf64_clmul::accumulate(0, sums, weights, rows) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has AVX-512 and VPCLMULQDQ.
        Level::Avx512 => unsafe { super::gf64_clmul::accumulate_wide(sums, weights, rows) },
    }
}

/// For each bit: the sum of the coefficients whose word has it. `coefficients`, `words`: `[n]`.
#[must_use]
pub fn combine(set: Set, coefficients: &[u64], words: &[u64]) -> [u64; 64] {
    assert_eq!(coefficients.len(), words.len(), "a coefficient for every word");
    match set.level() {
        Level::Scalar => combine_scalar(coefficients, words),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has AVX2.
        Level::Avx2 => unsafe { combine_avx2(coefficients, words) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has AVX-512.
        Level::Avx512 => unsafe { super::gf64_clmul::combine(coefficients, words) },
    }
}

/// `values[i] = values[i] · factors[i]`; both `[n]`.
pub fn multiply_each(set: Set, values: &mut [u64], factors: &[u64]) {
    match set.level() {
        Level::Scalar => {
            values.iter_mut().zip(factors).for_each(|(value, &factor)| *value = reduce(product_scalar(*value, factor)));
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has PCLMULQDQ.
        Level::Avx2 | Level::Avx512 => unsafe { super::gf64_clmul::multiply_each(values, factors) },
    }
}

/// `sums[k] = sum over c of factors[c * n] & words[c * n + k]`; `sums`: `[n]`, `words`: `[columns, n]`.
pub fn products(sums: &mut [u64], factors: &[u64], words: &[u64]) {
    let width = sums.len().max(1);
    sums.fill(0);
    for (words, factor) in words.chunks_exact(width).zip(factors.iter().step_by(width)) {
        sums.iter_mut().zip(words).for_each(|(sum, &word)| *sum ^= factor & word);
    }
}

/// Bit by bit, without a branch or a table.
pub(super) fn product_scalar(a: u64, b: u64) -> u128 {
    (0..64).fold(0, |sum, bit| {
        let mask = 0u128.wrapping_sub(u128::from((b >> bit) & 1));
        sum ^ ((u128::from(a) << bit) & mask)
    })
}

/// The sums from `first` on.
#[inline(always)]
pub(super) fn accumulate_from(
    first: usize,
    sums: &mut [u128],
    weights: &[u64],
    rows: &[u64],
    product: impl Fn(u64, u64) -> u128,
) {
    let width = sums.len();
    for (i, sum) in sums.iter_mut().enumerate().skip(first) {
        for (g, &weight) in weights.iter().enumerate() {
            *sum ^= product(weight, rows[g * width + i]);
        }
    }
}

#[inline(always)]
fn combine_scalar(coefficients: &[u64], words: &[u64]) -> [u64; 64] {
    let mut sums = [0; 64];
    for (&coefficient, &word) in coefficients.iter().zip(words) {
        for (bit, sum) in sums.iter_mut().enumerate() {
            *sum ^= coefficient & 0u64.wrapping_sub((word >> bit) & 1);
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn combine_avx2(coefficients: &[u64], words: &[u64]) -> [u64; 64] {
    combine_scalar(coefficients, words)
}
