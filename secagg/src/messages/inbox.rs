//! A holder's inbox (section 7.3): what its neighbours dealt to it.

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Hash, NodeId, Signature};

use super::shape::Shape;
use super::shares::ShareStatement;
use crate::error::{DocumentError, ascending, within};
use crate::fields::{self, Signed};
use crate::identity::Member;
use crate::seal::BOX_BYTES;

/// Bytes of a dealing whose path is empty.
const LEAST_DEALING_BYTES: usize = 2 + 3 * 32 + 64 + BOX_BYTES + 1;

/// What one neighbour dealt to the holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dealing {
    /// The neighbour.
    pub dealer: Member,
    /// The root of its tree.
    pub root: Hash,
    /// Its commitment to the self-mask seed.
    pub self_mask_commitment: Hash,
    /// The hash of its Feldman points; zeros without.
    pub feldman_hash: Hash,
    /// Its signature under the statement.
    pub signature: Signature,
    /// The box for the holder.
    pub sealed: [u8; BOX_BYTES],
    /// From the pair's node up; at most ⌈log2 k⌉ hashes.
    pub path: Vec<Hash>,
    /// With field 19 the dealer's points as in [`super::Shares::feldman`], else none.
    pub feldman: Vec<[u8; 32]>,
}

impl Dealing {
    /// The statement that the dealer, whose node is `dealer`, should have signed in the cohort `R` with this seed.
    #[must_use]
    pub fn statement(&self, cohort: Hash, seed: Hash, dealer: NodeId) -> Signed<ShareStatement> {
        let statement = ShareStatement {
            cohort,
            seed,
            dealer,
            root: self.root,
            self_mask_commitment: self.self_mask_commitment,
            feldman: self.feldman_hash,
        };
        Signed { statement, signature: self.signature }
    }

    fn write(&self, writer: &mut Writer) {
        writer.u16(self.dealer.0);
        writer.raw(&self.root.0);
        writer.raw(&self.self_mask_commitment.0);
        writer.raw(&self.feldman_hash.0);
        writer.raw(&self.signature.0);
        writer.raw(&self.sealed);
        // At most 255, else no reader takes it.
        writer.u8(u8::try_from(self.path.len()).unwrap_or(u8::MAX));
        self.path.iter().for_each(|hash| writer.raw(&hash.0));
        writer.raw(self.feldman.as_flattened());
    }

    fn read(reader: &mut Reader<'_>, shape: &Shape) -> Result<Self, DocumentError> {
        let dealer = Member(reader.u16()?);
        within("a dealer's number", dealer.0.into(), 0, u64::from(shape.n) - 1)?;
        Ok(Self {
            dealer,
            root: fields::hash(reader)?,
            self_mask_commitment: fields::hash(reader)?,
            feldman_hash: fields::hash(reader)?,
            signature: fields::signature(reader)?,
            sealed: reader.array()?,
            path: path(reader, shape)?,
            feldman: fields::arrays(reader, shape.feldman_points())?,
        })
    }
}

/// Everything that was dealt to one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbox {
    /// `R`.
    pub cohort: Hash,
    /// At most k, ascending by dealer: the neighbours whose shares were accepted.
    pub dealings: Vec<Dealing>,
}

impl Inbox {
    /// How many bytes [`Self::write`] appends.
    pub(super) fn bytes(&self) -> usize {
        let hashes = |dealing: &Dealing| dealing.path.len() + dealing.feldman.len();
        32 + 4 + self.dealings.iter().map(|dealing| LEAST_DEALING_BYTES + 32 * hashes(dealing)).sum::<usize>()
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.cohort.0);
        writer.count(self.dealings.len());
        self.dealings.iter().for_each(|dealing| dealing.write(writer));
    }

    pub(super) fn read(reader: &mut Reader<'_>, shape: &Shape) -> Result<Self, DocumentError> {
        let cohort = fields::hash(reader)?;
        let least_bytes = LEAST_DEALING_BYTES + 32 * shape.feldman_points();
        let count = reader.count("dealings", shape.k.into(), least_bytes)?;
        let dealings: Vec<_> = (0..count).map(|_| Dealing::read(reader, shape)).collect::<Result<_, _>>()?;
        ascending("dealers", dealings.iter().map(|dealing| dealing.dealer))?;
        Ok(Self { cohort, dealings })
    }
}

fn path(reader: &mut Reader<'_>, shape: &Shape) -> Result<Vec<Hash>, DocumentError> {
    let length = reader.u8()?;
    within("hashes of a path", length.into(), 0, shape.most_path() as u64)?;
    Ok(fields::hashes(reader, length.into())?)
}
