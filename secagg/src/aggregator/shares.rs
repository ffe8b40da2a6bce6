//! Shares: each member deals to its neighbours under a signed root (section 7).

use std::collections::BTreeMap;
use std::sync::Arc;

use neuro_primitives::NodeId;

use super::effect::Effect;
use super::received::{Kept, ReceivedPhase};
use super::refused::MessageRefused;
use super::round::Round;
use super::stage::{Progress, Taken, same};
use crate::assembly::{Seated, feldman_hash};
use crate::fields::Signed;
use crate::identity::{Bitmap, Member};
use crate::messages::{EndReason, OutCause, ShareStatement, Shares, Shortfall};
use crate::seal::BOX_BYTES;
use crate::share_tree::{ShareTree, TreeError};

/// The nonces are announced; members deal.
pub(super) struct SharesPhase {
    pub(super) seated: Arc<Seated>,
    announcement: Arc<[u8]>,
    dealt: BTreeMap<Member, Dealt>,
}

/// What one member has dealt.
pub(super) struct Dealt {
    pub(super) statement: Signed<ShareStatement>,
    pub(super) tree: ShareTree,
    /// `[k]`, in the order of the dealer's neighbours.
    pub(super) boxes: Vec<[u8; BOX_BYTES]>,
    /// Points as they were sent; `[2t − 1]` or none.
    pub(super) feldman: Vec<[u8; 32]>,
}

impl Dealt {
    /// Less the boxes and what paths are taken from.
    pub(super) fn into_kept(self) -> Kept {
        Kept { statement: self.statement, leaves: self.tree.into_leaves() }
    }
}

impl SharesPhase {
    pub(super) const fn new(seated: Arc<Seated>, announcement: Arc<[u8]>) -> Self {
        Self { seated, announcement, dealt: BTreeMap::new() }
    }

    /// Section 7.3, *Shares*: a statement of its sender for this `R` and seed, whose root the leaves give.
    pub(super) fn take(&mut self, from: NodeId, shares: Shares) -> Result<Taken, MessageRefused> {
        let member = self.seated.cohort.member(from).ok_or(MessageRefused::LeftOut { node: from })?;
        let statement = &shares.statement.statement;
        if statement.dealer != from {
            return Err(MessageRefused::NotItsOwn { sender: from, got: statement.dealer });
        }
        same("cohort", self.seated.hash, statement.cohort)?;
        same("seed", self.seated.seed, statement.seed)?;
        shares.statement.verify()?;
        if let Some(first) = self.dealt.get(&member) {
            let changed = first.statement.statement != *statement || first.boxes != shares.boxes;
            return if changed { Err(MessageRefused::Changed { what: "shares" }) } else { Ok(Taken::Again) };
        }
        let tree = ShareTree::new(shares.leaves)?;
        if tree.root() != statement.root {
            return Err(TreeError::Root { expected: statement.root, got: tree.root() }.into());
        }
        same("hash of the commitments", feldman_hash(&shares.feldman), statement.feldman)?;
        let Shares { statement, boxes, feldman, .. } = shares;
        self.dealt.insert(member, Dealt { statement, tree, boxes, feldman });
        Ok(Taken::last_if(self.dealt.len() == self.seated.cohort.rows.len()))
    }

    /// Section 7.3: at least n − d have dealt.
    pub(super) fn close(self, round: &mut Round, out: &mut Vec<Effect>) -> Result<ReceivedPhase, EndReason> {
        let dealers = Bitmap::of(self.seated.n(), self.dealt.keys().copied());
        check_sharers(&self.seated, &dealers)?;
        let late = self.seated.without(&Bitmap::full(self.seated.n()), &dealers);
        self.seated.nodes_of(&late).into_iter().for_each(|node| round.leave_out(node, OutCause::Late, out));
        Ok(ReceivedPhase::new(self.seated, self.dealt))
    }

    pub(super) fn audience(&self) -> Vec<NodeId> {
        self.seated.nodes()
    }

    pub(super) fn announcement(&self) -> Arc<[u8]> {
        self.announcement.clone()
    }

    pub(super) fn progress(&self) -> Progress {
        let reported = self.dealt.keys().map(|&member| self.seated.node(member)).collect();
        Progress { reported, expected: self.seated.nodes() }
    }
}

/// n − d of them, or the round ends.
pub(super) fn check_sharers(seated: &Seated, sharers: &Bitmap) -> Result<(), EndReason> {
    let few = Shortfall { expected: seated.least_sharers(), got: u16::try_from(sharers.count()).unwrap_or(u16::MAX) };
    if few.got < few.expected { Err(EndReason::TooFewShared(few)) } else { Ok(()) }
}
