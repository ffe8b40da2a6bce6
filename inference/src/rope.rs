//! Rotary position embedding: "`RoFormer`", Su et al., arXiv 2104.09864, equation 34, in the layout of Hugging Face
//! checkpoints: element `i` of a head is paired with element `i + head_dim/2`.
//!
//! The frequency θ^(-2i/head_dim) and the angle `position × frequency` are each rounded to f32, because the weights
//! were trained with angles rounded so; sine and cosine of that angle are taken in f64 and rounded once.

use std::ops::Range;

/// The frequencies of one model.
#[derive(Debug, Clone)]
pub struct Rope {
    /// `[head_dim / 2]`, f32, radians per position.
    frequencies: Vec<f32>,
}

/// Sines and cosines for a run of positions. All layers share it.
#[derive(Debug, Clone)]
pub struct Rotation {
    pairs: usize,
    /// `[positions, head_dim / 2]` of (cos, sin), f32.
    turns: Vec<(f32, f32)>,
}

impl Rope {
    /// The frequencies of heads of `head_dim` elements with base `theta`.
    #[must_use]
    pub fn new(head_dim: usize, theta: f64) -> Self {
        let exponent = |pair: usize| (2 * pair) as f64 / head_dim as f64;
        let frequencies = (0..head_dim / 2).map(|pair| (1.0 / libm::pow(theta, exponent(pair))) as f32).collect();
        Self { frequencies }
    }

    /// The rotation of every position in `positions`.
    #[must_use]
    pub fn rotation(&self, positions: Range<usize>) -> Rotation {
        let turns = positions.flat_map(|position| self.frequencies.iter().map(move |f| turn(position as f32 * f)));
        Rotation { pairs: self.frequencies.len(), turns: turns.collect() }
    }
}

impl Rotation {
    /// Rotates the heads of one row (`[heads × head_dim]`, f32), which stands at `index` of the run.
    pub fn apply(&self, index: usize, row: &mut [f32]) {
        let turns = &self.turns[index * self.pairs..(index + 1) * self.pairs];
        for head in row.chunks_exact_mut(2 * self.pairs) {
            let (first, second) = head.split_at_mut(self.pairs);
            for ((x, y), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                (*x, *y) = (*x * cos - *y * sin, *y * cos + *x * sin);
            }
        }
    }
}

fn turn(angle: f32) -> (f32, f32) {
    let (sin, cos) = libm::sincos(f64::from(angle));
    (cos as f32, sin as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_zero_turns_nothing() {
        let mut row = [0.5, -1.0, 2.0, 3.0];
        Rope::new(4, 10_000.0).rotation(0..1).apply(0, &mut row);
        assert_eq!(row, [0.5, -1.0, 2.0, 3.0]);
    }

    #[test]
    fn halves_are_paired_and_turned_by_position_times_frequency() {
        // head_dim 4, theta 100: frequencies 1 and 0.1
        let mut row = [1.0, 1.0, 0.0, 0.0];
        Rope::new(4, 100.0).rotation(5..8).apply(2, &mut row);
        let expected = [libm::cos(7.0), libm::cos(0.7), libm::sin(7.0), libm::sin(0.7)];
        for (got, expected) in row.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-6, "expected {expected}, got {got}");
        }
    }

    #[test]
    fn a_dot_product_depends_on_the_distance_alone() {
        let rope = Rope::new(8, 10_000.0);
        let rotation = rope.rotation(0..40);
        let score = |query_at: usize, key_at: usize| {
            let mut query = [0.3, -0.2, 0.9, 0.1, 0.5, 0.4, -0.7, 0.8];
            let mut key = [0.1, 0.6, -0.3, 0.2, 0.9, -0.5, 0.4, 0.7];
            rotation.apply(query_at, &mut query);
            rotation.apply(key_at, &mut key);
            crate::sums::dot(&query, &key)
        };
        assert!((score(9, 4) - score(37, 32)).abs() < 1e-5);
        assert!((score(9, 4) - score(9, 5)).abs() > 1e-3);
    }

    #[test]
    fn a_run_of_positions_has_the_bits_of_its_parts() {
        let rope = Rope::new(16, 1e6);
        let whole = rope.rotation(0..50).turns;
        let mut parts = rope.rotation(0..13).turns;
        parts.extend(rope.rotation(13..50).turns);
        assert_eq!(whole, parts);
    }
}
