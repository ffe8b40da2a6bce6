//! The one set of survivors (section 9.1), shown to each of them with its neighbours' upload statements.

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Hash, NodeId, Signature};

use super::shape::Shape;
use super::sharers::bitmap;
use super::upload::{Upload, UploadStatement};
use crate::error::DocumentError;
use crate::fields;
use crate::identity::Bitmap;
use crate::tags;

/// What differs between the upload statements of a cohort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownUpload {
    /// BLAKE3 of the payload.
    pub payload: Hash,
    /// The member's signature under its statement.
    pub signature: Signature,
}

impl ShownUpload {
    /// The statement that `member` should have signed: all payloads of a cohort have `bytes` bytes.
    #[must_use]
    pub fn upload(&self, cohort: Hash, sharers: Hash, member: NodeId, bytes: u64) -> Upload {
        let statement = UploadStatement { cohort, sharers, member, bytes, payload: self.payload };
        Upload { statement, signature: self.signature }
    }
}

/// The set that a member is asked to vote for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivors {
    /// `R`.
    pub cohort: Hash,
    /// `V`.
    pub sharers: Hash,
    /// `S`.
    pub survivors: Bitmap,
    /// For each neighbour in `S`, ascending; at most k.
    pub uploads: Vec<ShownUpload>,
}

impl Survivors {
    /// `Z`, [`survivors_hash`].
    #[must_use]
    pub fn hash(&self) -> Hash {
        survivors_hash(&self.cohort, &self.sharers, &self.survivors)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.cohort.0);
        writer.raw(&self.sharers.0);
        writer.raw(self.survivors.encode());
        writer.count(self.uploads.len());
        for upload in &self.uploads {
            writer.raw(&upload.payload.0);
            writer.raw(&upload.signature.0);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>, shape: &Shape) -> Result<Self, DocumentError> {
        Ok(Self {
            cohort: fields::hash(reader)?,
            sharers: fields::hash(reader)?,
            survivors: bitmap(reader, shape)?,
            uploads: (0..reader.count("upload statements", shape.k.into(), 96)?)
                .map(|_| Ok(ShownUpload { payload: fields::hash(reader)?, signature: fields::signature(reader)? }))
                .collect::<Result<_, DocumentError>>()?,
        })
    }
}

/// The survivors hash `Z` = `H(neuro/fl/survivors/1; R ‖ V ‖ bitmap)`.
#[must_use]
pub fn survivors_hash(cohort: &Hash, sharers: &Hash, survivors: &Bitmap) -> Hash {
    tags::SURVIVORS_HASH.hash(&[&cohort.0, &sharers.0, survivors.encode()])
}
