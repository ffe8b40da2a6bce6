//! Answers (section 9.2): one share per neighbour, of the kind that the set of survivors asks for.

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Hash, NodeId, NodeKey, Signature};

use super::shape::Shape;
use crate::error::DocumentError;
use crate::fields::{self, SignatureRefused};
use crate::tags;

/// A share as it is sent: 32 bytes whose leaf is in its dealer's root. They are a canonical scalar if the responder is
/// honest; who sends others is to be named, so they can be read.
pub type Share = [u8; 32];

/// What a member gives for one set.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// `Z`.
    pub survivors: Hash,
    /// For each neighbour in `U`, ascending, at most k: of its self-mask if it survived, of its mask key if it is dead,
    /// none if the member holds none.
    pub shares: Vec<Option<Share>>,
    /// The member's signature over all before it.
    pub signature: Signature,
}

impl Answer {
    /// Signs an answer with the member's key. Whoever calls this stores the answer before it is sent.
    #[must_use]
    pub fn sign(survivors: Hash, shares: Vec<Option<Share>>, key: &NodeKey) -> Self {
        let signature = key.sign(tags::ANSWER, &unsigned(&survivors, &shares));
        Self { survivors, shares, signature }
    }

    /// Whether `responder` gave this answer.
    ///
    /// # Errors
    /// When the signature is not the responder's over these shares.
    pub fn verify(&self, responder: NodeId) -> Result<(), SignatureRefused> {
        if responder.verifies(tags::ANSWER, &unsigned(&self.survivors, &self.shares), &self.signature) {
            Ok(())
        } else {
            Err(SignatureRefused { what: "an answer", signer: responder })
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&unsigned(&self.survivors, &self.shares));
        writer.raw(&self.signature.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>, shape: &Shape) -> Result<Self, DocumentError> {
        let survivors = fields::hash(reader)?;
        let count = reader.count("shares", shape.k.into(), 1)?;
        let share = |_| if reader.flag()? { reader.array().map(Some) } else { Ok(None) };
        let shares = (0..count).map(share).collect::<Result<_, _>>()?;
        Ok(Self { survivors, shares, signature: fields::signature(reader)? })
    }
}

/// Shares are for the aggregator, not for logs.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let held = self.shares.iter().flatten().count();
        write!(f, "Answer(to {}, {held} of {} shares)", self.survivors.short(), self.shares.len())
    }
}

/// What is signed: `Z`, then the shares with their count.
fn unsigned(survivors: &Hash, shares: &[Option<Share>]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(32 + 4 + 33 * shares.len());
    writer.raw(&survivors.0);
    writer.count(shares.len());
    for share in shares {
        writer.flag(share.is_some());
        writer.raw(share.as_ref().map_or(&[], |share| share));
    }
    writer.finish()
}
