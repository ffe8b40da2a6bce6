//! Words as bit planes and back: 64 values side by side, one word for each bit.
//!
//! Plane b holds bit b of all values, that of value i at bit `i % 64` of word `i / 64`. Boolean gates then work on 64
//! values at once. Planes are one slice, `[width][ceil(n / 64)]`; the last word of each is filled up with zeros.

#[cfg(test)]
mod tests;

use super::kernels::{InstructionSet, transpose};

/// Values of a block, and bits of a value.
pub(super) const BLOCK: usize = 64;

/// Words of one plane of `n` values.
#[must_use]
pub const fn plane_words(n: usize) -> usize {
    n.div_ceil(BLOCK)
}

/// The lower `width` bits of `values: [n]` as planes, `[width][ceil(n / 64)]`.
///
/// # Panics
/// If `width` is above 64.
#[must_use]
pub fn to_planes(values: &[u64], width: usize) -> Vec<u64> {
    to_planes_with(InstructionSet::current(), values, width)
}

/// The values `[n]` whose lower bits are `planes: [width][ceil(n / 64)]`; their upper bits are 0.
///
/// # Panics
/// If `width` is above 64, or `planes` has another length.
#[must_use]
pub fn from_planes(planes: &[u64], width: usize, n: usize) -> Vec<u64> {
    from_planes_with(InstructionSet::current(), planes, width, n)
}

fn to_planes_with(set: InstructionSet, values: &[u64], width: usize) -> Vec<u64> {
    assert!(width <= BLOCK, "{width} planes");
    let words = plane_words(values.len());
    let mut planes = vec![0; width * words];
    transpose::to_planes(set, values, &mut planes, words);
    planes
}

fn from_planes_with(set: InstructionSet, planes: &[u64], width: usize, n: usize) -> Vec<u64> {
    let words = plane_words(n);
    assert!(width <= BLOCK && planes.len() == width * words, "{width} planes of {n} values in {} words", planes.len());
    let mut values = vec![0; n];
    transpose::from_planes(set, planes, &mut values, words);
    values
}
