//! A Merkle tree over hashes, in the shape of RFC 6962: the left part of `n` leaves has the largest power of two below `n`.

use super::tagged;
use crate::hash::Hash;

/// The root over `leaves`. A single leaf is its own root, which is why leaves are hashes with a name of their own; no
/// leaves have a root that nothing else hashes to.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => tagged(EMPTY, &[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(left_part(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// Shows that a leaf lies below a root: where it lies, and the hashes beside its way up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The leaf's place, from 0.
    pub index: u32,
    /// How many leaves the tree has.
    pub count: u32,
    /// The roots of the parts beside the way, from the leaf up.
    pub beside: Vec<Hash>,
}

impl Proof {
    /// The proof for leaf `index` of `leaves`; none where there is no such leaf.
    #[must_use]
    pub fn of(leaves: &[Hash], index: usize) -> Option<Self> {
        if index >= leaves.len() {
            return None;
        }
        let (mut beside, mut part, mut place) = (Vec::new(), leaves, index);
        while part.len() > 1 {
            let (left, right) = part.split_at(left_part(part.len()));
            if place < left.len() {
                beside.push(root(right));
                part = left;
            } else {
                beside.push(root(left));
                place -= left.len();
                part = right;
            }
        }
        beside.reverse();
        Some(Self { index: u32::try_from(index).ok()?, count: u32::try_from(leaves.len()).ok()?, beside })
    }

    /// The root above `leaf`, if this is a proof of the right length for its place.
    #[must_use]
    pub fn root_above(&self, leaf: Hash) -> Option<Hash> {
        let sides = sides(self.index, self.count)?;
        if sides.len() != self.beside.len() {
            return None;
        }
        let up = |below: Hash, (is_left, beside): (&bool, &Hash)| {
            if *is_left { node(&below, beside) } else { node(beside, &below) }
        };
        Some(sides.iter().rev().zip(&self.beside).fold(leaf, up))
    }
}

/// From the top: whether leaf `index` of `count` lies in the left part; none where there is no such leaf.
fn sides(index: u32, count: u32) -> Option<Vec<bool>> {
    if index >= count {
        return None;
    }
    let (mut place, mut part, mut sides) = (index as usize, count as usize, Vec::new());
    while part > 1 {
        let left = left_part(part);
        sides.push(place < left);
        (place, part) = if place < left { (place, left) } else { (place - left, part - left) };
    }
    Some(sides)
}

/// The largest power of two below `count`, which is at least 2.
const fn left_part(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    tagged(NODE, &[&left.0, &right.0])
}

const NODE: &str = "neuro/receipt/node/1";
const EMPTY: &str = "neuro/receipt/empty/1";
