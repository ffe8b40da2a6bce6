//! IQ4_NL: 32 elements in 18 bytes; an f16 scale, then 32 indices of 4 bits into a table whose steps grow outwards.

use crate::blocks::nibbles::{extreme, half_at, lanes, pack, put_half, ratio, unpack};

/// Bytes of a block.
pub const BYTES: usize = 18;

/// What the indices stand for.
pub const CODEBOOK: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The block's scale.
#[must_use]
pub fn scale(block: &[u8; BYTES]) -> f32 {
    half_at(block, 0)
}

/// The integers, from [`CODEBOOK`].
#[must_use]
pub fn integers(block: &[u8; BYTES]) -> [i8; 32] {
    unpack(&std::array::from_fn(|i| block[2 + i])).map(|index| CODEBOOK[usize::from(index)])
}

/// `scale · integer`.
#[must_use]
pub fn values(block: &[u8; BYTES]) -> [f32; 32] {
    let scale = scale(block);
    integers(block).map(|integer| scale * f32::from(integer))
}

/// The scale is searched: the extreme value is put at and around either end of the table, each time every value goes to
/// its nearest entry, and the scale of least squares for those entries is kept where it explains most.
#[must_use]
pub fn block(values: &[f32; 32]) -> [u8; BYTES] {
    let mut block = [0; BYTES];
    let scale = put_half(&mut block, 0, search(values));
    let inverse = ratio(1.0, scale);
    block[2..].copy_from_slice(&pack(&values.map(|value| index(value * inverse))));
    block
}

/// How far around an end of the table the extreme value is tried, and in what steps: entries there are 23 apart.
const TRIES: std::ops::RangeInclusive<i16> = -7..=7;
const STEP: f32 = 2.0;

fn search(values: &[f32; 32]) -> f32 {
    let extreme = extreme(values);
    let mut best = (0.0, 0.0);
    if extreme == 0.0 {
        return best.0;
    }
    for end in [-127.0, 113.0] {
        for attempt in TRIES {
            let (scale, explained) = least_squares(values, (end + STEP * f32::from(attempt)) / extreme);
            if explained > best.1 {
                best = (scale, explained);
            }
        }
    }
    best.0
}

/// For the entries that `inverse` leads to: the best scale, and by how much it lowers the sum of squares.
fn least_squares(values: &[f32; 32], inverse: f32) -> (f32, f32) {
    let entries = values.map(|value| entry(value * inverse));
    let products = lanes::<32>(|i| values[i] * entries[i]);
    let squares = lanes::<32>(|i| entries[i] * entries[i]);
    let scale = ratio(products, squares);
    (scale, scale * products)
}

/// Halfway between neighbours of [`CODEBOOK`].
const LIMITS: [f32; 15] =
    [-115.5, -93.5, -74.0, -57.0, -42.0, -28.5, -16.0, -4.5, 7.0, 19.0, 31.5, 45.5, 61.0, 79.0, 101.0];

fn index(scaled: f32) -> u8 {
    LIMITS.iter().map(|limit| u8::from(scaled > *limit)).sum()
}

/// The entry nearest to `scaled`: the first, and every step that it is beyond.
fn entry(scaled: f32) -> f32 {
    const STEPS: [f32; 15] = [23.0, 21.0, 18.0, 16.0, 14.0, 13.0, 12.0, 11.0, 12.0, 12.0, 13.0, 15.0, 16.0, 20.0, 24.0];
    LIMITS.iter().zip(STEPS).fold(-127.0, |entry, (limit, step)| entry + if scaled > *limit { step } else { 0.0 })
}
