//! Fields that several documents have, over `primitives::codec`.

use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_primitives::{Domain, Hash, NodeId, NodeKey, Signature};

use crate::error::DocumentError;
use crate::group::Point;

/// Bytes of a signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

pub(crate) fn hash(reader: &mut Reader<'_>) -> Result<Hash, CodecError> {
    reader.array().map(Hash)
}

pub(crate) fn node(reader: &mut Reader<'_>) -> Result<NodeId, CodecError> {
    reader.array().map(NodeId)
}

pub(crate) fn signature(reader: &mut Reader<'_>) -> Result<Signature, CodecError> {
    reader.array().map(Signature)
}

pub(crate) fn point(reader: &mut Reader<'_>, what: &'static str) -> Result<Point, DocumentError> {
    Point::decode(&reader.array()?).map_err(|source| DocumentError::Point { what, source })
}

/// `count` arrays of `N` bytes; the room is made after the bytes were seen.
pub(crate) fn arrays<const N: usize>(reader: &mut Reader<'_>, count: usize) -> Result<Vec<[u8; N]>, CodecError> {
    Ok(reader.raw(count.saturating_mul(N))?.as_chunks::<N>().0.to_vec())
}

/// `count` hashes; the room is made after the bytes were seen.
pub(crate) fn hashes(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Hash>, CodecError> {
    Ok(reader.raw(count.saturating_mul(32))?.as_chunks::<32>().0.iter().copied().map(Hash).collect())
}

pub(crate) fn format(reader: &mut Reader<'_>, what: &'static str, expected: u8) -> Result<(), DocumentError> {
    match reader.u8()? {
        got if got == expected => Ok(()),
        got => Err(DocumentError::Format { what, expected, got }),
    }
}

pub(crate) fn f64(reader: &mut Reader<'_>) -> Result<f64, CodecError> {
    reader.u64().map(f64::from_bits)
}

pub(crate) fn write_f64(writer: &mut Writer, value: f64) {
    writer.u64(value.to_bits());
}

/// A name for people and for comparison: 1 to `most` bytes of printable ASCII.
pub(crate) fn check_name(what: &'static str, name: &str, most: usize) -> Result<(), DocumentError> {
    crate::error::within(what, name.len() as u64, 1, most as u64)?;
    match name.bytes().find(|byte| !(b' '..=b'~').contains(byte)) {
        Some(got) => Err(DocumentError::NotPrintable { what, got }),
        None => Ok(()),
    }
}

/// A signature that its signer did not make over these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a signature of {signer} under {what}, got another")]
pub struct SignatureRefused {
    /// What should have been signed.
    pub what: &'static str,
    /// Whose signature was expected.
    pub signer: NodeId,
}

impl SignatureRefused {
    /// Nobody: anyone can write a wrong signature under another's name.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        None
    }
}

/// Whoever looks at signatures.
pub(crate) trait Verifier {
    /// Whether `signer` signed `message` for `domain`.
    fn verifies(&self, signer: NodeId, domain: Domain, message: &[u8], signature: &Signature) -> bool;
}

/// Looks at each signature when it is asked.
pub(crate) struct EachTime;

impl Verifier for EachTime {
    fn verifies(&self, signer: NodeId, domain: Domain, message: &[u8], signature: &Signature) -> bool {
        signer.verifies(domain, message, signature)
    }
}

/// What a node states under its signature, itself named in the statement.
pub trait Statement {
    /// What the signature is made for.
    const DOMAIN: Domain;
    /// What is signed, for people.
    const WHAT: &'static str;

    /// Who has to sign.
    fn signer(&self) -> NodeId;

    /// Appends the signed bytes.
    fn write(&self, writer: &mut Writer);

    /// The signed bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }
}

/// A statement with its signature, which may be wrong until [`Signed::verify`] says that it is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<S> {
    /// What is stated.
    pub statement: S,
    /// The signature over its bytes.
    pub signature: Signature,
}

impl<S: Statement> Signed<S> {
    /// Signs `statement` with `key`, which is the signer's.
    #[must_use]
    pub fn sign(statement: S, key: &NodeKey) -> Self {
        let signature = key.sign(S::DOMAIN, &statement.to_bytes());
        Self { statement, signature }
    }

    /// Whether the signer named in the statement signed it.
    ///
    /// # Errors
    /// When the signature is not that node's over these bytes.
    pub fn verify(&self) -> Result<(), SignatureRefused> {
        self.verify_by(&EachTime)
    }

    pub(crate) fn verify_by(&self, verifier: &impl Verifier) -> Result<(), SignatureRefused> {
        let signer = self.statement.signer();
        if verifier.verifies(signer, S::DOMAIN, &self.statement.to_bytes(), &self.signature) {
            Ok(())
        } else {
            Err(SignatureRefused { what: S::WHAT, signer })
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        self.statement.write(writer);
        writer.raw(&self.signature.0);
    }
}
