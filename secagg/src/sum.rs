//! The aggregator's one vector: payloads are added to it, masks removed from it, and the sum read from it.

use neuro_primitives::Hash;

use crate::masks::{self, Lanes, MaskJob};
use crate::packing::{self, GROUP, Modulus, PayloadError};

/// Bytes that are added and then hashed: they and their entries fit into a second-level cache of 1 MiB. A power of two, for
/// which BLAKE3 is fastest.
const PIECE_BYTES: usize = 256 << 10;

/// A sum modulo 2^B. One vector of words, whatever the number of payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accumulator {
    modulus: Modulus,
    words: Words,
}

/// `[entries]`
#[derive(Debug, Clone, PartialEq, Eq)]
enum Words {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Accumulator {
    /// The sum of nothing.
    #[must_use]
    pub fn new(entries: usize, modulus: Modulus) -> Self {
        let words = if modulus.is_narrow() { Words::Narrow(vec![0; entries]) } else { Words::Wide(vec![0; entries]) };
        Self { modulus, words }
    }

    /// The sum that [`Self::to_packed`] was called on.
    ///
    /// # Errors
    /// Bytes that are no packed vector of this shape.
    pub fn from_packed(entries: usize, modulus: Modulus, packed: &[u8]) -> Result<Self, PayloadError> {
        let mut sum = Self::new(entries, modulus);
        sum.add(packed)?;
        Ok(sum)
    }

    /// The sum so far as a payload, for the checkpoint.
    #[must_use]
    pub fn to_packed(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let modulus = self.modulus;
        packing::pack(self.lanes(), modulus, &mut out);
        out
    }

    /// How many entries it has.
    #[must_use]
    pub const fn entries(&self) -> usize {
        match &self.words {
            Words::Narrow(words) => words.len(),
            Words::Wide(words) => words.len(),
        }
    }

    /// What it is taken modulo of.
    #[must_use]
    pub const fn modulus(&self) -> Modulus {
        self.modulus
    }

    /// Adds a whole payload.
    ///
    /// # Errors
    /// Another length, or ones after the last entry. The sum is as before then.
    pub fn add(&mut self, packed: &[u8]) -> Result<(), PayloadError> {
        packing::check_payload(self.entries(), packed, self.modulus)?;
        let modulus = self.modulus;
        packing::add_packed(self.lanes(), 0, packed, modulus)
    }

    /// [`Self::add`], and the BLAKE3 hash of the payload, in one pass: adding a piece, which reads from its front to its back,
    /// brings it into the cache, where hashing it, which reads sixteen places of it at a time, then finds it. Whoever expected
    /// another hash calls [`Self::subtract`].
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_and_hash(&mut self, packed: &[u8]) -> Result<Hash, PayloadError> {
        packing::check_payload(self.entries(), packed, self.modulus)?;
        let (modulus, entries) = (self.modulus, self.entries());
        let (mut hasher, mut added) = (blake3::Hasher::new(), 0);
        for (piece, end) in packed.chunks(PIECE_BYTES).zip((PIECE_BYTES..).step_by(PIECE_BYTES)) {
            // Whole groups, and what is left with the last piece.
            let next = if end < packed.len() { end / usize::from(modulus.bits()) * GROUP } else { entries };
            let bytes = &packed[packing::bytes_of(&(added..next), modulus)];
            packing::add_packed(self.lanes().part(added..next), added, bytes, modulus)?;
            hasher.update(piece);
            added = next;
        }
        Ok(Hash(*hasher.finalize().as_bytes()))
    }

    /// Takes a whole payload away again.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn subtract(&mut self, packed: &[u8]) -> Result<(), PayloadError> {
        packing::check_payload(self.entries(), packed, self.modulus)?;
        let modulus = self.modulus;
        packing::subtract_packed(self.lanes(), 0, packed, modulus)
    }

    /// Carries out the mask `jobs` on up to `threads` threads.
    pub fn unmask(&mut self, jobs: &[MaskJob], threads: usize) {
        masks::apply_parallel(self.lanes(), jobs, threads);
    }

    /// The sum, in two's complement of B bits. `[entries]`
    #[must_use]
    pub fn finish(self) -> Vec<i64> {
        let modulus = self.modulus;
        match self.words {
            Words::Narrow(words) => words.into_iter().map(|word| modulus.signed(word.into())).collect(),
            Words::Wide(words) => words.into_iter().map(|word| modulus.signed(word)).collect(),
        }
    }

    /// The words, to work on.
    pub fn lanes(&mut self) -> Lanes<'_> {
        match &mut self.words {
            Words::Narrow(words) => Lanes::Narrow(words),
            Words::Wide(words) => Lanes::Wide(words),
        }
    }
}

#[cfg(test)]
mod tests;
