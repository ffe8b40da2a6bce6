//! Answers: one share per neighbour, checked against the dealers' roots (sections 9.2 and 9.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use neuro_primitives::{Hash, NodeId};
use zeroize::Zeroizing;

use super::effect::Effect;
use super::evidence::Evidence;
use super::refused::MessageRefused;
use super::round::Round;
use super::stage::{Progress, Taken, same};
use super::unmask::{self, UnmaskPhase};
use super::vote::VotePhase;
use crate::group::{Scalar, decode_scalar};
use crate::identity::{Bitmap, Member};
use crate::messages::{Answer, EndReason, Message, OutCause, Share, Shortfall};
use crate::share_tree::{ShareKind, ShareTree};

/// The set is certified; its members answer.
pub(super) struct AnswerPhase {
    pub(super) vote: VotePhase,
    announcement: Arc<[u8]>,
    answered: Bitmap,
    /// For each sharer the first t good shares of the one secret that is asked for, in the order of their arrival, with their
    /// holders.
    pub(super) shares: BTreeMap<Member, Vec<(Member, Zeroizing<Scalar>)>>,
}

impl AnswerPhase {
    pub(super) fn new(vote: VotePhase, announcement: Arc<[u8]>) -> Self {
        // With room for all: shares that were moved would stay behind where they lay.
        let held = || Vec::with_capacity(vote.upload.shared.seated.shape.t.into());
        let shares = vote.upload.shared.sharers.iter().map(|dealer| (dealer, held())).collect();
        let answered = Bitmap::new(vote.survivors.n());
        Self { vote, announcement, answered, shares }
    }

    /// Section 9.3: signed, for this `Z`, and every share fits the leaf of its dealer's root. The phase ends when every
    /// secret has t shares.
    pub(super) fn take(
        &mut self,
        round: &mut Round,
        from: NodeId,
        answer: &Answer,
        out: &mut Vec<Effect>,
    ) -> Result<Taken, MessageRefused> {
        let member = self.vote.survivor(from).ok_or(MessageRefused::LeftOut { node: from })?;
        same("set", self.vote.hash, answer.survivors)?;
        answer.verify(from)?;
        if self.answered.get(member) {
            return Ok(Taken::Again);
        }
        let shared = &self.vote.upload.shared;
        let dealers: Vec<Member> = shared.seated.graph.neighbours_in(member, &shared.sharers).collect();
        let (expected, got) = (dealers.len() as u64, answer.shares.len() as u64);
        if got != expected {
            return Err(MessageRefused::Count { what: "shares", expected, got });
        }
        let mut good = Vec::with_capacity(dealers.len());
        for (&dealer, share) in dealers.iter().zip(&answer.shares) {
            let Some(share) = share else { continue };
            match self.check(dealer, member, share) {
                Some(scalar) => good.push((dealer, scalar)),
                None => return Ok(self.blame(round, dealer, member, answer, out)),
            }
        }
        self.answered.insert(member);
        let t = usize::from(self.vote.upload.shared.seated.shape.t);
        for (dealer, scalar) in good {
            if let Some(held) = self.shares.get_mut(&dealer).filter(|held| held.len() < t) {
                held.push((member, Zeroizing::new(scalar)));
            }
        }
        Ok(Taken::last_if(self.shares.values().all(|held| held.len() >= t)))
    }

    /// The share as a scalar, if its leaf is in the dealer's signed root.
    fn check(&self, dealer: Member, holder: Member, share: &Share) -> Option<Scalar> {
        let seated = &self.vote.upload.shared.seated;
        let scalar = decode_scalar(share).ok()?;
        let kind = self.kind(dealer);
        let leaves = self.vote.upload.shared.kept.leaves(dealer)?;
        let expected = leaves.get(seated.place(dealer, holder)?)?[usize::from(kind.byte())];
        let got = seated.dealing(dealer).leaf(seated.node(holder), kind, &scalar);
        (got == expected).then_some(scalar)
    }

    /// Which secret of `dealer` the set asks for: the self-mask of a survivor, the mask key of a dead one.
    pub(super) fn kind(&self, dealer: Member) -> ShareKind {
        if self.vote.survivors.get(dealer) { ShareKind::SelfMask } else { ShareKind::MaskKey }
    }

    /// A signed answer with a share that is not its dealer's names the responder; its answer is not used.
    fn blame(
        &mut self,
        round: &mut Round,
        dealer: Member,
        member: Member,
        answer: &Answer,
        out: &mut Vec<Effect>,
    ) -> Taken {
        let shared = &self.vote.upload.shared;
        let place = shared.seated.place(dealer, member).unwrap_or_default();
        if let (Some(statement), Some(leaves)) = (shared.kept.statement(dealer), shared.kept.leaves(dealer)) {
            let tree = ShareTree::new(leaves.to_vec());
            out.push(Effect::Blame(Evidence::WrongShare {
                responder: shared.seated.node(member),
                answer: Message::Answer(answer.clone()).encode(),
                dealer: shared.seated.node(dealer),
                statement: Box::new(statement.clone()),
                kind: self.kind(dealer),
                leaves: leaves.get(place).copied().unwrap_or([Hash([0; 32]); 2]),
                path: tree.and_then(|tree| tree.path(place)).unwrap_or_default(),
            }));
        }
        round.leave_out(shared.seated.node(member), OutCause::Contradiction, out);
        Taken::New
    }

    /// The secret with the fewest good shares, if they are fewer than t.
    fn shortfall(&self) -> Option<Shortfall> {
        let expected = self.vote.upload.shared.seated.shape.t;
        let least = self.shares.values().map(Vec::len).min().unwrap_or_default();
        let got = u16::try_from(least).unwrap_or(u16::MAX);
        (got < expected).then_some(Shortfall { expected, got })
    }

    /// Section 9.3: secrets are rebuilt and checked, and what is left to remove is listed.
    pub(super) fn close(self, round: &Round, out: &mut Vec<Effect>) -> Result<UnmaskPhase, EndReason> {
        if let Some(few) = self.shortfall() {
            return Err(EndReason::TooFewAnswered(few));
        }
        match unmask::jobs(&self, round) {
            Ok(jobs) => Ok(UnmaskPhase::new(self, jobs)),
            Err(bad) => {
                let dealer = bad.blames();
                out.push(Effect::Blame(*bad));
                Err(EndReason::BadDealer { dealer })
            }
        }
    }

    pub(super) fn audience(&self) -> Vec<NodeId> {
        self.vote.audience()
    }

    pub(super) fn announcement(&self) -> Arc<[u8]> {
        self.announcement.clone()
    }

    pub(super) fn progress(&self) -> Progress {
        let seated = &self.vote.upload.shared.seated;
        Progress { reported: seated.nodes_of(&self.answered), expected: self.audience() }
    }
}
