//! Q6_K: 256 elements in 210 bytes; 128 bytes of low four bits, 64 of upper two bits, 16 signed scales, an f16 scale.
//!
//! Each half of the block, 128 elements, has 64 bytes of low bits and 32 of upper ones. Of its four runs of 32 elements,
//! run `r` has its low bits in bytes `32·(r mod 2) + i`, the low half for the first two runs and the high half for the
//! others, and its upper bits in byte `i` from bit `2·r`.

use crate::blocks::nibbles::{half_at, lanes, put_half, ratio};
use crate::blocks::symmetric_fit;

/// Bytes of a block.
pub const BYTES: usize = 210;

const UPPER: usize = 128;
const SCALES: usize = 192;
const SCALE: usize = 208;

/// What the sub-blocks' scales are multiples of.
#[must_use]
pub fn scale(block: &[u8; BYTES]) -> f32 {
    half_at(block, SCALE)
}

/// The multiples, one for each 16 elements.
#[must_use]
pub fn multiples(block: &[u8; BYTES]) -> [i8; 16] {
    std::array::from_fn(|sub| block[SCALES + sub].cast_signed())
}

/// The integers, in −32..=31.
#[must_use]
pub fn integers(block: &[u8; BYTES]) -> [i8; 256] {
    std::array::from_fn(|i| {
        let place = Place::of(i);
        let low = block[place.low] >> place.low_shift & 15;
        let upper = block[place.upper] >> place.upper_shift & 3;
        (low | upper << 4).cast_signed() - 32
    })
}

/// `scale · multiple · integer`, the first product exact.
#[must_use]
pub fn values(block: &[u8; BYTES]) -> [f32; 256] {
    let (scale, integers) = (scale(block), integers(block));
    let scales = multiples(block).map(|multiple| scale * f32::from(multiple));
    std::array::from_fn(|i| scales[i / 16] * f32::from(integers[i]))
}

/// The scale of each sub-block is searched alone; the greatest becomes ∓128 of the block's, the others are rounded to
/// the neighbour that gives the lesser error.
#[must_use]
pub fn block(values: &[f32; 256]) -> [u8; BYTES] {
    let subs = values.as_chunks::<16>().0;
    let scales: [f32; 16] = std::array::from_fn(|sub| symmetric_fit::fit(&subs[sub]));
    let mut block = [0; BYTES];
    let scale = put_half(&mut block, SCALE, crate::blocks::nibbles::extreme(&scales) / -128.0);
    for (sub, values) in subs.iter().enumerate() {
        let (multiple, integers) = place(values, ratio(scales[sub], scale), scale);
        block[SCALES + sub] = multiple.cast_unsigned();
        for (i, integer) in integers.iter().enumerate() {
            put(&mut block, 16 * sub + i, *integer);
        }
    }
    block
}

fn place(values: &[f32; 16], multiple: f32, scale: f32) -> (i8, [f32; 16]) {
    let mut best = (f32::INFINITY, 0, [0.0; 16]);
    for multiple in [multiple.floor(), multiple.floor() + 1.0].map(|multiple| multiple.clamp(-128.0, 127.0)) {
        let scale = scale * multiple;
        let integers = symmetric_fit::integers(values, ratio(1.0, scale));
        let error = lanes::<16>(|i| (scale * integers[i] - values[i]).powi(2));
        if error < best.0 {
            best = (error, multiple as i8, integers);
        }
    }
    (best.1, best.2)
}

fn put(block: &mut [u8; BYTES], i: usize, integer: f32) {
    let place = Place::of(i);
    let unsigned = (integer + 32.0) as u8;
    block[place.low] |= (unsigned & 15) << place.low_shift;
    block[place.upper] |= unsigned >> 4 << place.upper_shift;
}

/// Where the bits of an element lie.
struct Place {
    low: usize,
    low_shift: usize,
    upper: usize,
    upper_shift: usize,
}

impl Place {
    fn of(i: usize) -> Self {
        let (half, run, column) = (i / 128, i / 32 % 4, i % 32);
        Self {
            low: 64 * half + 32 * (run % 2) + column,
            low_shift: 4 * (run / 2),
            upper: UPPER + 32 * half + column,
            upper_shift: 2 * run,
        }
    }
}
