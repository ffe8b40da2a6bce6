//! Secret random bits: ChaCha20 keyed from the system, and uniform integers drawn from it by rejection.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use zeroize::Zeroizing;

use crate::error::EntropyError;

/// Bytes generated at once: sixteen ChaCha20 blocks, so that every vector width of the cipher is filled.
const BUFFER_BYTES: usize = 1024;

/// A stream of secret random bits. Who knows its seed can subtract the noise, so the seed is wiped with it.
pub struct NoiseRng {
    key: Zeroizing<[u8; 32]>,
    cipher: ChaCha20,
    epoch: u64,
    buffer: Zeroizing<[u8; BUFFER_BYTES]>,
    used: usize,
}

impl NoiseRng {
    /// A stream keyed by the operating system.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn from_system() -> Result<Self, EntropyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|error| EntropyError { reason: error.to_string() })?;
        Ok(Self::from_seed(&seed))
    }

    /// The stream of a seed, the same for the same seed. The seed must be used for one vector only.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self {
            key: Zeroizing::new(*seed),
            cipher: cipher(seed, 0),
            epoch: 0,
            buffer: Zeroizing::new([0; BUFFER_BYTES]),
            used: BUFFER_BYTES,
        }
    }

    /// 64 uniform bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    /// 128 uniform bits.
    #[inline]
    pub fn next_u128(&mut self) -> u128 {
        u128::from_le_bytes(self.take())
    }

    /// A uniform integer in `0..bound`, by rejection: exact. For `bound` 0 the result is 0.
    #[inline]
    pub fn below(&mut self, bound: u128) -> u128 {
        let Some(greatest) = bound.checked_sub(1) else { return 0 };
        let unused_bits = greatest.leading_zeros();
        if unused_bits == u128::BITS {
            return 0;
        }
        loop {
            let drawn = if unused_bits >= 64 {
                u128::from(self.next_u64()) >> (unused_bits - 64)
            } else {
                self.next_u128() >> unused_bits
            };
            if drawn <= greatest {
                return drawn;
            }
        }
    }

    /// True with probability `numerator / denominator`, exactly.
    pub fn bernoulli(&mut self, numerator: u128, denominator: u128) -> bool {
        self.below(denominator) < numerator
    }

    /// The next `N` bytes. `N` divides the buffer, so that no draw straddles its end.
    #[inline]
    fn take<const N: usize>(&mut self) -> [u8; N] {
        // Draws of 8 and 16 bytes alternate: round up to the next multiple of N.
        let start = self.used.next_multiple_of(N);
        let start = if start + N > BUFFER_BYTES { self.refill() } else { start };
        self.used = start + N;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.buffer[start..start + N]);
        bytes
    }

    /// New bytes from the buffer's start. After 256 GiB, where ChaCha20's counter ends, the next nonce follows.
    fn refill(&mut self) -> usize {
        self.buffer.fill(0);
        if self.cipher.try_apply_keystream(self.buffer.as_mut()).is_err() {
            self.epoch += 1;
            self.cipher = cipher(&self.key, self.epoch);
            self.cipher.apply_keystream(self.buffer.as_mut());
        }
        0
    }
}

/// ChaCha20 (RFC 8439) with the epoch as its nonce.
fn cipher(key: &[u8; 32], epoch: u64) -> ChaCha20 {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&epoch.to_le_bytes());
    ChaCha20::new(key.into(), &nonce.into())
}

#[cfg(test)]
mod tests;
