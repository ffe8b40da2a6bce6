//! Boxes: a holder's two shares, sealed for it by their dealer (section 7.3).
//!
//! A box is ChaCha20-Poly1305 (RFC 8439) with a zero nonce. Its key is derived from both seal keys, the cohort, the
//! graph's seed and the direction, and everything in the plaintext from the dealer's round secret, so a key never seals
//! two plaintexts.

use std::fmt;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use neuro_primitives::{Hash, NodeId};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::group::{KeyPair, Point, Scalar, ScalarError, decode_scalar};
use crate::kdf;
use crate::share_tree::Dealing;
use crate::tags::SHARE_SEAL_KEY;

/// Bytes of a box: two shares and a tag.
pub const BOX_BYTES: usize = 80;

/// Bytes of the two shares.
const PLAIN_BYTES: usize = 64;

/// A holder's shares of both secrets of a dealer. Wiped on drop, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SharePair {
    /// Of the mask key `s`, kind 0.
    pub mask_key: Scalar,
    /// Of the self-mask seed `b`, kind 1.
    pub self_mask: Scalar,
}

impl SharePair {
    /// The two leaves of the pair under `dealing`, held by `holder`.
    #[must_use]
    pub fn leaves(&self, dealing: &Dealing, holder: NodeId) -> [Hash; 2] {
        use crate::share_tree::ShareKind::{MaskKey, SelfMask};
        [dealing.leaf(holder, MaskKey, &self.mask_key), dealing.leaf(holder, SelfMask, &self.self_mask)]
    }
}

impl Drop for SharePair {
    fn drop(&mut self) {
        self.mask_key.zeroize();
        self.self_mask.zeroize();
    }
}

impl ZeroizeOnDrop for SharePair {}

impl fmt::Debug for SharePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharePair")
    }
}

/// A box that its holder cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sealed by another key, for another holder, graph or root, or changed on the way.
    #[error("expected a box sealed by its dealer for this holder and root, got another")]
    NotSealed,
    /// A share that is no canonical scalar.
    #[error(transparent)]
    Share(#[from] ScalarError),
}

/// Seals `shares` with the dealer's seal key `own` for `holder`, whose seal key is `peer`, under the dealer's `root`.
#[must_use]
pub fn seal(
    own: &KeyPair,
    peer: &Point,
    dealing: &Dealing,
    holder: NodeId,
    root: &Hash,
    shares: &SharePair,
) -> [u8; BOX_BYTES] {
    let mut sealed = [0; BOX_BYTES];
    let (text, tag) = sealed.split_at_mut(PLAIN_BYTES);
    text[..32].copy_from_slice(shares.mask_key.as_bytes());
    text[32..].copy_from_slice(shares.self_mask.as_bytes());
    let bound = additional_data(dealing, holder, root);
    let made = cipher(own, peer, dealing, holder).encrypt_inout_detached(&Nonce::default(), &bound, text.into());
    assert!(made.is_ok(), "64 bytes are less than the cipher's limit of 256 GiB");
    made.iter().for_each(|made| tag.copy_from_slice(made));
    sealed
}

/// Opens a box that came to `holder`, whose seal key is `own`, from the dealer with the seal key `peer`.
///
/// # Errors
/// A box that was not made by this dealer for this holder, graph and root, and shares that are no canonical scalars.
pub fn open(
    own: &KeyPair,
    peer: &Point,
    dealing: &Dealing,
    holder: NodeId,
    root: &Hash,
    sealed: &[u8; BOX_BYTES],
) -> Result<SharePair, OpenError> {
    let mut copy = Zeroizing::new(*sealed);
    let (text, tag) = copy.split_at_mut(PLAIN_BYTES);
    let tag = (&*tag).try_into().map_err(|_| OpenError::NotSealed)?;
    let bound = additional_data(dealing, holder, root);
    cipher(own, peer, dealing, holder)
        .decrypt_inout_detached(&Nonce::default(), &bound, text.into(), tag)
        .map_err(|_| OpenError::NotSealed)?;
    let (halves, _) = text.as_chunks::<32>();
    Ok(SharePair { mask_key: decode_scalar(&halves[0])?, self_mask: decode_scalar(&halves[1])? })
}

/// The cipher under `KDF(e_i·E_j, R, "neuro/fl/share-seal/1", seed ‖ dealer ‖ holder, 32)`.
fn cipher(own: &KeyPair, peer: &Point, dealing: &Dealing, holder: NodeId) -> ChaCha20Poly1305 {
    let parts: [&[u8]; 3] = [&dealing.seed.0, &dealing.dealer.0, &holder.0];
    let key = kdf::derive::<32>(own.agree(peer).as_bytes(), &dealing.cohort.0, SHARE_SEAL_KEY, &parts);
    ChaCha20Poly1305::new((&*key).into())
}

/// `R ‖ dealer ‖ holder ‖ root`.
fn additional_data(dealing: &Dealing, holder: NodeId, root: &Hash) -> [u8; 128] {
    let mut bytes = [0; 128];
    let parts = [dealing.cohort.0, dealing.dealer.0, holder.0, root.0];
    bytes.copy_from_slice(parts.as_flattened());
    bytes
}

#[cfg(test)]
mod tests;
