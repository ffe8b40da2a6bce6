//! What members have dealt (section 7.3).
//!
//! What many members have alike lies in tables with a row for each, in the order of arrival: each is one piece of memory,
//! which goes back whole as soon as it is not needed. For a thousand members these are some 8 MB of boxes and 7 MB of inner
//! nodes, needed until the inboxes are out, and 7 MB of leaves, needed until the answers are in.

use neuro_primitives::Hash;

use crate::fields::Signed;
use crate::identity::Member;
use crate::messages::{Dealing, ShareStatement, Shares};
use crate::seal::BOX_BYTES;
use crate::share_tree::{ShareTree, path_in};

/// Boxes, trees and statements, until the boxes are with their holders.
pub(super) struct Dealt {
    kept: Kept,
    /// `[members, k]`, in the order of each dealer's neighbours.
    boxes: Vec<[u8; BOX_BYTES]>,
    /// `[members, inner nodes]`
    nodes: Vec<Hash>,
    /// Points as they were sent; `[members]` of `[2t − 1]` or none each.
    feldman: Vec<Vec<[u8; 32]>>,
}

/// What answers are checked against.
pub(super) struct Kept {
    /// Neighbours of each member.
    k: usize,
    /// Each dealer's row and its statement, by its number: an inbox looks up a hundred of them. `[n]`
    statements: Vec<Option<(usize, Signed<ShareStatement>)>>,
    /// How many have dealt.
    dealers: usize,
    /// `[members, k, 2]`, in the order of each dealer's neighbours.
    leaves: Vec<[Hash; 2]>,
}

impl Dealt {
    /// Room for a cohort of `n` with `k` neighbours each.
    pub(super) fn new(n: u16, k: u16) -> Self {
        let (n, k) = (usize::from(n), usize::from(k));
        // Memory that is not written to yet costs nothing.
        let kept = Kept { k, statements: vec![None; n], dealers: 0, leaves: Vec::with_capacity(n * k) };
        let nodes = Vec::with_capacity(n * ShareTree::inner_nodes(k));
        Self { kept, boxes: Vec::with_capacity(n * k), nodes, feldman: Vec::new() }
    }

    /// Takes the shares of `dealer`, of which none are here, with the `tree` over their leaves. Both have k rows, since the
    /// reader of messages takes no others.
    pub(super) fn insert(&mut self, dealer: Member, shares: Shares, tree: &ShareTree) {
        self.kept.statements[usize::from(dealer.0)] = Some((self.kept.dealers, shares.statement));
        self.kept.dealers += 1;
        self.kept.leaves.extend_from_slice(tree.leaves());
        self.nodes.extend_from_slice(tree.nodes());
        self.boxes.extend_from_slice(&shares.boxes);
        self.feldman.push(shares.feldman);
    }

    /// Who has dealt, ascending.
    pub(super) fn dealers(&self) -> impl Iterator<Item = Member> + '_ {
        let numbered = (0..).map(Member).zip(&self.kept.statements);
        numbered.filter_map(|(member, dealt)| dealt.as_ref().map(|_| member))
    }

    pub(super) fn contains(&self, dealer: Member) -> bool {
        self.kept.row(dealer).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.kept.dealers
    }

    /// Whether `dealer` has dealt this and nothing else.
    pub(super) fn is_same(&self, dealer: Member, shares: &Shares) -> bool {
        let statement = self.kept.statement(dealer);
        statement.is_some_and(|signed| signed.statement == shares.statement.statement)
            && self.kept.row(dealer).is_some_and(|(row, _)| self.boxes_of(*row) == Some(&shares.boxes))
    }

    /// What `dealer` dealt to its neighbour number `place`.
    pub(super) fn dealing(&self, dealer: Member, place: usize) -> Option<Dealing> {
        let (row, signed) = self.kept.row(dealer)?;
        let inner = ShareTree::inner_nodes(self.kept.k);
        let nodes = self.nodes.get(row * inner..(row + 1) * inner)?;
        Some(Dealing {
            dealer,
            root: signed.statement.root,
            self_mask_commitment: signed.statement.self_mask_commitment,
            feldman_hash: signed.statement.feldman,
            signature: signed.signature,
            sealed: *self.boxes_of(*row)?.get(place)?,
            path: path_in(nodes, place, self.kept.k).ok()?,
            feldman: self.feldman.get(*row)?.clone(),
        })
    }

    /// Less boxes and inner nodes.
    pub(super) fn into_kept(self) -> Kept {
        self.kept
    }

    fn boxes_of(&self, row: usize) -> Option<&[[u8; BOX_BYTES]]> {
        self.boxes.get(row * self.kept.k..(row + 1) * self.kept.k)
    }
}

impl Kept {
    /// The signed root of `dealer`.
    pub(super) fn statement(&self, dealer: Member) -> Option<&Signed<ShareStatement>> {
        self.row(dealer).map(|(_, statement)| statement)
    }

    /// The leaves of `dealer`, in the order of its neighbours. `[k, 2]`
    pub(super) fn leaves(&self, dealer: Member) -> Option<&[[Hash; 2]]> {
        let (row, _) = self.row(dealer)?;
        self.leaves.get(row * self.k..(row + 1) * self.k)
    }

    fn row(&self, dealer: Member) -> Option<&(usize, Signed<ShareStatement>)> {
        self.statements.get(usize::from(dealer.0))?.as_ref()
    }
}
