//! Complaints and the set of sharers (section 7.3).

use neuro_primitives::Hash;
use neuro_primitives::codec::{Reader, Writer};

use super::shape::Shape;
use crate::error::DocumentError;
use crate::fields;
use crate::identity::Bitmap;
use crate::tags;

/// That a holder fetched its inbox, and which dealers' shares it could not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// `R`.
    pub cohort: Hash,
    /// The bad dealers.
    pub bad: Bitmap,
}

impl Received {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.cohort.0);
        writer.raw(self.bad.encode());
    }

    pub(super) fn read(reader: &mut Reader<'_>, shape: &Shape) -> Result<Self, DocumentError> {
        Ok(Self { cohort: fields::hash(reader)?, bad: bitmap(reader, shape)? })
    }
}

/// Who shared: with whom to mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharers {
    /// `R`.
    pub cohort: Hash,
    /// `U`.
    pub sharers: Bitmap,
}

impl Sharers {
    /// `V`, [`sharers_hash`].
    #[must_use]
    pub fn hash(&self, seed: &Hash) -> Hash {
        sharers_hash(&self.cohort, seed, &self.sharers)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.cohort.0);
        writer.raw(self.sharers.encode());
    }

    pub(super) fn read(reader: &mut Reader<'_>, shape: &Shape) -> Result<Self, DocumentError> {
        Ok(Self { cohort: fields::hash(reader)?, sharers: bitmap(reader, shape)? })
    }
}

/// The sharers hash `V` = `H(neuro/fl/sharers/1; R ‖ seed ‖ bitmap)`.
#[must_use]
pub fn sharers_hash(cohort: &Hash, seed: &Hash, sharers: &Bitmap) -> Hash {
    tags::SHARERS_HASH.hash(&[&cohort.0, &seed.0, sharers.encode()])
}

/// A bitmap of the cohort.
pub(super) fn bitmap(reader: &mut Reader<'_>, shape: &Shape) -> Result<Bitmap, DocumentError> {
    Bitmap::decode(shape.n, reader.raw(Bitmap::byte_count(shape.n))?)
}
