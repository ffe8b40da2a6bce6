//! A dealer's shares (sections 7.2 and 7.3): a signed root, all leaves, and a box for each neighbour.

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Domain, Hash, NodeId};

use super::shape::Shape;
use crate::error::DocumentError;
use crate::fields::{self, Signed, Statement};
use crate::seal::BOX_BYTES;
use crate::tags;

/// What a dealer signs: 192 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareStatement {
    /// `R`.
    pub cohort: Hash,
    /// The graph's seed.
    pub seed: Hash,
    /// Who dealt.
    pub dealer: NodeId,
    /// The root of the tree over all leaves.
    pub root: Hash,
    /// [`crate::share_tree::Dealing::self_mask_commitment`].
    pub self_mask_commitment: Hash,
    /// [`crate::feldman::Commitments::hash`]; zeros without field 19.
    pub feldman: Hash,
}

impl Statement for ShareStatement {
    const DOMAIN: Domain = tags::SHARES;
    const WHAT: &'static str = "a share statement";

    fn signer(&self) -> NodeId {
        self.dealer
    }

    fn write(&self, writer: &mut Writer) {
        for hash in [self.cohort, self.seed, Hash(self.dealer.0), self.root, self.self_mask_commitment, self.feldman] {
            writer.raw(&hash.0);
        }
    }
}

/// What a dealer sends to the aggregator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// The signed root.
    pub statement: Signed<ShareStatement>,
    /// `[k]`: per neighbour in ascending order the leaf of the mask key's share and that of the self-mask's.
    pub leaves: Vec<[Hash; 2]>,
    /// `[k]`: a box per neighbour in ascending order.
    pub boxes: Vec<[u8; BOX_BYTES]>,
    /// `[2t − 1]` with field 19, else none: points as [`crate::feldman::Commitments::decode`] takes them.
    pub feldman: Vec<[u8; 32]>,
}

impl Shares {
    pub(super) fn write(&self, writer: &mut Writer) {
        self.statement.write(writer);
        self.leaves.as_flattened().iter().for_each(|leaf| writer.raw(&leaf.0));
        writer.raw(self.boxes.as_flattened());
        writer.raw(self.feldman.as_flattened());
    }

    pub(super) fn read(reader: &mut Reader<'_>, shape: &Shape) -> Result<Self, DocumentError> {
        let statement = ShareStatement {
            cohort: fields::hash(reader)?,
            seed: fields::hash(reader)?,
            dealer: fields::node(reader)?,
            root: fields::hash(reader)?,
            self_mask_commitment: fields::hash(reader)?,
            feldman: fields::hash(reader)?,
        };
        Ok(Self {
            statement: Signed { statement, signature: fields::signature(reader)? },
            leaves: fields::hashes(reader, 2 * usize::from(shape.k))?.as_chunks().0.to_vec(),
            boxes: fields::arrays(reader, shape.k.into())?,
            feldman: fields::arrays(reader, shape.feldman_points())?,
        })
    }
}
