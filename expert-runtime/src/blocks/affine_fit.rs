//! A scale and a minimum for 32 neighbours: `value ≈ scale · integer − minimum`, least squares over integers from 0.

use crate::blocks::nibbles::{lanes, nearest, ratio};

/// How 32 values lie on a grid. Both numbers are at least 0, since blocks store them without a sign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    /// From one integer to the next.
    pub(super) scale: f32,
    /// What integer 0 stands for, negated.
    pub(super) minimum: f32,
}

/// Steps of the grid are tried that put the range of the values on slightly fewer or more integers than there are.
const FIRST_CHANGE: f32 = -1.2;
const STEP: f32 = 0.1;
const TRIES: u8 = 22;

/// The grid of least squared error among a few ways of rounding to integers `0..=greatest`.
pub(super) fn fit(values: &[f32; 32], greatest: f32) -> Grid {
    let low = values.iter().fold(0.0_f32, |low, value| low.min(*value));
    let high = values.iter().fold(low, |high, value| high.max(*value));
    let mut best = (Grid { scale: 0.0, minimum: -low }, f32::NEG_INFINITY);
    if high == low {
        return best.0;
    }
    let sum = lanes::<32>(|i| values[i]);
    for attempt in 0..TRIES {
        let inverse = (greatest + FIRST_CHANGE + STEP * f32::from(attempt)) / (high - low);
        let found = least_squares(values, sum, &integers(values, -low, inverse, greatest));
        if found.1 > best.1 {
            best = found;
        }
    }
    best.0
}

/// The integers that `values` have on the grid.
pub(super) fn integers(values: &[f32; 32], minimum: f32, inverse: f32, greatest: f32) -> [f32; 32] {
    values.map(|value| nearest((value + minimum) * inverse).clamp(0.0, greatest))
}

/// The best grid for given integers, and by how much it lowers the sum of squares. Where the best minimum had the wrong
/// sign, it is 0.
fn least_squares(values: &[f32; 32], sum: f32, integers: &[f32; 32]) -> (Grid, f32) {
    let products = lanes::<32>(|i| values[i] * integers[i]);
    let squares = lanes::<32>(|i| integers[i] * integers[i]);
    let total = lanes::<32>(|i| integers[i]);
    let determinant = 32.0 * squares - total * total;
    let scale = ratio(32.0 * products - sum * total, determinant);
    let offset = ratio(squares * sum - total * products, determinant);
    if offset < 0.0 && scale > 0.0 {
        return (Grid { scale, minimum: -offset }, scale * products + offset * sum);
    }
    let scale = ratio(products, squares).max(0.0);
    (Grid { scale, minimum: 0.0 }, scale * products)
}
