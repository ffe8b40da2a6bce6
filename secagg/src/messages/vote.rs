//! Votes and the certificate (sections 9.1 and 9.2).

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Hash, NodeId, NodeKey, Signature};

use super::shape::Shape;
use crate::error::{DocumentError, ascending, within};
use crate::fields::{self, EachTime, SignatureRefused, Verifier};
use crate::identity::Member;
use crate::tags;

/// A member's one vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// `Z`.
    pub survivors: Hash,
    /// The member's signature over `Z`.
    pub signature: Signature,
}

impl Vote {
    /// Votes for `Z` with the member's key. Whoever calls this has stored that it does.
    #[must_use]
    pub fn sign(survivors: Hash, key: &NodeKey) -> Self {
        Self { survivors, signature: key.sign(tags::VOTE, &survivors.0) }
    }

    /// Whether `voter` voted so.
    ///
    /// # Errors
    /// When the signature is not the voter's over `Z`.
    pub fn verify(&self, voter: NodeId) -> Result<(), SignatureRefused> {
        self.verify_by(&EachTime, voter)
    }

    pub(crate) fn verify_by(&self, verifier: &impl Verifier, voter: NodeId) -> Result<(), SignatureRefused> {
        if verifier.verifies(voter, tags::VOTE, &self.survivors.0, &self.signature) {
            Ok(())
        } else {
            Err(SignatureRefused { what: "a vote", signer: voter })
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.survivors.0);
        writer.raw(&self.signature.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DocumentError> {
        Ok(Self { survivors: fields::hash(reader)?, signature: fields::signature(reader)? })
    }
}

/// That q different members voted for one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// `Z`.
    pub survivors: Hash,
    /// `[q]`, ascending by member.
    pub votes: Vec<(Member, Signature)>,
}

impl Certificate {
    /// The votes as they were cast.
    pub fn votes(&self) -> impl Iterator<Item = (Member, Vote)> + '_ {
        self.votes.iter().map(|&(member, signature)| (member, Vote { survivors: self.survivors, signature }))
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.survivors.0);
        for (member, signature) in &self.votes {
            writer.u16(member.0);
            writer.raw(&signature.0);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>, shape: &Shape) -> Result<Self, DocumentError> {
        let survivors = fields::hash(reader)?;
        let mut block = Reader::new(reader.raw(66 * usize::from(shape.q))?);
        let vote = |_| Ok((Member(block.u16()?), fields::signature(&mut block)?));
        let votes: Vec<_> = (0..shape.q).map(vote).collect::<Result<_, DocumentError>>()?;
        ascending("voters", votes.iter().map(|(member, _)| member))?;
        let last = votes.last().map_or(0, |(member, _)| member.0);
        within("a voter's number", last.into(), 0, u64::from(shape.n) - 1)?;
        Ok(Self { survivors, votes })
    }
}
