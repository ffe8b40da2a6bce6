//! What the formats share: halves as scales, two 4-bit numbers in a byte, and quick rounding.

use half::f16;

/// The f16 whose two bytes begin at `at`, as f32.
pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Rounds `scale` to an f16, writes it at `at`, and returns what it became.
pub(super) fn put_half(block: &mut [u8], at: usize, scale: f32) -> f32 {
    let scale = f16::from_f32(scale);
    block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
    scale.to_f32()
}

/// Blocks of 32 have element `i` in the low half of byte `i` and element `i + 16` in its high half.
pub(super) fn unpack(bytes: &[u8; 16]) -> [u8; 32] {
    std::array::from_fn(|i| if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 })
}

/// The reverse of [`unpack`]; every element is below 16.
pub(super) fn pack(elements: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|i| elements[i] | elements[i + 16] << 4)
}

/// The nearest integer, ties to even, for magnitudes below 2^22. Adding 1.5·2^23 leaves no bits for a fraction; unlike
/// a call to round, it works on whole registers on every processor.
pub(super) fn nearest(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT) - SHIFT
}

/// `numerator / denominator`, or 0 where there is nothing to divide by.
pub(super) fn ratio(numerator: f32, denominator: f32) -> f32 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}

/// The first element of greatest magnitude.
pub(super) fn extreme<const N: usize>(values: &[f32; N]) -> f32 {
    let greatest = values.iter().fold(0.0_f32, |greatest, value| greatest.max(value.abs()));
    values.iter().copied().find(|value| value.abs() == greatest).unwrap_or(0.0)
}

/// A sum in eight lanes, which a compiler may keep in registers; the order is fixed.
pub(super) fn lanes<const N: usize>(term: impl Fn(usize) -> f32) -> f32 {
    let mut sums = [0.0_f32; 8];
    for start in (0..N).step_by(8) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}
