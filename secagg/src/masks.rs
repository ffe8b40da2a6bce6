//! Masks: key streams cut into words and added to vectors or taken away from them (section 8, "Generator G").
//!
//! Word `e` of a stream, modulo 2^B, is the mask of entry `e`. Lanes are machine words, so the reduction modulo 2^B
//! is left to the packing, which keeps the lowest B bits. Any run of entries can be masked alone: the streams count
//! blocks, so [`apply`] starts anywhere.
//!
//! Generation and addition are one pass ([`fused`]): the vector goes through the cache once, whatever the number of
//! jobs.

mod aes;
mod chacha;
mod fused;

use std::fmt;
use std::ops::Range;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The most entries of a vector: 2^28 model values, as many control values, the weight and one bit (section 8). Below it
/// no stream repeats its block counter.
pub const MOST_ENTRIES: usize = (1 << 29) + 2;

/// What a seed is stretched with; fixed for a cohort by field 14 of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generator {
    /// Block `c` is AES-128 of `c` as a 128-bit big-endian integer (NIST SP 800-38A, CTR).
    Aes128Ctr,
    /// RFC 8439 with a zero nonce and block counter `c`.
    ChaCha20,
}

impl Generator {
    /// κ, the bytes of a seed.
    #[must_use]
    pub const fn seed_bytes(self) -> usize {
        match self {
            Self::Aes128Ctr => aes::KEY_BYTES,
            Self::ChaCha20 => chacha::KEY_BYTES,
        }
    }
}

/// The secret that one mask is made of, with its generator. Wiped on drop, never printed, compared in constant time.
#[derive(Clone)]
pub enum MaskSeed {
    /// A key of [`Generator::Aes128Ctr`].
    Aes128Ctr([u8; aes::KEY_BYTES]),
    /// A key of [`Generator::ChaCha20`].
    ChaCha20([u8; chacha::KEY_BYTES]),
}

impl MaskSeed {
    /// What the seed is stretched with.
    #[must_use]
    pub const fn generator(&self) -> Generator {
        match self {
            Self::Aes128Ctr(_) => Generator::Aes128Ctr,
            Self::ChaCha20(_) => Generator::ChaCha20,
        }
    }
}

impl PartialEq for MaskSeed {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Aes128Ctr(own), Self::Aes128Ctr(other)) => own.ct_eq(other).into(),
            (Self::ChaCha20(own), Self::ChaCha20(other)) => own.ct_eq(other).into(),
            _ => false,
        }
    }
}

impl Eq for MaskSeed {}

impl Drop for MaskSeed {
    fn drop(&mut self) {
        match self {
            Self::Aes128Ctr(key) => key.zeroize(),
            Self::ChaCha20(key) => key.zeroize(),
        }
    }
}

impl ZeroizeOnDrop for MaskSeed {}

impl fmt::Debug for MaskSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskSeed({:?})", self.generator())
    }
}

/// Whether a mask is added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Added.
    Plus,
    /// Taken away.
    Minus,
}

impl Sign {
    /// The other sign: what undoes it.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Plus => Self::Minus,
            Self::Minus => Self::Plus,
        }
    }
}

/// One mask to add to a vector or to take away from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskJob {
    /// Whose stream.
    pub seed: MaskSeed,
    /// Which way.
    pub sign: Sign,
}

/// Entries of a vector as words that wrap around: a multiple of 2^B fits into each, so sums modulo 2^B are exact.
#[derive(Debug)]
pub enum Lanes<'a> {
    /// For B of at most 32. `[entries]`
    Narrow(&'a mut [u32]),
    /// For B above 32. `[entries]`
    Wide(&'a mut [u64]),
}

impl Lanes<'_> {
    /// How many entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Narrow(words) => words.len(),
            Self::Wide(words) => words.len(),
        }
    }

    /// Whether there are no entries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bits of a word: 32 or 64.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        match self {
            Self::Narrow(_) => u32::BITS,
            Self::Wide(_) => u64::BITS,
        }
    }

    /// The same entries, borrowed for a shorter time.
    pub const fn reborrow(&mut self) -> Lanes<'_> {
        match self {
            Self::Narrow(words) => Lanes::Narrow(words),
            Self::Wide(words) => Lanes::Wide(words),
        }
    }

    /// The entries of `range`, which must lie within the vector.
    pub fn part(&mut self, range: Range<usize>) -> Lanes<'_> {
        match self {
            Self::Narrow(words) => Lanes::Narrow(&mut words[range]),
            Self::Wide(words) => Lanes::Wide(&mut words[range]),
        }
    }
}

/// Carries out all `jobs` on `target`, whose first entry is entry `first_entry` of the vector.
///
/// One cache-sized block after the other, all jobs per block.
///
/// # Panics
/// Entries beyond [`MOST_ENTRIES`], at which a stream could repeat itself, are the caller's bug.
pub fn apply(target: Lanes<'_>, first_entry: usize, jobs: &[MaskJob]) {
    assert!(first_entry.saturating_add(target.len()) <= MOST_ENTRIES, "a vector has at most {MOST_ENTRIES} entries");
    match target {
        Lanes::Narrow(words) => fused::apply(words, first_entry, jobs),
        Lanes::Wide(words) => fused::apply(words, first_entry, jobs),
    }
}

/// [`apply`] to a whole vector on up to `threads` threads, each of which has its own run of entries.
///
/// # Panics
/// As [`apply`], and when the operating system gives no thread.
pub fn apply_parallel(target: Lanes<'_>, jobs: &[MaskJob], threads: usize) {
    assert!(target.len() <= MOST_ENTRIES, "a vector has at most {MOST_ENTRIES} entries");
    match target {
        Lanes::Narrow(words) => fused::apply_parallel(words, jobs, threads),
        Lanes::Wide(words) => fused::apply_parallel(words, jobs, threads),
    }
}

#[cfg(test)]
mod tests;
