//! The tree over a dealer's shares, whose root the dealer signs (section 7.2).
//!
//! For each neighbour, ascending, a leaf for its share of the mask key and one for its share of the self-mask seed. The
//! two leaves of a holder meet in the holder's *pair node*, and paths begin there: both shares travel together. A node
//! without a partner moves up unhashed.

use neuro_primitives::{Hash, NodeId};

use crate::group::Scalar;
use crate::tags::{SELF_MASK_COMMITMENT, SHARE_LEAF, SHARE_NODE};

/// The most nodes of a path: 1,600 pairs make eleven levels; a reader of messages accepts two more (section 7.3).
pub const MOST_PATH_NODES: usize = 13;

/// Which of a dealer's two secrets a share is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShareKind {
    /// Kind 0: the mask key `s`, asked for when the dealer is dead.
    MaskKey,
    /// Kind 1: the self-mask seed `b`, asked for when the dealer survived.
    SelfMask,
}

impl ShareKind {
    /// The kind as its byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::MaskKey => 0,
            Self::SelfMask => 1,
        }
    }
}

/// What the leaves of one dealer have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dealing {
    /// Cohort hash `R`.
    pub cohort: Hash,
    /// The graph's seed.
    pub seed: Hash,
    /// Who deals.
    pub dealer: NodeId,
}

impl Dealing {
    /// The leaf of `holder`'s share of kind `kind`.
    #[must_use]
    pub fn leaf(&self, holder: NodeId, kind: ShareKind, share: &Scalar) -> Hash {
        let kind = [kind.byte()];
        SHARE_LEAF.hash(&[&self.cohort.0, &self.seed.0, &self.dealer.0, &holder.0, &kind, share.as_bytes()])
    }

    /// The dealer's commitment to its self-mask seed. It does not depend on the graph's seed.
    #[must_use]
    pub fn self_mask_commitment(&self, self_mask: &Scalar) -> Hash {
        SELF_MASK_COMMITMENT.hash(&[&self.cohort.0, &self.dealer.0, self_mask.as_bytes()])
    }
}

/// All levels of a dealer's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareTree {
    /// `[pairs, 2]`
    leaves: Vec<[Hash; 2]>,
    /// Level by level from the pair nodes to the root.
    nodes: Vec<Hash>,
}

/// Leaves of which there is no tree, or a path that does not fit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A dealer without neighbours.
    #[error("expected the leaves of at least one holder, got none")]
    NoLeaves,
    /// A holder that the dealer does not have.
    #[error("expected a holder below {pairs}, got {pair}")]
    NoSuchPair {
        /// The holder's position among the dealer's neighbours.
        pair: usize,
        /// How many neighbours the dealer has.
        pairs: usize,
    },
    /// A path of another length.
    #[error("expected a path of {expected} nodes, got {got}")]
    PathLength {
        /// What the tree's shape asks for.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// The path leads to another root.
    #[error("expected a path to root {}, got one to {}", expected.short(), got.short())]
    Root {
        /// The signed root.
        expected: Hash,
        /// Where leaves and path lead.
        got: Hash,
    },
}

impl ShareTree {
    /// The tree over `leaves`: for each holder, ascending, the leaf of kind 0 and that of kind 1. `[pairs, 2]`
    ///
    /// # Errors
    /// No leaves.
    pub fn new(leaves: Vec<[Hash; 2]>) -> Result<Self, TreeError> {
        if leaves.is_empty() {
            return Err(TreeError::NoLeaves);
        }
        let mut nodes = Vec::with_capacity(Self::inner_nodes(leaves.len()));
        nodes.extend(leaves.iter().map(|[left, right]| parent(left, right)));
        let (mut start, mut level) = (0, leaves.len());
        while level > 1 {
            for pair in (start..start + level).step_by(2) {
                let partner = nodes.get(pair + 1).filter(|_| pair + 1 < start + level);
                nodes.push(partner.map_or(nodes[pair], |right| parent(&nodes[pair], right)));
            }
            start += level;
            level = level.div_ceil(2);
        }
        Ok(Self { leaves, nodes })
    }

    /// The root, which the dealer signs.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.nodes[self.nodes.len() - 1]
    }

    /// The leaves. `[pairs, 2]`
    #[must_use]
    pub fn leaves(&self) -> &[[Hash; 2]] {
        &self.leaves
    }

    /// The nodes above the leaves, level by level from the pair nodes to the root. `[inner_nodes(pairs)]`
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// How many nodes there are above the leaves of `pairs` holders.
    #[must_use]
    pub fn inner_nodes(pairs: usize) -> usize {
        climb(0, pairs).map(|(_, nodes)| nodes).sum::<usize>() + 1
    }

    /// The siblings from the pair node of holder number `pair` up. Levels where it has none are left out.
    ///
    /// # Errors
    /// There is no such holder.
    pub fn path(&self, pair: usize) -> Result<Vec<Hash>, TreeError> {
        path_in(&self.nodes, pair, self.leaves.len())
    }
}

/// [`ShareTree::path`] in the tree of `pairs` holders with these [`ShareTree::nodes`].
///
/// # Errors
/// There is no such holder.
pub fn path_in(nodes: &[Hash], pair: usize, pairs: usize) -> Result<Vec<Hash>, TreeError> {
    if pair >= pairs {
        return Err(TreeError::NoSuchPair { pair, pairs });
    }
    let mut start = 0;
    let mut path = Vec::with_capacity(MOST_PATH_NODES);
    for (place, level) in climb(pair, pairs) {
        if place ^ 1 < level {
            path.extend(nodes.get(start + (place ^ 1)));
        }
        start += level;
    }
    Ok(path)
}

/// Checks that the two `leaves` of holder number `pair` of `pairs` lead by `path` to `root`.
///
/// # Errors
/// No such holder, a path of another length than the tree's shape asks for, or another root.
pub fn check_path(leaves: &[Hash; 2], pair: usize, pairs: usize, path: &[Hash], root: &Hash) -> Result<(), TreeError> {
    if pair >= pairs {
        return Err(TreeError::NoSuchPair { pair, pairs });
    }
    let wrong_length = || TreeError::PathLength { expected: path_length(pair, pairs), got: path.len() };
    let mut siblings = path.iter();
    let mut node = parent(&leaves[0], &leaves[1]);
    for (place, nodes) in climb(pair, pairs) {
        if place ^ 1 < nodes {
            let sibling = siblings.next().ok_or_else(wrong_length)?;
            node = if place % 2 == 0 { parent(&node, sibling) } else { parent(sibling, &node) };
        }
    }
    if siblings.next().is_some() {
        return Err(wrong_length());
    }
    if node == *root { Ok(()) } else { Err(TreeError::Root { expected: *root, got: node }) }
}

/// How many siblings the pair node number `pair` of `pairs` has on its way up.
#[must_use]
pub fn path_length(pair: usize, pairs: usize) -> usize {
    climb(pair, pairs).filter(|(place, nodes)| place ^ 1 < *nodes).count()
}

/// The place of a pair node's ancestors and the nodes of their level, below the root.
fn climb(pair: usize, pairs: usize) -> impl Iterator<Item = (usize, usize)> {
    std::iter::successors(Some((pair, pairs)), |(place, nodes)| Some((place / 2, nodes.div_ceil(2))))
        .take_while(|(_, nodes)| *nodes > 1)
}

fn parent(left: &Hash, right: &Hash) -> Hash {
    SHARE_NODE.hash(&[&left.0, &right.0])
}

#[cfg(test)]
mod tests;
