//! Q8_0: 32 elements in 34 bytes; an f16 scale, then 32 signed bytes.

use crate::blocks::nibbles::{half_at, put_half, ratio};

/// Bytes of a block.
pub const BYTES: usize = 34;

/// The block's scale.
#[must_use]
pub fn scale(block: &[u8; BYTES]) -> f32 {
    half_at(block, 0)
}

/// The integers, in −128..=127.
#[must_use]
pub fn integers(block: &[u8; BYTES]) -> [i8; 32] {
    std::array::from_fn(|i| block[2 + i].cast_signed())
}

/// `scale · integer`.
#[must_use]
pub fn values(block: &[u8; BYTES]) -> [f32; 32] {
    let scale = scale(block);
    integers(block).map(|integer| scale * f32::from(integer))
}

/// The greatest magnitude becomes ±127; halves are rounded away from zero.
#[must_use]
pub fn block(values: &[f32; 32]) -> [u8; BYTES] {
    let scale = values.iter().fold(0.0_f32, |greatest, value| greatest.max(value.abs())) / 127.0;
    let inverse = ratio(1.0, scale);
    let mut block = [0; BYTES];
    put_half(&mut block, 0, scale);
    for (byte, value) in block[2..].iter_mut().zip(values) {
        *byte = away_from_zero(value * inverse).cast_unsigned();
    }
    block
}

/// Rounding on integers needs no call to a mathematics library. What is cut off of a float this small is exact.
fn away_from_zero(value: f32) -> i8 {
    let whole = value as i32;
    let rest = value - whole as f32;
    (whole + i32::from(rest >= 0.5) - i32::from(rest <= -0.5)) as i8
}
