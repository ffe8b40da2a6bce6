//! A scale for 16 neighbours: `value ≈ scale · integer`, least squares over integers of 6 bits.

use crate::blocks::nibbles::{extreme, lanes, nearest, ratio};

/// Where the extreme value is tried: beyond −32 it is clamped, short of it the range is not used up.
const FIRST_END: f32 = 30.4;
const STEP: f32 = 0.2;
const TRIES: u8 = 17;

/// The scale of least squared error among a few ways of rounding; the value of greatest magnitude goes to about −32.
pub(super) fn fit(values: &[f32; 16]) -> f32 {
    let extreme = extreme(values);
    let mut best = (0.0, 0.0);
    if extreme == 0.0 {
        return best.0;
    }
    for attempt in 0..TRIES {
        let end = FIRST_END + STEP * f32::from(attempt);
        let (scale, explained) = least_squares(values, -end / extreme);
        if explained > best.1 {
            best = (scale, explained);
        }
    }
    best.0
}

/// The 6-bit integers that `values` have on the grid of `1 / inverse`.
pub(super) fn integers(values: &[f32; 16], inverse: f32) -> [f32; 16] {
    values.map(|value| nearest(value * inverse).clamp(-32.0, 31.0))
}

fn least_squares(values: &[f32; 16], inverse: f32) -> (f32, f32) {
    let integers = integers(values, inverse);
    let products = lanes::<16>(|i| values[i] * integers[i]);
    let squares = lanes::<16>(|i| integers[i] * integers[i]);
    let scale = ratio(products, squares);
    (scale, scale * products)
}
