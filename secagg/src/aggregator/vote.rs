//! Votes for the one set of survivors (section 9.1).

use std::collections::BTreeMap;

use neuro_primitives::{Hash, NodeId, Signature};

use super::answer::AnswerPhase;
use super::effect::Effect;
use super::refused::MessageRefused;
use super::round::Round;
use super::stage::{Progress, Taken, same};
use super::upload::UploadPhase;
use crate::identity::{Bitmap, Member};
use crate::messages::{Announcement, Certificate, EndReason, Shortfall, ShownUpload, Survivors, Vote, survivors_hash};

/// The set is announced; its members vote.
pub(super) struct VotePhase {
    pub(super) upload: UploadPhase,
    /// `S`.
    pub(super) survivors: Bitmap,
    /// `Z`.
    pub(super) hash: Hash,
    pub(super) votes: BTreeMap<Member, Signature>,
}

impl VotePhase {
    pub(super) fn new(upload: UploadPhase, survivors: Bitmap) -> Self {
        let hash = survivors_hash(&upload.shared.seated.hash, &upload.shared.hash, &survivors);
        Self { upload, survivors, hash, votes: BTreeMap::new() }
    }

    /// Section 9.1, *Vote*: of a survivor, for this `Z`. The q-th ends the phase.
    pub(super) fn take(&mut self, from: NodeId, vote: &Vote) -> Result<Taken, MessageRefused> {
        let member = self.survivor(from).ok_or(MessageRefused::LeftOut { node: from })?;
        same("set", self.hash, vote.survivors)?;
        vote.verify(from)?;
        if self.votes.insert(member, vote.signature).is_some() {
            return Ok(Taken::Again);
        }
        Ok(Taken::last_if(self.votes.len() >= usize::from(self.quorum())))
    }

    /// Section 9.2, *Certificate*: exactly q votes.
    pub(super) fn close(mut self, round: &Round) -> Result<AnswerPhase, EndReason> {
        let few = Shortfall { expected: self.quorum(), got: u16::try_from(self.votes.len()).unwrap_or(u16::MAX) };
        if few.got < few.expected {
            return Err(EndReason::TooFewVoted(few));
        }
        let votes = std::mem::take(&mut self.votes).into_iter().take(few.expected.into()).collect();
        let certificate = Certificate { survivors: self.hash, votes };
        let announcement = round.sign(&Announcement::Certificate(certificate));
        Ok(AnswerPhase::new(self, announcement.into()))
    }

    fn quorum(&self) -> u16 {
        self.upload.shared.seated.shape.q
    }

    /// The number of `node` if it is in `S`.
    pub(super) fn survivor(&self, node: NodeId) -> Option<Member> {
        self.upload.shared.seated.cohort.member(node).filter(|&member| self.survivors.get(member))
    }

    pub(super) fn audience(&self) -> Vec<NodeId> {
        self.upload.shared.seated.nodes_of(&self.survivors)
    }

    /// Section 9.1, *Survivors*: the set, with the upload statements of this member's neighbours.
    pub(super) fn announcement_for(&self, round: &Round, node: NodeId) -> Option<Vec<u8>> {
        let member = self.survivor(node)?;
        let shared = &self.upload.shared;
        let neighbours = shared.seated.graph.neighbours_in(member, &self.survivors);
        let shown = |neighbour| {
            let upload = self.upload.statements.get(&neighbour)?;
            Some(ShownUpload { payload: upload.statement.payload, signature: upload.signature })
        };
        let survivors = Survivors {
            cohort: shared.seated.hash,
            sharers: shared.hash,
            survivors: self.survivors.clone(),
            uploads: neighbours.filter_map(shown).collect(),
        };
        Some(round.sign(&Announcement::Survivors(survivors)))
    }

    /// Says again which payloads belong into the sum.
    pub(super) fn settle(&self, out: &mut Vec<Effect>) {
        self.upload.settle_for(&self.survivors, out);
    }

    pub(super) fn progress(&self) -> Progress {
        let reported = self.votes.keys().map(|&member| self.upload.shared.seated.node(member)).collect();
        Progress { reported, expected: self.audience() }
    }
}
