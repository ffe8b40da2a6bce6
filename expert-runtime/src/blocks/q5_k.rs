//! Q5_K: 256 elements in 176 bytes; the head of [`super_block`], 32 bytes of fifth bits, then four bits of each element
//! as in Q4_K. Bit `j` of byte `i` of the fifth bits belongs to element `i` of sub-block `j`.

pub use crate::blocks::super_block::SuperScales;

use crate::blocks::q4_k::{nibble, put_nibbles};
use crate::blocks::super_block::{self, HEAD};

/// Bytes of a block.
pub const BYTES: usize = 176;

const LOW: usize = HEAD + 32;

/// Scales and minima.
#[must_use]
pub fn scales(block: &[u8; BYTES]) -> SuperScales {
    SuperScales::read(block)
}

/// The integers, in 0..=31.
#[must_use]
pub fn integers(block: &[u8; BYTES]) -> [u8; 256] {
    std::array::from_fn(|i| nibble(&block[LOW..], i) | (block[HEAD + i % 32] >> (i / 32) & 1) << 4)
}

/// `scale · integer − minimum`.
#[must_use]
pub fn values(block: &[u8; BYTES]) -> [f32; 256] {
    scales(block).values(&integers(block))
}

/// The block nearest to `values` that the search finds.
#[must_use]
pub fn block(values: &[f32; 256]) -> [u8; BYTES] {
    let (head, integers) = super_block::quantise(values, 31.0);
    let mut block = [0; BYTES];
    head.write(&mut block);
    for (i, integer) in integers.iter().enumerate() {
        block[HEAD + i % 32] |= (integer >> 4) << (i / 32);
    }
    put_nibbles(&mut block[LOW..], &integers);
    block
}
