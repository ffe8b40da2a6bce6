//! Loops over the Galois ring with AVX-512: eight coefficients in a register.

use std::arch::x86_64::*;

use super::super::galois::{DEGREE, Element};
use super::galois::{Columns, Wide, products_scalar};
use super::galois_subsets;

/// Words of a register.
pub(super) const LANES: usize = 8;
/// Half of an element: the products are those of Karatsuba, three of halves.
const HALF: usize = DEGREE / 2;
/// Pairs whose halves are held at once: 2 · 8 · 3 · 256 bytes, which stays in the first cache.
const PAIRS: usize = 8;
/// The same for short sums.
const FEW: usize = 2;

/// Lower half, upper half and their sum.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Halves([[u64; HALF]; 3]);

/// Sums of products of lower halves, upper halves and their sums.
type Parts = [[u64; 2 * HALF + 2 * LANES]; 3];

/// # Panics
/// When `right` is shorter than `(left.len() - 1) * stride + 1`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn wide_dot(left: &[Element], right: &[Element], stride: usize) -> Wide {
    let mut parts = [[0u64; 2 * HALF + 2 * LANES]; 3];
    if left.len() <= FEW {
        add_products::<FEW>(&mut parts, left, right, stride);
    } else {
        add_products::<PAIRS>(&mut parts, left, right, stride);
    }
    joined(&parts)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn add_products<const P: usize>(parts: &mut Parts, left: &[Element], right: &[Element], stride: usize) {
    let mut lefts = [Halves([[0; HALF]; 3]); P];
    let mut rights = lefts;
    for (block, left) in left.chunks(P).enumerate() {
        for (p, left) in left.iter().enumerate() {
            lefts[p] = halves(left);
            rights[p] = halves(&right[(block * P + p) * stride]);
        }
        for (part, sums) in parts.iter_mut().enumerate() {
            for shift in 0..LANES {
                add_shifted(sums, part, shift, &lefts[..left.len()], &rights[..left.len()]);
            }
        }
    }
}

/// `low + (middle - low - high) x^32 + high x^64`.
#[target_feature(enable = "avx512f")]
fn joined(parts: &Parts) -> Wide {
    let [low, high, middle] = parts;
    let mut wide = [0; 2 * DEGREE];
    wide[..2 * HALF].copy_from_slice(&low[..2 * HALF]);
    wide[2 * HALF..].copy_from_slice(&high[..2 * HALF]);
    for i in 0..2 * HALF {
        let cross = middle[i].wrapping_sub(low[i]).wrapping_sub(high[i]);
        wide[HALF + i] = wide[HALF + i].wrapping_add(cross);
    }
    wide
}

#[target_feature(enable = "avx512f")]
fn halves(element: &Element) -> Halves {
    let mut halves = Halves([[0; HALF]; 3]);
    for i in 0..HALF {
        let (low, high) = (element.0[i], element.0[HALF + i]);
        halves.0[0][i] = low;
        halves.0[1][i] = high;
        halves.0[2][i] = low.wrapping_add(high);
    }
    halves
}

/// Adds what the coefficients `shift`, `shift + 8`, `shift + 16` ... of the left factors contribute. Their products
/// lie in whole registers, `shift` lanes from where they belong.
#[target_feature(enable = "avx512f,avx512dq")]
fn add_shifted(sums: &mut [u64; 2 * HALF + 2 * LANES], part: usize, shift: usize, lefts: &[Halves], rights: &[Halves]) {
    let mut registers = [_mm512_setzero_si512(); 2 * HALF / LANES - 1];
    for (left, right) in lefts.iter().zip(rights) {
        let (left, right) = (&left.0[part], &right.0[part]);
        let right: [__m512i; HALF / LANES] = std::array::from_fn(|p| load(right, p * LANES));
        for q in 0..HALF / LANES {
            let factor = _mm512_set1_epi64(left[q * LANES + shift].cast_signed());
            for (p, &right) in right.iter().enumerate() {
                registers[q + p] = _mm512_add_epi64(registers[q + p], _mm512_mullo_epi64(factor, right));
            }
        }
    }
    for (i, register) in registers.into_iter().enumerate() {
        let at = i * LANES + shift;
        let sum = _mm512_add_epi64(load(sums, at), register);
        store(sums, at, sum);
    }
}

/// Weights from which on tables of subsets pay.
const MANY: usize = 4;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn accumulate(sums: &mut [Element], weights: &[u64], rows: &[u64]) {
    let width = sums.len();
    let turned = if weights.len() < MANY { 0 } else { width / LANES * LANES };
    if turned > 0 {
        galois_subsets::accumulate(sums, turned, weights, rows, width);
    }
    for (i, sum) in sums.iter_mut().enumerate().skip(turned) {
        let mut registers: [__m512i; DEGREE / LANES] = std::array::from_fn(|octet| load(&sum.0, octet * LANES));
        for (&weight, row) in weights.iter().zip(rows.chunks(width)) {
            let word = _mm512_set1_epi64(row[i].cast_signed());
            for (register, mask) in registers.iter_mut().zip(weight.to_le_bytes()) {
                *register = _mm512_mask_add_epi64(*register, mask, *register, word);
            }
        }
        for (octet, register) in registers.into_iter().enumerate() {
            store(&mut sum.0, octet * LANES, register);
        }
    }
}

/// See [`super::galois::accumulate_products`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn accumulate_products(sums: &mut [Element], weights: &[u64], columns: &Columns<'_>) {
    if weights.len() < MANY || !columns.rows.is_multiple_of(LANES) {
        let multiply = |row: &mut [u64], factors: &[u64], words: &[u64]| products_scalar(row, factors, words);
        columns.row_by_row(sums, multiply, |sums, rows| accumulate(sums, weights, rows));
    } else {
        galois_subsets::accumulate_products(sums, weights, columns);
    }
}

#[target_feature(enable = "avx512f,avx512dq")]
pub(super) fn combine(coefficients: &[Element], words: &[u64]) -> Element {
    let mut registers = [_mm512_setzero_si512(); DEGREE / LANES];
    for (coefficient, &word) in coefficients.iter().zip(words) {
        let word = _mm512_set1_epi64(word.cast_signed());
        for (i, register) in registers.iter_mut().enumerate() {
            let term = _mm512_mullo_epi64(load(&coefficient.0, i * LANES), word);
            *register = _mm512_add_epi64(*register, term);
        }
    }
    let mut sum = Element::ZERO;
    for (i, register) in registers.into_iter().enumerate() {
        store(&mut sum.0, i * LANES, register);
    }
    sum
}

/// Eight words from `at` on.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(words: &[u64], at: usize) -> __m512i {
    let words = &words[at..at + LANES];
    // SAFETY: the slice has the 64 bytes that are read; no alignment is asked.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// Eight words from `at` on.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(words: &mut [u64], at: usize, register: __m512i) {
    let words = &mut words[at..at + LANES];
    // SAFETY: the slice has the 64 bytes that are written; no alignment is asked.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), register) }
}
