//! What Q4_K and Q5_K share: 256 elements as eight grids, whose scales and minima are 6-bit multiples of two halves.

use half::f16;

use crate::blocks::affine_fit::{self, Grid};
use crate::blocks::nibbles::{half_at, lanes, nearest, ratio};
use crate::blocks::sub_scales::{self, SubScales};

/// The head of a block: what every element's value is made of besides its integer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuperScales {
    /// What the sub-blocks' scales are multiples of.
    pub scale: f32,
    /// What the sub-blocks' minima are multiples of.
    pub minimum: f32,
    /// The multiples.
    pub multiples: SubScales,
}

/// Bytes of the head: two halves and the packed multiples.
pub(super) const HEAD: usize = 4 + sub_scales::BYTES;

impl SuperScales {
    pub(super) fn read(block: &[u8]) -> Self {
        let multiples = SubScales::unpack(&std::array::from_fn(|i| block[4 + i]));
        Self { scale: half_at(block, 0), minimum: half_at(block, 2), multiples }
    }

    /// Scale and minimum are halves already, so nothing is lost.
    pub(super) fn write(&self, block: &mut [u8]) {
        block[..2].copy_from_slice(&f16::from_f32(self.scale).to_le_bytes());
        block[2..4].copy_from_slice(&f16::from_f32(self.minimum).to_le_bytes());
        block[4..HEAD].copy_from_slice(&self.multiples.pack());
    }

    /// The grid of sub-block `sub`; both products are exact.
    pub(super) fn grid(&self, sub: usize) -> Grid {
        let SubScales { scales, minima } = self.multiples;
        Grid { scale: self.scale * f32::from(scales[sub]), minimum: self.minimum * f32::from(minima[sub]) }
    }

    /// `scale · integer − minimum` for every element.
    pub(super) fn values(&self, integers: &[u8; 256]) -> [f32; 256] {
        let grids: [Grid; 8] = std::array::from_fn(|sub| self.grid(sub));
        std::array::from_fn(|i| grids[i / 32].scale * f32::from(integers[i]) - grids[i / 32].minimum)
    }
}

/// Head and integers for `values`; integers go up to `greatest`.
///
/// Each sub-block's best grid is found alone. Once the steps of all scales are known, a scale is rounded to a step, and
/// the minimum is chosen anew for the scale that it became.
pub(super) fn quantise(values: &[f32; 256], greatest: f32) -> (SuperScales, [u8; 256]) {
    let subs = values.as_chunks::<32>().0;
    let grids: [Grid; 8] = std::array::from_fn(|sub| affine_fit::fit(&subs[sub], greatest));
    let step = |of: fn(&Grid) -> f32| f16::from_f32(grids.iter().map(of).fold(0.0, f32::max) / 63.0).to_f32();
    let (scale, minimum) = (step(|grid| grid.scale), step(|grid| grid.minimum));
    let mut head = SuperScales { scale, minimum, multiples: SubScales { scales: [0; 8], minima: [0; 8] } };
    let mut integers = [0; 256];
    for (sub, target) in integers.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        *target = place(&subs[sub], grids[sub], sub, &mut head, greatest);
    }
    (head, integers)
}

/// Tries the multiples beside the nearest one too, and keeps what gives the least squared error.
fn place(values: &[f32; 32], grid: Grid, sub: usize, head: &mut SuperScales, greatest: f32) -> [u8; 32] {
    let mut best = (f32::INFINITY, *head, [0.0; 32]);
    for change in [-1.0, 0.0, 1.0] {
        let mut tried = *head;
        tried.multiples.scales[sub] = multiple(grid.scale, head.scale, change);
        let inverse = ratio(1.0, tried.grid(sub).scale);
        let rough = affine_fit::integers(values, grid.minimum, inverse, greatest);
        let scale = tried.grid(sub).scale;
        let offset = lanes::<32>(|i| scale * rough[i] - values[i]) / 32.0;
        tried.multiples.minima[sub] = multiple(offset, head.minimum, 0.0);
        let minimum = tried.grid(sub).minimum;
        let integers = affine_fit::integers(values, minimum, inverse, greatest);
        let error = lanes::<32>(|i| (scale * integers[i] - minimum - values[i]).powi(2));
        if error < best.0 {
            best = (error, tried, integers);
        }
    }
    *head = best.1;
    best.2.map(|integer| integer as u8)
}

fn multiple(of: f32, step: f32, change: f32) -> u8 {
    (nearest(ratio(of, step).clamp(0.0, 63.0)) + change).clamp(0.0, 63.0) as u8
}
