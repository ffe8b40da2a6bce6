//! A seeded mutator of bytes, for tests of decoders: `secagg`, `protocol`, `model`, `network` and `smpc` include it.

#![allow(dead_code, reason = "a test uses a part of it")]

use std::time::Duration;

/// Inputs that are tried, unless the time is over first: slow machines try fewer, and the first ones are the same.
pub const INPUTS: usize = 100_000;
/// How long they are tried.
pub const TIME: Duration = Duration::from_secs(5);

/// Numbers at which decoders go wrong.
const EXTREMES: [u64; 13] =
    [0, 1, 2, 9, 0x7f, 0xff, 0x201, 0x8000, 1 << 20, 0x7fc0_0000, u32::MAX as u64, i64::MAX as u64, u64::MAX];

/// SplitMix64: small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// One of the `corpus` after up to three changes before byte `end`.
pub fn mutated(corpus: &[Vec<u8>], end: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..random.below(4) {
        mutate(&mut bytes, end, corpus, random);
    }
    bytes
}

/// Changes `bytes`, before `end`, in one of the ways that find mistakes in decoders.
fn mutate(bytes: &mut Vec<u8>, end: usize, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(end.min(bytes.len()) + 1);
    match random.below(8) {
        0 if random.below(4) == 0 => bytes.truncate(at),
        1 => bytes.insert(at, random.next() as u8),
        2 | 3 => {
            let extreme = EXTREMES[random.below(EXTREMES.len())].to_le_bytes();
            bytes[at..].iter_mut().zip(&extreme[..1 << random.below(4)]).for_each(|(byte, &new)| *byte = new);
        }
        4 => drop(bytes.drain(at..(at + random.below(9)).min(bytes.len()))),
        5 => {
            let other = &corpus[random.below(corpus.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        6 => {
            let piece = bytes[at..(at + random.below(64)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => flip(bytes, at, random),
    }
}

/// Turns one bit of the byte at `at`, if there is one.
pub fn flip(bytes: &mut [u8], at: usize, random: &mut Random) {
    bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << random.below(8));
}
