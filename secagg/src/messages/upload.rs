//! Upload statements (section 8): which payload a participant sends, once.

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Domain, Hash, NodeId};

use crate::error::DocumentError;
use crate::fields::{self, Signed, Statement};
use crate::tags;

/// What a participant signs before it uploads: 136 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadStatement {
    /// `R`.
    pub cohort: Hash,
    /// `V`: the sharers that it masked with.
    pub sharers: Hash,
    /// Who uploads.
    pub member: NodeId,
    /// Bytes of the payload.
    pub bytes: u64,
    /// BLAKE3 of the payload.
    pub payload: Hash,
}

/// A signed upload statement.
pub type Upload = Signed<UploadStatement>;

impl Statement for UploadStatement {
    const DOMAIN: Domain = tags::UPLOAD;
    const WHAT: &'static str = "an upload statement";

    fn signer(&self) -> NodeId {
        self.member
    }

    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.cohort.0);
        writer.raw(&self.sharers.0);
        writer.raw(&self.member.0);
        writer.u64(self.bytes);
        writer.raw(&self.payload.0);
    }
}

impl Upload {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DocumentError> {
        let statement = UploadStatement {
            cohort: fields::hash(reader)?,
            sharers: fields::hash(reader)?,
            member: fields::node(reader)?,
            bytes: reader.u64()?,
            payload: fields::hash(reader)?,
        };
        Ok(Self { statement, signature: fields::signature(reader)? })
    }
}
