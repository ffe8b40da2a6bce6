//! Rotary position embedding: "`RoFormer`", Su et al., arXiv 2104.09864, equation 34.
//!
//! Which elements make a pair, and how frequencies are stretched for long contexts, is the checkpoint's choice. The
//! frequency and the angle `position × frequency` are each rounded to f32, because the weights were trained with angles
//! rounded so; sine and cosine of that angle are taken in f64 and rounded once.

mod scaling;

use neuro_model::{RopePairing, RopeSettings};

pub(crate) use scaling::score_factor;

/// The frequencies of one model.
#[derive(Debug, Clone)]
pub struct Rope {
    /// `[width / 2]`, f32, radians per position.
    frequencies: Vec<f32>,
    pairing: RopePairing,
    /// What sines and cosines are multiplied by.
    amplitude: f32,
}

/// Sines and cosines for the positions of some rows. All layers share it.
#[derive(Debug, Clone)]
pub struct Rotation {
    pairs: usize,
    pairing: RopePairing,
    /// `[rows, width / 2]` of (cos, sin), f32.
    turns: Vec<(f32, f32)>,
}

impl Rope {
    /// The frequencies of vectors of `width` elements (even) under `settings`.
    #[must_use]
    pub fn new(width: usize, settings: &RopeSettings) -> Self {
        Self {
            frequencies: scaling::frequencies(width, settings),
            pairing: settings.pairing,
            amplitude: scaling::amplitude(settings.scaling),
        }
    }

    /// `[width / 2]`, f32, radians per position.
    #[must_use]
    pub fn frequencies(&self) -> &[f32] {
        &self.frequencies
    }

    /// What sines and cosines are multiplied by.
    #[must_use]
    pub const fn amplitude(&self) -> f32 {
        self.amplitude
    }

    /// The rotation of rows at `positions`.
    #[must_use]
    pub fn rotation(&self, positions: impl IntoIterator<Item = usize>) -> Rotation {
        let turn = |angle| turn(angle, self.amplitude);
        let turns =
            positions.into_iter().flat_map(|position| self.frequencies.iter().map(move |f| turn(position as f32 * f)));
        Rotation { pairs: self.frequencies.len(), pairing: self.pairing, turns: turns.collect() }
    }
}

impl Rotation {
    /// Rotates the vectors of one row (`[vectors × width]`, f32), the one at `index`.
    pub fn apply(&self, index: usize, row: &mut [f32]) {
        let turns = &self.turns[index * self.pairs..(index + 1) * self.pairs];
        for vector in row.chunks_exact_mut((2 * self.pairs).max(1)) {
            match self.pairing {
                RopePairing::Halves => rotate_halves(vector, turns),
                RopePairing::Neighbours => rotate_neighbours(vector, turns),
            }
        }
    }
}

fn rotate_halves(vector: &mut [f32], turns: &[(f32, f32)]) {
    let (first, second) = vector.split_at_mut(turns.len());
    for ((x, y), turn) in first.iter_mut().zip(second).zip(turns) {
        (*x, *y) = rotated(*x, *y, *turn);
    }
}

fn rotate_neighbours(vector: &mut [f32], turns: &[(f32, f32)]) {
    for ([x, y], turn) in vector.as_chunks_mut().0.iter_mut().zip(turns) {
        (*x, *y) = rotated(*x, *y, *turn);
    }
}

fn rotated(x: f32, y: f32, (cos, sin): (f32, f32)) -> (f32, f32) {
    (x * cos - y * sin, y * cos + x * sin)
}

fn turn(angle: f32, amplitude: f32) -> (f32, f32) {
    let (sin, cos) = libm::sincos(f64::from(angle));
    (cos as f32 * amplitude, sin as f32 * amplitude)
}

#[cfg(test)]
mod tests;
