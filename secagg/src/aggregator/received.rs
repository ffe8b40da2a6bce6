//! Inboxes and complaints; who shares is fixed at the end (section 7.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use neuro_primitives::{Hash, NodeId};

use super::complaints::{judge, most_complaints};
use super::dealt::{Dealt, Kept};
use super::effect::Effect;
use super::refused::MessageRefused;
use super::round::Round;
use super::shares::check_sharers;
use super::stage::{Progress, Taken, same};
use super::upload::UploadPhase;
use crate::assembly::Seated;
use crate::identity::{Bitmap, Member};
use crate::messages::{Announcement, EndReason, Inbox, Received, Sharers};

/// Dealers wait for what their neighbours say of their boxes.
pub(super) struct ReceivedPhase {
    pub(super) seated: Arc<Seated>,
    dealt: Dealt,
    received: BTreeMap<Member, Bitmap>,
}

/// What all later phases rest on: the shares of the sharers.
pub(super) struct Shared {
    pub(super) seated: Arc<Seated>,
    pub(super) kept: Kept,
    /// `U`.
    pub(super) sharers: Bitmap,
    /// `V`.
    pub(super) hash: Hash,
}

impl ReceivedPhase {
    pub(super) const fn new(seated: Arc<Seated>, dealt: Dealt) -> Self {
        Self { seated, dealt, received: BTreeMap::new() }
    }

    /// Section 7.3, *Received*: of a dealer, about neighbours that dealt.
    pub(super) fn take(&mut self, from: NodeId, received: Received) -> Result<Taken, MessageRefused> {
        let member = self.seated.cohort.member(from).filter(|member| self.dealt.contains(*member));
        let member = member.ok_or(MessageRefused::LeftOut { node: from })?;
        same("cohort", self.seated.hash, received.cohort)?;
        let dealer = |of: &Member| self.dealt.contains(*of) && self.seated.graph.are_neighbours(*of, member);
        if let Some(stranger) = received.bad.iter().find(|of| !dealer(of)) {
            return Err(MessageRefused::NoDealer { member: stranger });
        }
        match self.received.get(&member) {
            Some(first) if *first == received.bad => return Ok(Taken::Again),
            Some(_) => return Err(MessageRefused::Changed { what: "complaints" }),
            None => self.received.insert(member, received.bad),
        };
        Ok(Taken::last_if(self.received.len() == self.dealt.len()))
    }

    /// Section 7.3, *Sharers*: who dealt and received, less those left out; n − d of them.
    pub(super) fn close(self, round: &mut Round, out: &mut Vec<Effect>) -> Result<UploadPhase, EndReason> {
        let (k, t) = (self.seated.shape.k, self.seated.shape.t);
        let verdict = judge(&self.seated.graph, t, most_complaints(k, t), &self.received);
        check_sharers(&self.seated, &verdict.staying)?;
        check_sharers(&self.seated, &verdict.sharers)?;
        for member in self.dealt.dealers() {
            if let Some(cause) = verdict.cause(member) {
                round.leave_out(self.seated.node(member), cause, out);
            }
        }
        let sharers = verdict.sharers;
        let announced = Sharers { cohort: self.seated.hash, sharers: sharers.clone() };
        let hash = announced.hash(&self.seated.seed);
        let announcement = round.sign(&Announcement::Sharers(announced));
        let shared = Shared { seated: self.seated, kept: self.dealt.into_kept(), sharers, hash };
        Ok(UploadPhase::new(shared, announcement.into()))
    }

    pub(super) fn audience(&self) -> Vec<NodeId> {
        self.dealt.dealers().map(|member| self.seated.node(member)).collect()
    }

    /// Section 7.3, *Inbox*: one dealing per neighbour that dealt.
    pub(super) fn announcement_for(&self, round: &Round, node: NodeId) -> Option<Vec<u8>> {
        let holder = self.seated.cohort.member(node).filter(|member| self.dealt.contains(*member))?;
        let dealing = |&dealer: &Member| self.dealt.dealing(dealer, self.seated.place(dealer, holder)?);
        let dealings = self.seated.graph.neighbours(holder).iter().filter_map(dealing);
        let inbox = Inbox { cohort: self.seated.hash, dealings: dealings.collect() };
        Some(round.sign(&Announcement::Inbox(inbox)))
    }

    pub(super) fn progress(&self) -> Progress {
        let reported = self.received.keys().map(|&member| self.seated.node(member)).collect();
        Progress { reported, expected: self.audience() }
    }
}
