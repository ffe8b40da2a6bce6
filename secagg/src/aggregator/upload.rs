//! Masked vectors: signed statements first, then payloads that the caller receives and adds (section 8).

use std::collections::BTreeMap;
use std::sync::Arc;

use neuro_primitives::{Hash, NodeId};

use super::effect::Effect;
use super::evidence::Evidence;
use super::received::Shared;
use super::refused::MessageRefused;
use super::round::Round;
use super::stage::{Progress, Taken, same};
use super::vote::VotePhase;
use crate::identity::{Bitmap, Member};
use crate::messages::{EndReason, Message, OutCause, Shortfall, Upload};
use crate::survivor_rule::least_survivors;

/// The sharers are announced; they upload.
pub(super) struct UploadPhase {
    pub(super) shared: Shared,
    announcement: Arc<[u8]>,
    pub(super) statements: BTreeMap<Member, Upload>,
    /// Whose payload is whole.
    pub(super) complete: Bitmap,
    /// Who signed two statements, or one for what is no vector.
    excluded: Bitmap,
}

impl UploadPhase {
    pub(super) fn new(shared: Shared, announcement: Arc<[u8]>) -> Self {
        let nobody = Bitmap::new(shared.seated.n());
        Self { shared, announcement, statements: BTreeMap::new(), complete: nobody.clone(), excluded: nobody }
    }

    /// Section 8, *Statement*: of a sharer, with this `R` and `V`, for a payload of the right length. Once.
    pub(super) fn take(
        &mut self,
        round: &mut Round,
        from: NodeId,
        upload: Upload,
        out: &mut Vec<Effect>,
    ) -> Result<Taken, MessageRefused> {
        let member = self.sharer(from).ok_or(MessageRefused::LeftOut { node: from })?;
        let statement = &upload.statement;
        if statement.member != from {
            return Err(MessageRefused::NotItsOwn { sender: from, got: statement.member });
        }
        same("cohort", self.shared.seated.hash, statement.cohort)?;
        same("sharers", self.shared.hash, statement.sharers)?;
        upload.verify()?;
        let expected = round.config().payload_bytes(self.shared.seated.modulus.bits());
        if statement.bytes != expected {
            return Err(MessageRefused::Count { what: "bytes of the payload", expected, got: statement.bytes });
        }
        match self.statements.get(&member) {
            Some(first) if first.statement.payload == statement.payload => {
                out.push(open(from, first));
                Ok(Taken::Again)
            }
            Some(first) => {
                let evidence = Evidence::TwoUploads { member: from, first: bytes(first), second: bytes(&upload) };
                Ok(self.exclude(round, member, evidence, out))
            }
            None => {
                out.push(open(from, &upload));
                self.statements.insert(member, upload);
                Ok(Taken::New)
            }
        }
    }

    /// A second statement with another hash is evidence and excludes its member.
    fn exclude(&mut self, round: &mut Round, member: Member, evidence: Evidence, out: &mut Vec<Effect>) -> Taken {
        out.push(Effect::Blame(evidence));
        self.drop_member(round, member, OutCause::Contradiction, out);
        Taken::last_if(self.is_complete())
    }

    /// Section 8: the payload of the stated hash is no vector, so its member has none.
    pub(super) fn unfit(
        &mut self,
        round: &mut Round,
        from: NodeId,
        payload: Hash,
        out: &mut Vec<Effect>,
    ) -> Result<Taken, MessageRefused> {
        let member = self.sharer(from).ok_or(MessageRefused::LeftOut { node: from })?;
        let stated = self.statements.get(&member).ok_or(MessageRefused::LeftOut { node: from })?;
        same("payload", stated.statement.payload, payload)?;
        self.drop_member(round, member, OutCause::Payload, out);
        Ok(Taken::last_if(self.is_complete()))
    }

    /// The payload of `node` counted and cannot be added.
    pub(super) fn drop_payload(&mut self, round: &mut Round, node: NodeId, out: &mut Vec<Effect>) {
        if let Some(member) = self.shared.seated.cohort.member(node) {
            self.drop_member(round, member, OutCause::Payload, out);
        }
    }

    fn drop_member(&mut self, round: &mut Round, member: Member, cause: OutCause, out: &mut Vec<Effect>) {
        let node = self.shared.seated.node(member);
        round.leave_out(node, cause, out);
        self.statements.remove(&member);
        self.excluded.insert(member);
        if self.complete.get(member) {
            self.complete.remove(member);
            out.push(Effect::Subtract(node));
        }
    }

    /// Section 8: the upload counts when all bytes are there and the hash is the stated one.
    pub(super) fn completed(
        &mut self,
        from: NodeId,
        payload: Hash,
        bytes: u64,
        out: &mut Vec<Effect>,
    ) -> Result<Taken, MessageRefused> {
        let member = self.sharer(from).ok_or(MessageRefused::LeftOut { node: from })?;
        let stated = self.statements.get(&member).ok_or(MessageRefused::LeftOut { node: from })?;
        same("payload", stated.statement.payload, payload)?;
        let expected = stated.statement.bytes;
        if bytes != expected {
            return Err(MessageRefused::Count { what: "bytes of the payload", expected, got: bytes });
        }
        if self.complete.get(member) {
            return Ok(Taken::Again);
        }
        self.complete.insert(member);
        out.push(Effect::Add(from));
        Ok(Taken::last_if(self.is_complete()))
    }

    fn sharer(&self, node: NodeId) -> Option<Member> {
        let member = self.shared.seated.cohort.member(node)?;
        (self.shared.sharers.get(member) && !self.excluded.get(member)).then_some(member)
    }

    /// Whether nobody is left who could upload.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.count() + self.excluded.count() == self.shared.sharers.count()
    }

    /// Section 9.1: `S` is fixed.
    pub(super) fn close(self, round: &mut Round, out: &mut Vec<Effect>) -> Result<VotePhase, EndReason> {
        let seated = &self.shared.seated;
        let survivors = seated.graph.core(&self.complete, seated.shape.t);
        let expected = least_survivors(seated.n(), &seated.parameters);
        // Who uploaded says more than what is left of too few.
        let counts = [&self.complete, &survivors].map(|set| u16::try_from(set.count()).unwrap_or(u16::MAX));
        let got = if counts[0] < expected { counts[0] } else { counts[1] };
        // Rule 3 follows from rule 2 in every graph of section 11.
        if got < expected || !seated.graph.is_connected(&survivors) {
            return Err(EndReason::TooFewUploaded(Shortfall { expected, got }));
        }
        for member in seated.without(&self.shared.sharers, &survivors).iter() {
            let complete = self.complete.get(member);
            let cause = if complete { OutCause::FewNeighbours } else { OutCause::Late };
            round.leave_out(seated.node(member), cause, out);
            if complete {
                out.push(Effect::Subtract(seated.node(member)));
            }
        }
        Ok(VotePhase::new(self, survivors))
    }

    pub(super) fn audience(&self, round: &Round) -> Vec<NodeId> {
        round.staying(self.shared.seated.nodes_of(&self.shared.sharers))
    }

    pub(super) fn announcement(&self) -> Arc<[u8]> {
        self.announcement.clone()
    }

    /// Says again which payloads belong into the sum, and which are still to come.
    pub(super) fn resume(&self, out: &mut Vec<Effect>) {
        for (&member, upload) in &self.statements {
            let node = self.shared.seated.node(member);
            out.push(if self.complete.get(member) { Effect::Add(node) } else { open(node, upload) });
        }
    }

    /// Says again which payloads belong into the sum of `survivors`, and which do not.
    pub(super) fn settle_for(&self, survivors: &Bitmap, out: &mut Vec<Effect>) {
        for member in self.complete.iter() {
            let node = self.shared.seated.node(member);
            out.push(if survivors.get(member) { Effect::Add(node) } else { Effect::Subtract(node) });
        }
    }

    pub(super) fn progress(&self, round: &Round) -> Progress {
        Progress { reported: self.shared.seated.nodes_of(&self.complete), expected: self.audience(round) }
    }
}

const fn open(of: NodeId, upload: &Upload) -> Effect {
    Effect::OpenUpload { of, payload: upload.statement.payload, bytes: upload.statement.bytes }
}

fn bytes(upload: &Upload) -> Vec<u8> {
    Message::Upload(upload.clone()).encode()
}
