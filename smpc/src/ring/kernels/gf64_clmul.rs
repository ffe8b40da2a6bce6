//! Loops over GF(2^64) with PCLMULQDQ, and with VPCLMULQDQ four products at once.

use std::arch::x86_64::*;

use super::gf64::{accumulate_from, reduce};

const LANES: usize = 8;

/// The product of two polynomials over GF(2), not reduced.
#[inline]
#[target_feature(enable = "pclmulqdq")]
pub(super) fn product(a: u64, b: u64) -> u128 {
    let a = _mm_set_epi64x(0, a.cast_signed());
    let b = _mm_set_epi64x(0, b.cast_signed());
    words(_mm_clmulepi64_si128::<0>(a, b))
}

#[inline]
#[target_feature(enable = "sse2")]
fn words(register: __m128i) -> u128 {
    // SAFETY: both are 16 bytes without invalid values.
    unsafe { std::mem::transmute(register) }
}

#[target_feature(enable = "pclmulqdq")]
pub(super) fn dot(left: &[u64], right: &[u64]) -> u128 {
    left.iter().zip(right).fold(0, |sum, (&a, &b)| sum ^ product(a, b))
}

#[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq")]
pub(super) fn dot_wide(left: &[u64], right: &[u64]) -> u128 {
    let (lefts, left) = left.as_chunks::<LANES>();
    let (rights, right) = right.as_chunks::<LANES>();
    let mut sums = [_mm512_setzero_si512(); 2];
    for (left, right) in lefts.iter().zip(rights) {
        let (left, right) = (load(left), load(right));
        sums[0] = _mm512_xor_si512(sums[0], _mm512_clmulepi64_epi128::<0x00>(left, right));
        sums[1] = _mm512_xor_si512(sums[1], _mm512_clmulepi64_epi128::<0x11>(left, right));
    }
    let quarters = quarters(_mm512_xor_si512(sums[0], sums[1]));
    quarters.into_iter().fold(dot(left, right), |sum, quarter| sum ^ quarter)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn quarters(register: __m512i) -> [u128; 4] {
    // SAFETY: both are 64 bytes without invalid values.
    unsafe { std::mem::transmute(register) }
}

#[target_feature(enable = "pclmulqdq")]
pub(super) fn accumulate(first: usize, sums: &mut [u128], weights: &[u64], rows: &[u64]) {
    accumulate_from(first, sums, weights, rows, |a, b| product(a, b));
}

#[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq")]
pub(super) fn accumulate_wide(sums: &mut [u128], weights: &[u64], rows: &[u64]) {
    let width = sums.len();
    for i in (0..width / LANES).map(|octet| octet * LANES) {
        let mut even = _mm512_setzero_si512();
        let mut odd = even;
        for (&weight, row) in weights.iter().zip(rows.chunks_exact(width)) {
            let weight = _mm512_set1_epi64(weight.cast_signed());
            let Some(row) = row[i..].first_chunk() else { continue };
            even = _mm512_xor_si512(even, _mm512_clmulepi64_epi128::<0x00>(load(row), weight));
            odd = _mm512_xor_si512(odd, _mm512_clmulepi64_epi128::<0x01>(load(row), weight));
        }
        for (lane, (even, odd)) in quarters(even).into_iter().zip(quarters(odd)).enumerate() {
            sums[i + 2 * lane] ^= even;
            sums[i + 2 * lane + 1] ^= odd;
        }
    }
    accumulate(width / LANES * LANES, sums, weights, rows);
}

#[target_feature(enable = "avx512f")]
pub(super) fn combine(coefficients: &[u64], words: &[u64]) -> [u64; 64] {
    let mut sums = [_mm512_setzero_si512(); LANES];
    for (&coefficient, &word) in coefficients.iter().zip(words) {
        let coefficient = _mm512_set1_epi64(coefficient.cast_signed());
        for (sum, mask) in sums.iter_mut().zip(word.to_le_bytes()) {
            *sum = _mm512_mask_xor_epi64(*sum, mask, *sum, coefficient);
        }
    }
    // SAFETY: both are 512 bytes without invalid values.
    unsafe { std::mem::transmute(sums) }
}

#[target_feature(enable = "pclmulqdq")]
pub(super) fn multiply_each(values: &mut [u64], factors: &[u64]) {
    for (value, &factor) in values.iter_mut().zip(factors) {
        *value = reduce(product(*value, factor));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[u64; LANES]) -> __m512i {
    // SAFETY: the array has the 64 bytes that are read; no alignment is asked.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}
