//! AES-128 in counter mode as a key stream.
//!
//! The counters of a run are the same for all keys, so they are written once per cache-sized block of the vector and
//! encrypted once per key. The words are folded within the cipher's own loop, which is compiled for the instruction set
//! that the machine has (AES-NI, VAES, ARMv8).

use ::aes::cipher::inout::InOut;
use ::aes::cipher::{
    Array, Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit, ParBlocks,
};
use ::aes::cipher::{consts::U16, typenum::Unsigned};
use ::aes::{Aes128Enc, Block as AesBlock};

use super::Sign;
use super::fused::{KeyStream, Word};

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 16;

/// The stream of one key. Its key schedule is wiped on drop.
pub(super) struct AesStream(Aes128Enc);

impl AesStream {
    /// The stream of `key`.
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(Aes128Enc::new(key.into()))
    }
}

impl KeyStream for AesStream {
    const BLOCK_BYTES: usize = 16;

    /// Consecutive big-endian integers.
    type Counters = Vec<AesBlock>;

    fn counters(first_block: u32, blocks: usize) -> Self::Counters {
        (u128::from(first_block)..).take(blocks).map(|counter| counter.to_be_bytes().into()).collect()
    }

    fn fold<W: Word>(&mut self, counters: &Self::Counters, target: &mut [W], sign: Sign) {
        self.0.encrypt_with_backend(Fold { counters, target, sign });
    }
}

/// One run of one key.
struct Fold<'a, W> {
    counters: &'a [AesBlock],
    target: &'a mut [W],
    sign: Sign,
}

impl<W> BlockSizeUser for Fold<'_, W> {
    type BlockSize = U16;
}

impl<W: Word> BlockCipherEncClosure for Fold<'_, W> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, cipher: &B) {
        let words = AesStream::BLOCK_BYTES / W::BYTES;
        let at_once = B::ParBlocksSize::USIZE;
        let (groups, last) = Array::<AesBlock, B::ParBlocksSize>::slice_as_chunks(self.counters);
        let mut masks = ParBlocks::<B>::default();
        let mut targets = self.target.chunks_mut(at_once * words);
        for (counters, target) in groups.iter().zip(&mut targets) {
            cipher.encrypt_par_blocks(InOut::from((counters, &mut masks)));
            W::fold(target, Array::cast_slice_to_core(&masks).as_flattened(), self.sign);
        }
        let Some(target) = targets.next() else { return };
        let mut mask = Block::<B>::default();
        for (counter, target) in last.iter().zip(target.chunks_mut(words)) {
            cipher.encrypt_block(InOut::from((counter, &mut mask)));
            W::fold(target, &mask, self.sign);
        }
    }
}
