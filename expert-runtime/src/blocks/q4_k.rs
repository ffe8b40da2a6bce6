//! Q4_K: 256 elements in 144 bytes; the head of [`super_block`], then 128 bytes of 4-bit integers. Byte `32·g + i` has
//! element `i` of sub-block `2·g` in its low half and of sub-block `2·g + 1` in its high half.

pub use crate::blocks::super_block::SuperScales;

use crate::blocks::super_block::{self, HEAD};

/// Bytes of a block.
pub const BYTES: usize = 144;

/// Scales and minima.
#[must_use]
pub fn scales(block: &[u8; BYTES]) -> SuperScales {
    SuperScales::read(block)
}

/// The integers, in 0..=15.
#[must_use]
pub fn integers(block: &[u8; BYTES]) -> [u8; 256] {
    std::array::from_fn(|i| nibble(&block[HEAD..], i))
}

/// `scale · integer − minimum`.
#[must_use]
pub fn values(block: &[u8; BYTES]) -> [f32; 256] {
    scales(block).values(&integers(block))
}

/// The block nearest to `values` that the search finds.
#[must_use]
pub fn block(values: &[f32; 256]) -> [u8; BYTES] {
    let (head, integers) = super_block::quantise(values, 15.0);
    let mut block = [0; BYTES];
    head.write(&mut block);
    put_nibbles(&mut block[HEAD..], &integers);
    block
}

/// Four bits of element `i`.
pub(super) fn nibble(bytes: &[u8], i: usize) -> u8 {
    let (group, sub, column) = (i / 64, i / 32 % 2, i % 32);
    bytes[32 * group + column] >> (4 * sub) & 15
}

/// The low four bits of every element.
pub(super) fn put_nibbles(bytes: &mut [u8], integers: &[u8; 256]) {
    for (bytes, integers) in bytes.as_chunks_mut::<32>().0.iter_mut().zip(integers.as_chunks::<64>().0) {
        *bytes = std::array::from_fn(|i| integers[i] & 15 | integers[i + 32] << 4);
    }
}
