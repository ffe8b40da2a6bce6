//! Joins (section 5): the keys of one attempt and a commitment to a nonce.

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Domain, Hash, NodeId};

use crate::error::{DocumentError, within};
use crate::fields::{self, Signed, Statement};
use crate::group::Point;
use crate::tags;

/// The format of joins.
const JOIN_FORMAT: u8 = 1;
/// Attempts are 0, 1 and 2: the bounds of section 11 count three draws of the seed.
pub const LAST_ATTEMPT: u8 = 2;

/// What a participant signs when it joins: 162 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinStatement {
    /// The configuration that it agrees to.
    pub config: Hash,
    /// 0 to 2.
    pub attempt: u8,
    /// Who joins.
    pub member: NodeId,
    /// `M`: the public mask key.
    pub mask_key: Point,
    /// `E`: the public seal key.
    pub seal_key: Point,
    /// [`nonce_commitment`].
    pub nonce_commitment: Hash,
}

/// A signed join.
pub type Join = Signed<JoinStatement>;

/// `H(neuro/fl/nonce/1; config hash ‖ a ‖ member ‖ nonce)`.
#[must_use]
pub fn nonce_commitment(config: &Hash, attempt: u8, member: &NodeId, nonce: &[u8; 32]) -> Hash {
    tags::NONCE_HASH.hash(&[&config.0, &[attempt], &member.0, nonce])
}

impl Statement for JoinStatement {
    const DOMAIN: Domain = tags::JOIN;
    const WHAT: &'static str = "a join";

    fn signer(&self) -> NodeId {
        self.member
    }

    fn write(&self, writer: &mut Writer) {
        writer.u8(JOIN_FORMAT);
        writer.raw(&self.config.0);
        writer.u8(self.attempt);
        writer.raw(&self.member.0);
        writer.raw(&self.mask_key.encode());
        writer.raw(&self.seal_key.encode());
        writer.raw(&self.nonce_commitment.0);
    }
}

impl Join {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DocumentError> {
        fields::format(reader, "a join", JOIN_FORMAT)?;
        let statement = JoinStatement {
            config: fields::hash(reader)?,
            attempt: attempt(reader)?,
            member: fields::node(reader)?,
            mask_key: fields::point(reader, "the mask key")?,
            seal_key: fields::point(reader, "the seal key")?,
            nonce_commitment: fields::hash(reader)?,
        };
        Ok(Self { statement, signature: fields::signature(reader)? })
    }
}

/// The number of an attempt.
pub(super) fn attempt(reader: &mut Reader<'_>) -> Result<u8, DocumentError> {
    let attempt = reader.u8()?;
    within("the attempt", attempt.into(), 0, LAST_ATTEMPT.into())?;
    Ok(attempt)
}
