//! Randomness that two parties have in common, and challenges that the third can check.
//!
//! Component c of the shared randomness is known to P_c and P_{c-1}. It gives three keys a proof: the masks between
//! prover P_c and its left verifier, the masks between prover P_{c-1} and its right verifier, and the challenges of the
//! two verifiers of P_{c+1}, who does not know c. A challenge is 32 bytes: one verifier tells it, and the other has told
//! its hash before, so neither can lead the prover astray.

use super::algebra::Algebra;

/// Words that a proof draws of each component.
pub(super) const WORDS: usize = 12;

/// Bytes of a challenge and of its hash.
pub(super) const BYTES: usize = 32;

/// The three keys of one component.
pub(super) struct Keys {
    /// Masks of instance c, with its left verifier.
    pub left: Stream,
    /// Masks of instance c-1, with its right verifier.
    pub right: Stream,
    /// Challenges of instance c+1.
    challenges: [u8; BYTES],
}

impl Keys {
    /// From fresh words of the component.
    pub fn new(words: &[u64; WORDS]) -> Self {
        let mut keys = [[0; BYTES]; 3];
        for (byte, source) in keys.iter_mut().flatten().zip(words.iter().flat_map(|word| word.to_le_bytes())) {
            *byte = source;
        }
        let [left, right, challenges] = keys;
        Self { left: Stream::new(&left), right: Stream::new(&right), challenges }
    }

    /// Challenge `index` of instance c+1.
    pub fn challenge(&self, index: usize) -> Challenge {
        let mut hasher = blake3::Hasher::new_keyed(&self.challenges);
        hasher.update(b"challenge").update(&(index as u64).to_le_bytes());
        Challenge(*hasher.finalize().as_bytes())
    }
}

/// Unpredictable to the prover until it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Challenge(pub [u8; BYTES]);

impl Challenge {
    /// What the other verifier tells of it. Says nothing of the 256 bits before they are told.
    pub fn hash(&self) -> [u8; BYTES] {
        blake3::derive_key("neuro smpc proof: hash of a challenge", &self.0)
    }

    /// The point at which the polynomials of both algebras are evaluated: `[ring, bits]`, words of the exceptional
    /// set, never 0, so that they are units.
    pub fn points(&self) -> [u64; 2] {
        let mut stream = Stream::new(&self.0);
        [stream.word().max(1), stream.word().max(1)]
    }
}

/// The random weights of an instance come from the two parts of its seed, one from each verifier.
pub(super) fn weights(parts: [Challenge; 2]) -> Stream {
    let key = blake3::derive_key("neuro smpc proof: weights", &[parts[0].0, parts[1].0].concat());
    Stream::new(&key)
}

/// Pseudo-random words of a key.
pub(super) struct Stream(blake3::OutputReader);

impl Stream {
    fn new(key: &[u8; BYTES]) -> Self {
        Self(blake3::Hasher::new_keyed(key).update(b"stream").finalize_xof())
    }

    fn word(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// `[count]` words.
    pub fn words(&mut self, count: usize) -> Vec<u64> {
        let mut bytes = vec![0; 8 * count];
        self.0.fill(&mut bytes);
        bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
    }

    /// `[count]` uniform elements.
    pub fn elements<A: Algebra>(&mut self, count: usize) -> Vec<A> {
        let mut bytes = vec![0; A::BYTES * count];
        self.0.fill(&mut bytes);
        bytes.chunks_exact(A::BYTES).map(A::read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_challenges_differ() {
        let mut keys = Keys::new(&std::array::from_fn(|i| i as u64));
        assert_ne!(keys.left.words(4), keys.right.words(4));
        assert!(keys.challenge(0) != keys.challenge(1));
        let other = Keys::new(&[7; WORDS]);
        assert!(keys.challenge(0) != other.challenge(0));
        assert_ne!(keys.challenge(0).hash(), keys.challenge(0).0);
        let [a, b] = [keys.challenge(0), keys.challenge(1)];
        assert_ne!(weights([a, b]).words(1), weights([b, a]).words(1));
    }
}
