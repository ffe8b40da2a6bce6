//! Sums, products and the largest of slices, in lanes.

use crate::kernels::vectors::{LANES, Vectors};

/// Adds the products of one block to the lanes.
#[inline(always)]
pub(crate) fn add_products<V: Vectors>(
    vectors: V,
    lanes: &mut [f32; LANES],
    left: &[f32; LANES],
    right: &[f32; LANES],
) {
    for lane in 0..LANES {
        lanes[lane] = vectors.fused(left[lane], right[lane], lanes[lane]);
    }
}

/// One lane out of sixteen.
#[inline(always)]
pub(crate) fn fold(lanes: [f32; LANES]) -> f32 {
    let mut eight = [0.0; 8];
    for lane in 0..8 {
        eight[lane] = lanes[lane] + lanes[lane + 8];
    }
    let mut four = [0.0; 4];
    for lane in 0..4 {
        four[lane] = eight[lane] + eight[lane + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

#[inline(always)]
pub(crate) fn dot<V: Vectors>(vectors: V, left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let common = left.len().min(right.len());
    let (left_blocks, left_rest) = left[..common].as_chunks::<LANES>();
    let (right_blocks, right_rest) = right[..common].as_chunks::<LANES>();
    for (left, right) in left_blocks.iter().zip(right_blocks) {
        add_products(vectors, &mut lanes, left, right);
    }
    for (lane, (left, right)) in lanes.iter_mut().zip(left_rest.iter().zip(right_rest)) {
        *lane = vectors.fused(*left, *right, *lane);
    }
    fold(lanes)
}

#[inline(always)]
pub(crate) fn sum<V: Vectors>(_: V, values: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] += block[lane];
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += value;
    }
    fold(lanes)
}

/// `left` unless `right` is greater: NaN on the right never wins.
#[inline(always)]
pub(crate) fn greater(left: f32, right: f32) -> f32 {
    if right > left { right } else { left }
}

/// The largest value that is a number; negative infinity of none.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] = greater(lanes[lane], block[lane]);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = greater(*lane, *value);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, greater)
}

#[inline(always)]
pub(crate) fn add<V: Vectors>(_: V, target: &mut [f32], values: &[f32]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target += value;
    }
}

#[inline(always)]
pub(crate) fn add_scaled<V: Vectors>(vectors: V, target: &mut [f32], factor: f32, values: &[f32]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target = vectors.fused(factor, *value, *target);
    }
}

#[inline(always)]
pub(crate) fn rms_norm<V: Vectors>(vectors: V, vector: &mut [f32], weight: &[f32], epsilon: f32) {
    let mean = dot(vectors, vector, vector) / vector.len() as f32;
    let scale = 1.0 / (mean + epsilon).sqrt();
    for (value, weight) in vector.iter_mut().zip(weight) {
        *value = *value * scale * weight;
    }
}
