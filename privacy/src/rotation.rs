//! A random rotation: signs and a Hadamard transform, so that no coordinate of a sum stands out.
//!
//! For P the greatest power of two ≤ L: signs and Hadamard/√P on the first P entries, then other signs and Hadamard/√P
//! on the last P. The two blocks overlap or meet, since 2P > L, so every entry is turned. The map is orthogonal, needs
//! no padding, and makes every coordinate sub-Gaussian with variance proxy at most ‖x‖²/P.
//!
//! The signs are public. They are the ChaCha20 stream (nonce zero) under `H(neuro/fl/rotation/1; seed)`: bit `i mod 8`
//! of byte `⌊i/8⌋` set turns entry `i` of a block around; first the ⌈P/8⌉ bytes of the first block, then those of the
//! last.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use neuro_primitives::Hash;

/// Domain of the signs' key.
const TAG: &[u8] = b"neuro/fl/rotation/1\0";

/// A rotation of vectors of one length, f32.
#[derive(Clone)]
pub struct Rotation {
    entries: usize,
    block: usize,
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Rotation {
    /// The rotation that `seed` gives for vectors of `entries`.
    #[must_use]
    pub fn new(seed: &Hash, entries: usize) -> Self {
        let block = block(entries);
        let key = Hash::of(&[TAG, &seed.0].concat());
        let mut signs = vec![0; 2 * block.div_ceil(8)];
        ChaCha20::new(&key.0.into(), &[0; 12].into()).apply_keystream(&mut signs);
        let last = signs.split_off(block.div_ceil(8));
        Self { entries, block, first: signs, last }
    }

    /// Entries of the vectors it turns.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// P, the transforms' length: what [`overflow_log2`](crate::overflow_log2) asks for.
    #[must_use]
    pub fn block(&self) -> usize {
        self.block
    }

    /// Turns `v`, `[entries]`, f32, in place.
    ///
    /// # Panics
    /// When `v` has another length: the caller's own bug.
    pub fn forward(&self, v: &mut [f32]) {
        assert_eq!(v.len(), self.entries, "a rotation turns vectors of its own length");
        let first = &mut v[..self.block];
        flip(first, &self.first, self.unit());
        hadamard(first);
        let last = &mut v[self.entries - self.block..];
        flip(last, &self.last, self.unit());
        hadamard(last);
    }

    /// Turns `v`, `[entries]`, f32, back in place.
    ///
    /// # Panics
    /// When `v` has another length: the caller's own bug.
    pub fn backward(&self, v: &mut [f32]) {
        assert_eq!(v.len(), self.entries, "a rotation turns vectors of its own length");
        let last = &mut v[self.entries - self.block..];
        hadamard(last);
        flip(last, &self.last, self.unit());
        let first = &mut v[..self.block];
        hadamard(first);
        flip(first, &self.first, self.unit());
    }

    /// 1/√P.
    fn unit(&self) -> f32 {
        (1.0 / (self.block as f64).sqrt()) as f32
    }
}

/// The greatest power of two ≤ `entries`; 0 for 0.
#[must_use]
pub fn block(entries: usize) -> usize {
    entries.checked_ilog2().map_or(0, |bits| 1 << bits)
}

/// Multiplies each entry by `unit` and its sign.
fn flip(v: &mut [f32], signs: &[u8], unit: f32) {
    for (eight, &byte) in v.chunks_mut(8).zip(signs) {
        for (bit, value) in eight.iter_mut().enumerate() {
            *value *= if byte >> bit & 1 == 1 { -unit } else { unit };
        }
    }
}

/// The unscaled Walsh-Hadamard transform of a power of two of entries. Halves are finished one after the other, so that
/// all but the first few passes stay within the cache.
fn hadamard(v: &mut [f32]) {
    if v.len() < 2 {
        return;
    }
    let (low, high) = v.split_at_mut(v.len() / 2);
    for (a, b) in low.iter_mut().zip(high.iter_mut()) {
        (*a, *b) = (*a + *b, *a - *b);
    }
    hadamard(low);
    hadamard(high);
}

#[cfg(test)]
mod tests;
