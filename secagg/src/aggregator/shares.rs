//! Shares: each member deals to its neighbours under a signed root (section 7).

use std::sync::Arc;

use neuro_primitives::NodeId;

use super::dealt::Dealt;
use super::effect::Effect;
use super::received::ReceivedPhase;
use super::refused::MessageRefused;
use super::round::Round;
use super::stage::{Progress, Taken, same};
use crate::assembly::{Seated, feldman_hash};
use crate::identity::Bitmap;
use crate::messages::{EndReason, OutCause, Shares, Shortfall};
use crate::share_tree::{ShareTree, TreeError};

/// The nonces are announced; members deal.
pub(super) struct SharesPhase {
    pub(super) seated: Arc<Seated>,
    announcement: Arc<[u8]>,
    dealt: Dealt,
}

impl SharesPhase {
    pub(super) fn new(seated: Arc<Seated>, announcement: Arc<[u8]>) -> Self {
        let dealt = Dealt::new(seated.n(), seated.shape.k);
        Self { seated, announcement, dealt }
    }

    /// Section 7.3, *Shares*: a statement of its sender for this `R` and seed, whose root the leaves give.
    pub(super) fn take(&mut self, from: NodeId, mut shares: Shares) -> Result<Taken, MessageRefused> {
        let member = self.seated.cohort.member(from).ok_or(MessageRefused::LeftOut { node: from })?;
        let statement = &shares.statement.statement;
        if statement.dealer != from {
            return Err(MessageRefused::NotItsOwn { sender: from, got: statement.dealer });
        }
        same("cohort", self.seated.hash, statement.cohort)?;
        same("seed", self.seated.seed, statement.seed)?;
        shares.statement.verify()?;
        if self.dealt.contains(member) {
            let same = self.dealt.is_same(member, &shares);
            return if same { Ok(Taken::Again) } else { Err(MessageRefused::Changed { what: "shares" }) };
        }
        let root = statement.root;
        same("hash of the commitments", feldman_hash(&shares.feldman), statement.feldman)?;
        let tree = ShareTree::new(std::mem::take(&mut shares.leaves))?;
        if tree.root() != root {
            return Err(TreeError::Root { expected: root, got: tree.root() }.into());
        }
        self.dealt.insert(member, shares, &tree);
        Ok(Taken::last_if(self.dealt.len() == self.seated.cohort.rows.len()))
    }

    /// Section 7.3: at least n − d have dealt.
    pub(super) fn close(self, round: &mut Round, out: &mut Vec<Effect>) -> Result<ReceivedPhase, EndReason> {
        let dealers = Bitmap::of(self.seated.n(), self.dealt.dealers());
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
        let reported = self.dealt.dealers().map(|member| self.seated.node(member)).collect();
        Progress { reported, expected: self.seated.nodes() }
    }
}

/// n − d of them, or the round ends.
pub(super) fn check_sharers(seated: &Seated, sharers: &Bitmap) -> Result<(), EndReason> {
    let few = Shortfall { expected: seated.least_sharers(), got: u16::try_from(sharers.count()).unwrap_or(u16::MAX) };
    if few.got < few.expected { Err(EndReason::TooFewShared(few)) } else { Ok(()) }
}
