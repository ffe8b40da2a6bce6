//! ChaCha20 as a key stream.

use ::chacha20::cipher::consts::U64;
use ::chacha20::cipher::typenum::Unsigned;
use ::chacha20::cipher::{
    Array, Block, BlockSizeUser, KeyIvInit, ParBlocks, StreamCipherBackend, StreamCipherClosure, StreamCipherCore,
};
use ::chacha20::variants::Ietf;
use ::chacha20::{ChaChaCore, R20};

use super::Sign;
use super::fused::{KeyStream, Word};

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;

/// The stream of one key. Wiped on drop.
pub(super) struct ChaChaStream(ChaChaCore<R20, Ietf>);

impl ChaChaStream {
    /// The stream of `key`.
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(ChaChaCore::new(key.into(), &Array::default()))
    }
}

impl KeyStream for ChaChaStream {
    const BLOCK_BYTES: usize = 64;

    /// The first block's number: the cipher counts by itself.
    type Counters = u32;

    fn counters(first_block: u32, _blocks: usize) -> Self::Counters {
        first_block
    }

    fn fold<W: Word>(&mut self, first_block: &Self::Counters, target: &mut [W], sign: Sign) {
        self.0.set_block_pos(*first_block);
        self.0.process_with_backend(Fold { target, sign });
    }
}

/// One run of one key.
struct Fold<'a, W> {
    target: &'a mut [W],
    sign: Sign,
}

impl<W> BlockSizeUser for Fold<'_, W> {
    type BlockSize = U64;
}

impl<W: Word> StreamCipherClosure for Fold<'_, W> {
    #[inline(always)]
    fn call<B: StreamCipherBackend<BlockSize = U64>>(self, cipher: &mut B) {
        let words = ChaChaStream::BLOCK_BYTES / W::BYTES;
        let mut groups = self.target.chunks_exact_mut(B::ParBlocksSize::USIZE * words);
        let mut masks = ParBlocks::<B>::default();
        for target in &mut groups {
            cipher.gen_par_ks_blocks(&mut masks);
            W::fold(target, Array::cast_slice_to_core(&masks).as_flattened(), self.sign);
        }
        let mut mask = Block::<B>::default();
        for target in groups.into_remainder().chunks_mut(words) {
            cipher.gen_ks_block(&mut mask);
            W::fold(target, &mask, self.sign);
        }
    }
}
