//! AES-128 in counter mode as words.
//!
//! Counters are made and blocks encrypted within the cipher's own loop, which is compiled for the instruction set that
//! the machine has (AES-NI, VAES, ARMv8) and takes many blocks at once.

use aes::cipher::inout::InOut;
use aes::cipher::{
    Array, Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit, ParBlocks,
};
use aes::cipher::{consts::U16, typenum::Unsigned};
use aes::{Aes128Enc, Block as AesBlock};
use zeroize::Zeroizing;

use super::SEED_BYTES;

/// Bytes of an AES-128 key.
const KEY_BYTES: usize = 16;

/// Words of a block.
const BLOCK_WORDS: usize = 2;

/// What words are for: each use of a seed has a key of its own.
#[derive(Clone, Copy)]
pub(super) enum Use {
    /// Components of random sharings.
    Shares,
    /// Words that two parties have in common.
    Common,
}

impl Use {
    const fn context(self) -> &'static str {
        match self {
            Self::Shares => "neuro smpc prss v1 shares",
            Self::Common => "neuro smpc prss v1 common words",
        }
    }
}

/// The words of one key. Its key schedule is wiped on drop.
pub(super) struct Stream(Aes128Enc);

impl Stream {
    /// The words of `seed` for one use.
    pub(super) fn new(seed: &[u8; SEED_BYTES], purpose: Use) -> Self {
        let derived = Zeroizing::new(blake3::derive_key(purpose.context(), seed));
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(&derived[..KEY_BYTES]);
        Self(Aes128Enc::new((&*key).into()))
    }

    /// Block b of `step` is AES of `step` and b, both as little-endian words, and is two little-endian words itself.
    pub(super) fn fill(&self, step: u64, target: &mut [u64]) {
        self.0.encrypt_with_backend(Fill { step, target });
    }
}

/// One run of one key.
struct Fill<'a> {
    step: u64,
    target: &'a mut [u64],
}

impl Fill<'_> {
    #[inline(always)]
    fn counter(&self, block: u64) -> AesBlock {
        (u128::from(block) << 64 | u128::from(self.step)).to_le_bytes().into()
    }
}

impl BlockSizeUser for Fill<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Fill<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(mut self, cipher: &B) {
        let at_once = B::ParBlocksSize::USIZE;
        let target = std::mem::take(&mut self.target);
        let mut groups = target.chunks_exact_mut(at_once * BLOCK_WORDS);
        let mut blocks = ParBlocks::<B>::default();
        let mut index = 0;
        for group in &mut groups {
            for block in &mut blocks {
                *block = self.counter(index);
                index += 1;
            }
            cipher.encrypt_par_blocks(InOut::from(&mut blocks));
            write_words(group, Array::cast_slice_to_core(&blocks).as_flattened());
        }
        for pair in groups.into_remainder().chunks_mut(BLOCK_WORDS) {
            let mut block: Block<B> = self.counter(index);
            index += 1;
            cipher.encrypt_block(InOut::from(&mut block));
            write_words(pair, &block);
        }
    }
}

#[inline(always)]
fn write_words(words: &mut [u64], bytes: &[u8]) {
    let (bytes, _) = bytes.as_chunks();
    for (word, bytes) in words.iter_mut().zip(bytes) {
        *word = u64::from_le_bytes(*bytes);
    }
}
