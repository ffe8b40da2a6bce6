//! Between f32 and f16.

use crate::kernels::vectors::{LANES, Vectors};

#[inline(always)]
pub(crate) fn widen<V: Vectors>(vectors: V, halves: &[u16], target: &mut [f32]) {
    let (blocks, rest) = halves.as_chunks::<LANES>();
    let whole = (blocks.len() * LANES).min(target.len());
    let (targets, _) = target[..whole].as_chunks_mut::<LANES>();
    for (block, target) in blocks.iter().zip(targets) {
        *target = vectors.widen(block);
    }
    let last = widen_rest(vectors, rest);
    for (target, value) in target[whole..].iter_mut().zip(&last[..rest.len()]) {
        *target = *value;
    }
}

/// Fewer than [`LANES`] halves, and zeros after them.
#[inline(always)]
pub(crate) fn widen_rest<V: Vectors>(vectors: V, rest: &[u16]) -> [f32; LANES] {
    let mut padded = [0; LANES];
    for (padded, half) in padded.iter_mut().zip(rest) {
        *padded = *half;
    }
    vectors.widen(&padded)
}

#[inline(always)]
pub(crate) fn narrow<V: Vectors>(_: V, values: &[f32], target: &mut [u16]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target = narrowed(*value);
    }
}

/// The greatest f16.
const GREATEST: u32 = 65504.0_f32.to_bits();

const INFINITE: u32 = f32::INFINITY.to_bits();

/// One f32 as f16, without branches.
#[inline(always)]
fn narrowed(value: f32) -> u16 {
    let sign = (value.to_bits() >> 16) & 0x8000;
    let magnitude = value.to_bits() & 0x7FFF_FFFF;
    let finite = if magnitude < GREATEST { magnitude } else { GREATEST };
    // A normal f16 keeps ten bits after the point: half of what is cut off is added, less one if the last kept is even.
    let normal = (finite.wrapping_add(0xC800_0FFF).wrapping_add((finite >> 13) & 1)) >> 13;
    // Adding 1/2 leaves a subnormal f16, a multiple of 2^-24, in the last bits; the addition rounds as it must.
    let subnormal = (f32::from_bits(finite) + 0.5).to_bits().wrapping_sub(0.5_f32.to_bits());
    let rounded = if finite < LEAST_NORMAL { subnormal } else { normal };
    let special = if magnitude > INFINITE { 0x7E00 } else { 0x7C00 };
    let half = if magnitude >= INFINITE { special } else { rounded };
    (half | sign) as u16
}

/// 2^-14: below it, an f16 is subnormal.
const LEAST_NORMAL: u32 = 0x3880_0000;
