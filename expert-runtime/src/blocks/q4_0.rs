//! Q4_0: 32 elements in 18 bytes; an f16 scale, then 32 numbers of 4 bits, each 8 more than its integer.

use crate::blocks::nibbles::{extreme, half_at, pack, put_half, ratio, unpack};

/// Bytes of a block.
pub const BYTES: usize = 18;

/// The block's scale.
#[must_use]
pub fn scale(block: &[u8; BYTES]) -> f32 {
    half_at(block, 0)
}

/// The integers, in −8..=7.
#[must_use]
pub fn integers(block: &[u8; BYTES]) -> [i8; 32] {
    unpack(&nibbles(block)).map(|nibble| nibble.cast_signed() - 8)
}

/// `scale · integer`.
#[must_use]
pub fn values(block: &[u8; BYTES]) -> [f32; 32] {
    let scale = scale(block);
    integers(block).map(|integer| scale * f32::from(integer))
}

/// The value of greatest magnitude becomes −8, which gives the other side a little less room.
#[must_use]
pub fn block(values: &[f32; 32]) -> [u8; BYTES] {
    let scale = extreme(values) / -8.0;
    let inverse = ratio(1.0, scale);
    let mut block = [0; BYTES];
    put_half(&mut block, 0, scale);
    // The cast cuts off, so the half that is added makes it round.
    let elements = values.map(|value| ((value * inverse + 8.5) as i32).clamp(0, 15) as u8);
    block[2..].copy_from_slice(&pack(&elements));
    block
}

fn nibbles(block: &[u8; BYTES]) -> [u8; 16] {
    std::array::from_fn(|i| block[2 + i])
}
