//! MXFP4: 32 elements in 17 bytes; an exponent, then 32 floats of 4 bits (sign, two bits of exponent, one of mantissa).
//!
//! "OCP Microscaling Formats (MX) Specification v1.0", section 6.3, but for the order of the elements, which is GGUF's,
//! and the exponent 255, which is a number here. The table holds twice each float, so that all are integers; the scale
//! is half of the specification's in return.

use crate::blocks::nibbles::{pack, unpack};

/// Bytes of a block.
pub const BYTES: usize = 17;

/// Twice the value of each 4-bit float.
pub const CODEBOOK: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The block's scale: `2^(exponent − 128)`.
#[must_use]
pub fn scale(block: &[u8; BYTES]) -> f32 {
    power(block[0])
}

/// The integers, from [`CODEBOOK`].
#[must_use]
pub fn integers(block: &[u8; BYTES]) -> [i8; 32] {
    unpack(&std::array::from_fn(|i| block[1 + i])).map(|index| CODEBOOK[usize::from(index)])
}

/// `scale · integer`.
#[must_use]
pub fn values(block: &[u8; BYTES]) -> [f32; 32] {
    let scale = scale(block);
    integers(block).map(|integer| scale * f32::from(integer))
}

/// The greatest magnitude gets the largest exponent of 4-bit floats; each value the nearest float, ties to zero.
#[must_use]
pub fn block(values: &[f32; 32]) -> [u8; BYTES] {
    let exponent = exponent(values);
    let limits = LIMITS.map(|limit| limit * power(exponent));
    let mut block = [0; BYTES];
    block[0] = exponent;
    block[1..].copy_from_slice(&pack(&values.map(|value| index(value, &limits))));
    block
}

/// Halfway between neighbours of [`CODEBOOK`].
const LIMITS: [f32; 7] = [0.5, 1.5, 2.5, 3.5, 5.0, 7.0, 10.0];

/// A value that rounds to zero has index 0, not that of the negative zero.
fn index(value: f32, limits: &[f32; 7]) -> u8 {
    let magnitude = value.abs();
    let steps = limits.iter().map(|limit| u8::from(magnitude > *limit)).sum::<u8>();
    if value < 0.0 && steps > 0 { steps + 8 } else { steps }
}

/// `⌊log2(greatest magnitude)⌋ − 2`, biased by 127. The logarithm is rounded to f32 first: so do other writers, and
/// magnitudes just below a power of two come out as the power.
fn exponent(values: &[f32; 32]) -> u8 {
    let greatest = values.iter().fold(0.0_f32, |greatest, value| greatest.max(value.abs()));
    if greatest == 0.0 {
        return 0;
    }
    let logarithm = libm::log2(f64::from(greatest)) as f32;
    (logarithm.floor() as i32 + 125).clamp(0, 255) as u8
}

/// `2^(exponent − 128)`; the least two are below f32's least normal number.
fn power(exponent: u8) -> f32 {
    let exponent = u32::from(exponent);
    f32::from_bits(if exponent < 2 { 0x0020_0000 << exponent } else { (exponent - 1) << 23 })
}
