//! A manifest with its publisher's signature.

use neuro_primitives::{Domain, Hash, ModelId, NodeId, NodeKey, Signature, Untrusted};

use super::{Manifest, ManifestError};
use crate::codec::{Reader, Writer};
use crate::limits::{MAX_MANIFEST_BYTES, MAX_SIGNED_MANIFEST_BYTES};

/// Canonical bytes and who vouches for them. Believed by nobody until [`SignedManifest::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    /// The manifest's canonical bytes.
    pub bytes: Vec<u8>,
    /// The node that published the model.
    pub publisher: NodeId,
    /// Its signature over `bytes` for the domain `neuro/manifest/1`.
    pub signature: Signature,
}

/// A manifest that is well formed and signed by its publisher. Whether that publisher is to be trusted is the
/// holder's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedManifest {
    manifest: Manifest,
    model_id: ModelId,
    signed: SignedManifest,
}

impl SignedManifest {
    /// Signs `manifest`, which should have passed [`Manifest::check`], as its publisher.
    #[must_use]
    pub fn sign(manifest: &Manifest, key: &NodeKey) -> Self {
        let bytes = manifest.to_canonical();
        let signature = key.sign(DOMAIN, &bytes);
        Self { bytes, publisher: key.node_id(), signature }
    }

    /// Lets a manifest out of its wrapper once form, rules and signature hold.
    ///
    /// # Errors
    /// When the signature is not the publisher's, or the bytes are no manifest.
    pub fn verify(received: Untrusted<Self>) -> Result<VerifiedManifest, ManifestError> {
        received.verify(|signed| {
            if !signed.publisher.verifies(DOMAIN, &signed.bytes, &signed.signature) {
                return Err(ManifestError::Forged { publisher: signed.publisher });
            }
            let manifest = Manifest::from_canonical(&signed.bytes)?;
            let model_id = ModelId(Hash::of(&signed.bytes));
            Ok(VerifiedManifest { manifest, model_id, signed })
        })
    }

    /// Publisher, signature and manifest as bytes, for messages and files.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(32 + 64 + 4 + self.bytes.len());
        writer.raw(&self.publisher.0);
        writer.raw(&self.signature.0);
        writer.bytes(&self.bytes);
        writer.finish()
    }

    /// What [`Self::encode`] made, still unverified.
    ///
    /// # Errors
    /// When the bytes are malformed or too many.
    pub fn decode(bytes: &[u8]) -> Result<Untrusted<Self>, ManifestError> {
        if bytes.len() > MAX_SIGNED_MANIFEST_BYTES {
            let (most, got) = (MAX_SIGNED_MANIFEST_BYTES, bytes.len());
            return Err(ManifestError::Count { what: "bytes", least: 0, most, got });
        }
        let mut reader = Reader::new(bytes);
        let publisher = NodeId(reader.array()?);
        let signature = Signature(reader.array()?);
        let bytes = reader.bytes("bytes of a manifest", MAX_MANIFEST_BYTES)?.to_vec();
        reader.finish()?;
        Ok(Untrusted::new(Self { bytes, publisher, signature }))
    }
}

impl VerifiedManifest {
    /// What the model consists of.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Who published it.
    #[must_use]
    pub const fn publisher(&self) -> NodeId {
        self.signed.publisher
    }

    /// The hash of its canonical bytes.
    #[must_use]
    pub const fn model_id(&self) -> ModelId {
        self.model_id
    }

    /// The bytes and signature, to hand on.
    #[must_use]
    pub const fn signed(&self) -> &SignedManifest {
        &self.signed
    }
}

/// What a publisher's signature is about.
const DOMAIN: Domain = Domain("neuro/manifest/1");
