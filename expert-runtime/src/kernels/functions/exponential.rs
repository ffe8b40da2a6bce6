//! e to a power, and the softmax on it.
//!
//! `x = n·ln 2 + r` with a whole `n` and `|r| ≤ ln 2 / 2`; `e^r` is a polynomial of degree six, fitted at the Chebyshev
//! nodes of `(e^r − 1 − r) / r²`, and `2^n` goes to the exponent's bits.

use super::sums;
use crate::kernels::vectors::{LANES, Vectors};

const LOG2_E: f32 = f32::from_bits(0x3FB8_AA3B);

/// ln 2 rounded to f32, and what that leaves out.
const LN_2_HIGH: f32 = f32::from_bits(0x3F31_7218);
const LN_2_LOW: f32 = f32::from_bits(0xB102_E308);

/// 1.5 · 2^23: added to a small number, it leaves the nearest whole one (ties to even) in the last bits.
pub(crate) const WHOLE: f32 = 12_582_912.0;

/// The greatest x whose power is finite.
const GREATEST: f32 = f32::from_bits(0x42B1_7217);

/// The least x whose power is normal.
const LEAST: f32 = f32::from_bits(0xC2AE_AC4F);

/// Of r² to r⁶.
const COEFFICIENTS: [f32; 5] = [
    0.5,
    f32::from_bits(0x3E2A_AA6E),
    f32::from_bits(0x3D2A_AA8D),
    f32::from_bits(0x3C09_05D1),
    f32::from_bits(0x3AB6_889E),
];

/// e to the power of `x`.
#[inline(always)]
pub(crate) fn exp<V: Vectors>(vectors: V, x: f32) -> f32 {
    let shifted = vectors.fused(x, LOG2_E, WHOLE);
    let n = shifted - WHOLE;
    let r = vectors.fused(n, -LN_2_LOW, vectors.fused(n, -LN_2_HIGH, x));
    let mut power = COEFFICIENTS[4];
    for coefficient in [COEFFICIENTS[3], COEFFICIENTS[2], COEFFICIENTS[1], COEFFICIENTS[0], 1.0, 1.0] {
        power = vectors.fused(power, r, coefficient);
    }
    let scaled = f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23));
    let bounded = if x > GREATEST { f32::INFINITY } else { scaled };
    let bounded = if x < LEAST { 0.0 } else { bounded };
    if x.is_nan() { x } else { bounded }
}

#[inline(always)]
pub(crate) fn exp_in_place<V: Vectors>(vectors: V, values: &mut [f32]) {
    exp_of_difference(vectors, values, 0.0);
}

/// Replaces each value by exp(value − largest).
#[inline(always)]
fn exp_of_difference<V: Vectors>(vectors: V, values: &mut [f32], largest: f32) {
    let (blocks, rest) = values.as_chunks_mut::<LANES>();
    for block in blocks {
        for value in block {
            *value = exp(vectors, *value - largest);
        }
    }
    for value in rest {
        *value = exp(vectors, *value - largest);
    }
}

#[inline(always)]
pub(crate) fn exponentiate<V: Vectors>(vectors: V, scores: &mut [f32], sink: Option<f32>) -> f32 {
    let largest = sums::greater(sums::largest(scores), sink.unwrap_or(f32::NEG_INFINITY));
    exp_of_difference(vectors, scores, largest);
    let total = sums::sum(vectors, scores);
    match sink {
        Some(sink) => total + exp(vectors, sink - largest),
        None => total,
    }
}
