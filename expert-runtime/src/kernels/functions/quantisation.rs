//! Hidden states in blocks of int8.

use neuro_primitives::ACTIVATION_BLOCK;

use super::exponential::WHOLE;
use crate::kernels::vectors::Vectors;

/// Below this, a block counts as zeros: `127 / amax` would leave the range of f32.
const LEAST: f32 = 1e-30;

#[inline(always)]
pub(crate) fn quantise<V: Vectors>(_: V, source: &[f32], values: &mut [i8], scales: &mut [f32]) -> Result<(), usize> {
    let (sources, _) = source.as_chunks::<ACTIVATION_BLOCK>();
    let (targets, _) = values.as_chunks_mut::<ACTIVATION_BLOCK>();
    for (index, ((source, target), scale)) in sources.iter().zip(targets).zip(scales).enumerate() {
        *scale = quantise_block(source, target).ok_or(index)?;
    }
    Ok(())
}

/// The scale of one block; `None` when a value is not finite.
#[inline(always)]
fn quantise_block(source: &[f32; ACTIVATION_BLOCK], target: &mut [i8; ACTIVATION_BLOCK]) -> Option<f32> {
    let largest = largest_magnitude(source);
    if !largest.is_finite() {
        return None;
    }
    if largest < LEAST {
        target.fill(0);
        return Some(0.0);
    }
    let inverse = 127.0 / largest;
    for lane in 0..ACTIVATION_BLOCK {
        // The product lies within ±127 steps, so the last byte of the sum is its nearest whole number.
        target[lane] = (source[lane] * inverse + WHOLE).to_bits() as i8;
    }
    Some(largest / 127.0)
}

/// Magnitudes are ordered like their bits, with infinity and NaN above all numbers.
#[inline(always)]
fn largest_magnitude(source: &[f32; ACTIVATION_BLOCK]) -> f32 {
    let mut largest = 0;
    for value in source {
        largest = largest.max(value.to_bits() & 0x7FFF_FFFF);
    }
    f32::from_bits(largest)
}
