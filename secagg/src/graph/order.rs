//! The ring's order: a uniform permutation from the seed (section 6, steps 1 and 2).

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use neuro_primitives::Hash;

use crate::identity::Member;

/// All members in the order that the seed draws: Fisher and Yates from the last place down.
pub(super) fn drawn(n: u16, seed: &Hash) -> Vec<Member> {
    let mut words = Words::new(seed);
    let mut order: Vec<Member> = (0..n).map(Member).collect();
    for last in (1..order.len()).rev() {
        let other = words.below(last as u32 + 1);
        order.swap(last, other as usize);
    }
    order
}

/// ChaCha20's key stream (RFC 8439, zero nonce, counter from 0) as little-endian words.
struct Words {
    stream: ChaCha20,
    block: [u8; BLOCK_BYTES],
    used: usize,
}

/// Bytes of a ChaCha20 block; how the stream is buffered does not show in the words.
const BLOCK_BYTES: usize = 64;

impl Words {
    fn new(seed: &Hash) -> Self {
        let stream = ChaCha20::new(&seed.0.into(), &[0; 12].into());
        Self { stream, block: [0; BLOCK_BYTES], used: BLOCK_BYTES }
    }

    /// A uniform number below `bound`: words from the last, incomplete run of `bound` are passed over.
    fn below(&mut self, bound: u32) -> u32 {
        let fair = (1_u64 << 32) / u64::from(bound) * u64::from(bound);
        loop {
            let word = self.next();
            if u64::from(word) < fair {
                return word % bound;
            }
        }
    }

    fn next(&mut self) -> u32 {
        if self.used == BLOCK_BYTES {
            self.block = [0; BLOCK_BYTES];
            self.stream.apply_keystream(&mut self.block);
            self.used = 0;
        }
        let mut word = [0; 4];
        word.copy_from_slice(&self.block[self.used..self.used + 4]);
        self.used += 4;
        u32::from_le_bytes(word)
    }
}
