//! The cohort announcement (section 5): everybody's join and the parameters. Its hash `R` is in all that follows.

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Hash, NodeId, Signature};

use super::join::{Join, JoinStatement, attempt};
use super::shape::Shape;
use crate::config::MOST_MEMBERS;
use crate::error::{DocumentError, ascending, within};
use crate::fields;
use crate::group::Point;
use crate::identity::Member;
use crate::tags;

/// The kind of cohort announcements.
pub(crate) const COHORT_KIND: u8 = 1;
/// The format of cohort announcements.
const COHORT_FORMAT: u8 = 1;
/// Bytes of a row.
const ROW_BYTES: usize = 192;

/// One member's join, without what all joins of the cohort have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The member.
    pub node: NodeId,
    /// `M`: its public mask key.
    pub mask_key: Point,
    /// `E`: its public seal key.
    pub seal_key: Point,
    /// The commitment to its nonce.
    pub nonce_commitment: Hash,
    /// Its signature under the join.
    pub signature: Signature,
}

/// Who takes part with which keys, and the numbers that protect them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cohort {
    /// The configuration's hash.
    pub config: Hash,
    /// 0 to 2.
    pub attempt: u8,
    /// Neighbours of each member.
    pub k: u16,
    /// Shares that rebuild a secret.
    pub t: u16,
    /// Votes of a certificate.
    pub q: u16,
    /// `B`: bits of the modulus, 2 to 64.
    pub modulus_bits: u8,
    /// `[n]`, ascending by node id: the place of a row is the member's number.
    pub rows: Vec<Row>,
}

impl Cohort {
    /// `n`: how many members there are.
    #[must_use]
    pub fn n(&self) -> u16 {
        // At most 4,096 when read; a list of more is nobody's cohort.
        u16::try_from(self.rows.len()).unwrap_or(u16::MAX)
    }

    /// The lengths of this cohort's messages. `feldman` is field 19 of the configuration.
    #[must_use]
    pub fn shape(&self, feldman: bool) -> Shape {
        Shape { n: self.n(), k: self.k, t: self.t, q: self.q, feldman }
    }

    /// The cohort hash `R` = `H(neuro/fl/cohort/1; BLAKE3(the body))`.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut writer = Writer::with_capacity(128 + ROW_BYTES * self.rows.len());
        self.write(&mut writer);
        tags::COHORT_HASH.hash(&[&Hash::of(&writer.finish()).0])
    }

    /// The number of `node`, none if it is not in the cohort.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<Member> {
        let at = self.rows.binary_search_by_key(&node, |row| row.node).ok()?;
        u16::try_from(at).ok().map(Member)
    }

    /// The row of `member`, none beyond the cohort.
    #[must_use]
    pub fn row(&self, member: Member) -> Option<&Row> {
        self.rows.get(member.index())
    }

    /// The join that `row` stands for, to be verified.
    #[must_use]
    pub fn join(&self, row: &Row) -> Join {
        let statement = JoinStatement {
            config: self.config,
            attempt: self.attempt,
            member: row.node,
            mask_key: row.mask_key,
            seal_key: row.seal_key,
            nonce_commitment: row.nonce_commitment,
        };
        Join { statement, signature: row.signature }
    }

    /// `kind ‖ body` of its announcement.
    pub(crate) fn unsigned(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(128 + ROW_BYTES * self.rows.len());
        writer.u8(COHORT_KIND);
        self.write(&mut writer);
        writer.finish()
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u8(COHORT_FORMAT);
        writer.raw(&self.config.0);
        writer.u8(self.attempt);
        writer.u16(self.k);
        writer.u16(self.t);
        writer.u16(self.q);
        writer.u8(self.modulus_bits);
        writer.count(self.rows.len());
        for row in &self.rows {
            writer.raw(&row.node.0);
            writer.raw(&row.mask_key.encode());
            writer.raw(&row.seal_key.encode());
            writer.raw(&row.nonce_commitment.0);
            writer.raw(&row.signature.0);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DocumentError> {
        fields::format(reader, "a cohort", COHORT_FORMAT)?;
        let cohort = Self {
            config: fields::hash(reader)?,
            attempt: attempt(reader)?,
            k: reader.u16()?,
            t: reader.u16()?,
            q: reader.u16()?,
            modulus_bits: reader.u8()?,
            rows: rows(reader)?,
        };
        cohort.shape(false).check()?;
        within("bits of the modulus", cohort.modulus_bits.into(), 2, 64)?;
        ascending("members of the cohort", cohort.rows.iter().map(|row| row.node))?;
        Ok(cohort)
    }
}

impl From<&Join> for Row {
    fn from(join: &Join) -> Self {
        let JoinStatement { member, mask_key, seal_key, nonce_commitment, .. } = join.statement;
        Self { node: member, mask_key, seal_key, nonce_commitment, signature: join.signature }
    }
}

fn rows(reader: &mut Reader<'_>) -> Result<Vec<Row>, DocumentError> {
    let count = reader.count("members of the cohort", MOST_MEMBERS.into(), ROW_BYTES)?;
    let row = |_| {
        Ok(Row {
            node: fields::node(reader)?,
            mask_key: fields::point(reader, "a mask key")?,
            seal_key: fields::point(reader, "a seal key")?,
            nonce_commitment: fields::hash(reader)?,
            signature: fields::signature(reader)?,
        })
    };
    (0..count).map(row).collect()
}
