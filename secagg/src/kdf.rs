//! Derived keys: what a participant draws from its round secret (section 5), and seeds of masks (section 8).
//!
//! `KDF(ikm, salt, info…, L)` is HKDF-SHA256 (RFC 5869) with `info` = tag ‖ 0 ‖ parts (section 2). All parts but labels
//! are of fixed size, and a label is followed by five bytes always, so no two lists of parts read alike.

use std::fmt;

use hkdf::Hkdf;
use neuro_primitives::{Hash, NodeId};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::group::{KeyPair, Scalar, SharedPoint};
use crate::masks::{Generator, MaskSeed};
use crate::tags::{PAIR_MASK_KEY, SECRET_KEY, SELF_MASK_KEY, Tag};

/// `KDF(ikm, salt, info…, N)` with the info tag ‖ 0 ‖ `parts`.
#[must_use]
pub fn derive<const N: usize>(ikm: &[u8], salt: &[u8], tag: Tag, parts: &[&[u8]]) -> Zeroizing<[u8; N]> {
    expand(&Hkdf::new(Some(salt), ikm), &info(tag, parts))
}

/// tag ‖ 0 ‖ `parts`.
fn info<'a>(tag: Tag, parts: &[&'a [u8]]) -> Vec<&'a [u8]> {
    [&[tag.0.as_bytes(), &[0]], parts].concat()
}

/// The second half of the KDF, for a pseudorandom key that is used more than once.
fn expand<const N: usize>(key: &Hkdf<Sha256>, info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32, "HKDF-SHA256 gives 255 hashes at most") };
    let mut out = Zeroizing::new([0; N]);
    let filled = key.expand_multi_info(info, out.as_mut());
    assert!(filled.is_ok(), "the length was checked when this was compiled");
    out
}

/// The 32 random bytes of a participant in a round and cohort: the source of all its randomness there. Stored durably
/// before anything leaves, wiped on drop, never printed.
#[derive(Clone)]
pub struct RoundSecret(Zeroizing<[u8; 32]>);

/// The operating system gave no random bytes.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct EntropyError(getrandom::Error);

impl RoundSecret {
    /// A new secret from the operating system's randomness.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).map_err(EntropyError)?;
        Ok(Self(bytes))
    }

    /// The secret with these bytes, as its record holds them.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the record.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What belongs to attempt `attempt` (0 to 2) under the configuration with the hash `config`.
    #[must_use]
    pub fn attempt(&self, config: &Hash, attempt: u8) -> AttemptSecret {
        AttemptSecret { key: Hkdf::new(Some(&config.0), self.0.as_ref()), attempt }
    }
}

impl fmt::Debug for RoundSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoundSecret")
    }
}

/// A participant's randomness in one attempt. The same call gives the same value again, so what is sent twice has the
/// same bytes.
pub struct AttemptSecret {
    key: Hkdf<Sha256>,
    attempt: u8,
}

impl AttemptSecret {
    /// `s`, the mask key, which is shared.
    #[must_use]
    pub fn mask_key(&self) -> KeyPair {
        KeyPair::new(self.scalar("mask-key", 0))
    }

    /// `e`, the seal key, which never is.
    #[must_use]
    pub fn seal_key(&self) -> KeyPair {
        KeyPair::new(self.scalar("seal-key", 0))
    }

    /// `b`, the seed of the self-mask.
    #[must_use]
    pub fn self_mask(&self) -> Zeroizing<Scalar> {
        Zeroizing::new(self.scalar("self-mask", 0))
    }

    /// The nonce that goes into the graph's seed.
    #[must_use]
    pub fn nonce(&self) -> [u8; 32] {
        *self.draw("nonce", 0)
    }

    /// Coefficients 1 to t − 1 of the polynomial of the mask key. `[threshold − 1]`
    #[must_use]
    pub fn mask_coefficients(&self, threshold: u16) -> Zeroizing<Vec<Scalar>> {
        self.coefficients("mask-coefficient", threshold)
    }

    /// Coefficients 1 to t − 1 of the polynomial of the self-mask seed. `[threshold − 1]`
    #[must_use]
    pub fn self_coefficients(&self, threshold: u16) -> Zeroizing<Vec<Scalar>> {
        self.coefficients("self-coefficient", threshold)
    }

    fn coefficients(&self, label: &str, threshold: u16) -> Zeroizing<Vec<Scalar>> {
        Zeroizing::new((1..u32::from(threshold)).map(|index| self.scalar(label, index)).collect())
    }

    /// 64 derived bytes reduced modulo ℓ: within 2^−256 of uniform.
    fn scalar(&self, label: &str, index: u32) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&self.draw::<64>(label, index))
    }

    fn draw<const N: usize>(&self, label: &str, index: u32) -> Zeroizing<[u8; N]> {
        let index = index.to_le_bytes();
        expand(&self.key, &info(SECRET_KEY, &[label.as_bytes(), &[self.attempt], &index]))
    }
}

impl fmt::Debug for AttemptSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttemptSecret({})", self.attempt)
    }
}

/// What all seeds of masks of a cohort are bound to (section 8).
#[derive(Debug, Clone)]
pub struct MaskContext {
    salt: [u8; 32],
    config: Hash,
    base: Hash,
    generator: Generator,
}

impl MaskContext {
    /// The context of the cohort with hash `cohort` (`R`), whose sharers have the hash `sharers` (`V`), under the
    /// configuration with the hash `config`, the base hash `base` and the generator of its field 14.
    #[must_use]
    pub fn new(cohort: &Hash, sharers: &Hash, config: &Hash, base: &Hash, generator: Generator) -> Self {
        let salt = Hash::of([cohort.0, sharers.0].as_flattened()).0;
        Self { salt, config: *config, base: *base, generator }
    }

    /// The pair key of `one` and `other`, who share the point `shared`; the same whoever comes first.
    #[must_use]
    pub fn pair(&self, shared: &SharedPoint, one: NodeId, other: NodeId) -> MaskSeed {
        let (lo, hi) = (one.min(other), one.max(other));
        self.seed(shared.as_bytes(), PAIR_MASK_KEY, &[lo, hi])
    }

    /// The self key of `member`, whose self-mask seed `b` is `self_mask`.
    #[must_use]
    pub fn own(&self, self_mask: &Scalar, member: NodeId) -> MaskSeed {
        self.seed(self_mask.as_bytes(), SELF_MASK_KEY, &[member])
    }

    fn seed(&self, ikm: &[u8; 32], tag: Tag, members: &[NodeId]) -> MaskSeed {
        let mut parts: Vec<&[u8]> = vec![&self.config.0, &self.base.0];
        parts.extend(members.iter().map(|member| member.0.as_slice()));
        match self.generator {
            Generator::Aes128Ctr => MaskSeed::Aes128Ctr(*derive(ikm, &self.salt, tag, &parts)),
            Generator::ChaCha20 => MaskSeed::ChaCha20(*derive(ikm, &self.salt, tag, &parts)),
        }
    }
}

#[cfg(test)]
mod tests;
