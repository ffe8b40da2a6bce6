//! A dealer's shares (sections 7.2 and 7.3): a signed root, all leaves, and a box for each neighbour.

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Domain, Hash, NodeId};

use super::shape::Shape;
use crate::error::DocumentError;
use crate::fields::{self, BOX_BYTES, Signed, Statement};
use crate::group::Point;
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
    /// [`self_mask_commitment`].
    pub self_mask_commitment: Hash,
    /// [`feldman_hash`] of the points; zeros without.
    pub feldman: Hash,
}

/// `H(neuro/fl/self-mask-commitment/1; R ‖ dealer ‖ b)`; `b` is the canonical form of a scalar.
#[must_use]
pub fn self_mask_commitment(cohort: &Hash, dealer: &NodeId, b: &[u8; 32]) -> Hash {
    tags::SELF_MASK_COMMITMENT.hash(&[&cohort.0, &dealer.0, b])
}

/// BLAKE3 of Feldman points as they are sent; zeros if there are none.
#[must_use]
pub fn feldman_hash(points: &[Point]) -> Hash {
    if points.is_empty() {
        return Hash([0; 32]);
    }
    let mut hasher = blake3::Hasher::new();
    for point in points {
        hasher.update(&point.encode());
    }
    Hash(*hasher.finalize().as_bytes())
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
    /// `[2k]`: per neighbour in ascending order the leaf of the mask key's share, then that of the self-mask's.
    pub leaves: Vec<Hash>,
    /// `[k]`: a box per neighbour in ascending order.
    pub boxes: Vec<[u8; BOX_BYTES]>,
    /// With field 19 `A_1 … A_{t−1}` of `f`, then `A_0 … A_{t−1}` of `g`; else none.
    pub feldman: Vec<Point>,
}

impl Shares {
    pub(super) fn write(&self, writer: &mut Writer) {
        self.statement.write(writer);
        self.leaves.iter().for_each(|leaf| writer.raw(&leaf.0));
        writer.raw(self.boxes.as_flattened());
        self.feldman.iter().for_each(|point| writer.raw(&point.encode()));
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
            leaves: fields::hashes(reader, shape.leaves())?,
            boxes: fields::arrays(reader, shape.k.into())?,
            feldman: fields::points(reader, "a Feldman point", shape.feldman_points())?,
        })
    }
}
