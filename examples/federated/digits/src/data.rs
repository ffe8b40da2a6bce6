//! The digits: 1,797 images of 8 by 8 pixels (UCI, CC BY 4.0; `tests/tools/make_digits.py` wrote the file).

use crate::draw;

/// Pixels of an image.
pub const PIXELS: usize = 64;
/// Kinds of digits.
pub const CLASSES: usize = 10;

/// Pixels, then the digit.
const RECORD_BYTES: usize = PIXELS + 1;
/// Pixels go from 0 to this.
const BRIGHTEST: f32 = 16.0;
/// One in so many examples is held out.
const HELD_OUT: usize = 5;

const FILE: &[u8] = include_bytes!("../digits.bin");

/// An image and what it shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// `[64]`, f32, from 0 to 1, row after row.
    pub pixels: [f32; PIXELS],
    /// From 0 to 9.
    pub digit: u8,
}

/// Examples to train on, and those that nobody trains on.
#[derive(Debug, Clone)]
pub struct Digits {
    /// Four fifths.
    pub training: Vec<Example>,
    /// One fifth.
    pub test: Vec<Example>,
}

impl Digits {
    /// All digits in an order drawn from `seed`, the first fifth held out.
    #[must_use]
    pub fn load(seed: u64) -> Self {
        let mut examples: Vec<Example> = FILE.chunks_exact(RECORD_BYTES).map(example).collect();
        draw::shuffle(&mut examples, &mut draw::stream("held out", seed, 0));
        let training = examples.split_off(examples.len() / HELD_OUT);
        Self { training, test: examples }
    }
}

fn example(record: &[u8]) -> Example {
    let mut pixels = [0.0; PIXELS];
    for (pixel, &byte) in pixels.iter_mut().zip(record) {
        *pixel = f32::from(byte) / BRIGHTEST;
    }
    Example { pixels, digit: record[PIXELS] }
}
