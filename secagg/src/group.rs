//! The group: ristretto255 scalars and points, mask keys and seal keys (sections 2 and 5).
//!
//! A point enters in one place, [`Point::decode`], which refuses the identity and every form but the canonical one. A
//! scalar enters in [`decode_scalar`]. So what the other modules hold is always an element of the group.

mod agreements;

use std::fmt;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::traits::IsIdentity;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub use agreements::agree_all;
pub use curve25519_dalek::Scalar;

/// An element of the group other than the identity: a public key or a commitment. 32 bytes in its canonical form.
#[derive(Clone, Copy)]
pub struct Point {
    encoded: [u8; 32],
    element: RistrettoPoint,
}

/// Bytes that are no admissible point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// Not the canonical encoding of a ristretto255 element.
    #[error("expected a canonical ristretto255 point, got other bytes")]
    NotCanonical,
    /// The identity, for which every shared point is known.
    #[error("expected a point other than the identity, got the identity")]
    Identity,
}

/// Bytes that are no scalar below ℓ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a scalar below the group's order, got a greater one")]
pub struct ScalarError;

impl Point {
    /// Takes a point that came from outside.
    ///
    /// # Errors
    /// Non-canonical bytes and the identity are refused.
    pub fn decode(encoded: &[u8; 32]) -> Result<Self, PointError> {
        let element = CompressedRistretto(*encoded).decompress().ok_or(PointError::NotCanonical)?;
        if element.is_identity() {
            return Err(PointError::Identity);
        }
        Ok(Self { encoded: *encoded, element })
    }

    /// `scalar`·G in constant time. The identity if `scalar` is 0, which no reader would accept.
    #[must_use]
    pub fn base_times(scalar: &Scalar) -> Self {
        let element = RistrettoPoint::mul_base(scalar);
        Self { encoded: element.compress().to_bytes(), element }
    }

    /// The canonical form.
    #[must_use]
    pub const fn encode(&self) -> [u8; 32] {
        self.encoded
    }

    /// The element, for arithmetic on public values.
    pub(crate) const fn element(&self) -> RistrettoPoint {
        self.element
    }
}

impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Point {}

impl std::hash::Hash for Point {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.encoded.hash(state);
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Point({})", neuro_primitives::Hash(self.encoded).short())
    }
}

/// Takes a scalar that came from outside.
///
/// # Errors
/// Bytes of ℓ and above are refused: a share has one form only.
pub fn decode_scalar(encoded: &[u8; 32]) -> Result<Scalar, ScalarError> {
    Option::from(Scalar::from_canonical_bytes(*encoded)).ok_or(ScalarError)
}

/// A secret scalar with its public point: a mask key `s`, `M = s·G`, or a seal key `e`, `E = e·G`. Never printed.
#[derive(Clone)]
pub struct KeyPair {
    secret: Scalar,
    public: Point,
}

impl KeyPair {
    /// The pair of `secret`, drawn or rebuilt. A rebuilt one is right if its [`public`](Self::public) is the signed one.
    #[must_use]
    pub fn new(secret: Scalar) -> Self {
        Self { secret, public: Point::base_times(&secret) }
    }

    /// The public point.
    #[must_use]
    pub const fn public(&self) -> Point {
        self.public
    }

    /// The secret scalar, to be shared: that of a mask key only.
    #[must_use]
    pub const fn secret(&self) -> &Scalar {
        &self.secret
    }

    /// The Diffie-Hellman point of this key and `peer`, in constant time. The same from both sides.
    #[must_use]
    pub fn agree(&self, peer: &Point) -> SharedPoint {
        let mut shared = self.secret * peer.element;
        let encoded = Zeroizing::new(shared.compress().to_bytes());
        shared.zeroize();
        SharedPoint(encoded)
    }
}

impl Drop for KeyPair {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl ZeroizeOnDrop for KeyPair {}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair(of {:?})", self.public)
    }
}

/// What two members share by their keys: input of a key derivation, never a key itself. Wiped on drop.
pub struct SharedPoint(Zeroizing<[u8; 32]>);

impl SharedPoint {
    /// The encoded point.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SharedPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedPoint")
    }
}

#[cfg(test)]
mod tests;
