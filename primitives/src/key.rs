//! Node keys (ed25519) and domain-separated signatures.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::id::NodeId;

/// What a signature is about. Its bytes go in front of the message, so that a signature made for one purpose proves
/// nothing for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain(pub &'static str);

/// An ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", data_encoding::HEXLOWER.encode(&self.0[..8]))
    }
}

/// A node's secret key. It signs, and it is never printed.
#[derive(Clone)]
pub struct NodeKey(SigningKey);

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct EntropyError(getrandom::Error);

impl NodeKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut()).map_err(EntropyError)?;
        Ok(Self::from_secret(&secret))
    }

    /// The key whose secret seed is `secret` (RFC 8032, 32 bytes).
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The secret seed, for the key file and for the transports that need it.
    #[must_use]
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The node that this key belongs to.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        NodeId(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` for `domain`.
    #[must_use]
    pub fn sign(&self, domain: Domain, message: &[u8]) -> Signature {
        Signature(self.0.sign(&domain.prefix(message)).to_bytes())
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey(of {})", self.node_id().short())
    }
}

impl NodeId {
    /// Whether this node signed `message` for `domain`. Rejects weak keys and malleable signatures.
    #[must_use]
    pub fn verifies(&self, domain: Domain, message: &[u8], signature: &Signature) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(&domain.prefix(message), &signature).is_ok()
    }
}

impl Domain {
    /// `domain ‖ 0 ‖ message`: no domain contains a zero byte, so the split is unique.
    fn prefix(self, message: &[u8]) -> Vec<u8> {
        [self.0.as_bytes(), &[0], message].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_message_and_domain_only() {
        let key = NodeKey::from_secret(&[7; 32]);
        let signature = key.sign(Domain("neuro/a"), b"text");
        assert!(key.node_id().verifies(Domain("neuro/a"), b"text", &signature));
        assert!(!key.node_id().verifies(Domain("neuro/b"), b"text", &signature));
        assert!(!key.node_id().verifies(Domain("neuro/a"), b"tex!", &signature));
        let other = NodeKey::from_secret(&[8; 32]);
        assert!(!other.node_id().verifies(Domain("neuro/a"), b"text", &signature));
    }

    #[test]
    fn the_secret_is_not_printed() {
        let key = NodeKey::from_secret(&[7; 32]);
        assert!(!format!("{key:?}").contains("0707"));
    }
}
