//! Nonces, from which the graph is drawn (section 5).

use std::collections::BTreeMap;
use std::sync::Arc;

use neuro_primitives::NodeId;

use super::effect::Effect;
use super::join::JoinPhase;
use super::refused::MessageRefused;
use super::round::Round;
use super::shares::SharesPhase;
use super::stage::{Progress, Stage, Taken, same};
use crate::assembly::{Assembly, Seated};
use crate::identity::Member;
use crate::messages::{Announcement, EndReason, LAST_ATTEMPT, Nonces, OutCause, Reveal, nonce_commitment};

/// The cohort is announced; its members open their commitments.
pub(super) struct RevealPhase {
    pub(super) assembly: Arc<Assembly>,
    announcement: Arc<[u8]>,
    /// Who was silent in the attempts before, ascending.
    silent: Vec<NodeId>,
    nonces: BTreeMap<Member, [u8; 32]>,
}

impl RevealPhase {
    pub(super) const fn new(assembly: Arc<Assembly>, announcement: Arc<[u8]>, silent: Vec<NodeId>) -> Self {
        Self { assembly, announcement, silent, nonces: BTreeMap::new() }
    }

    /// Section 5, *reveals*: for this `R`, and the nonce opens the commitment. So only one nonce can be taken.
    pub(super) fn take(&mut self, from: NodeId, reveal: &Reveal) -> Result<Taken, MessageRefused> {
        let member = self.assembly.cohort.member(from).ok_or(MessageRefused::LeftOut { node: from })?;
        same("cohort", self.assembly.hash, reveal.cohort)?;
        let cohort = &self.assembly.cohort;
        let opened = nonce_commitment(&cohort.config, cohort.attempt, &from, &reveal.nonce);
        if opened != self.assembly.row(member).nonce_commitment {
            return Err(MessageRefused::Opening);
        }
        if self.nonces.insert(member, reveal.nonce).is_some() {
            return Ok(Taken::Again);
        }
        Ok(Taken::last_if(self.nonces.len() == self.assembly.cohort.rows.len()))
    }

    /// Section 5, *Nonces*: all of them, or another attempt without who was silent, at most twice.
    pub(super) fn close(mut self, round: &mut Round, out: &mut Vec<Effect>) -> Result<Stage, EndReason> {
        let silent: Vec<NodeId> = (0..self.assembly.n())
            .map(Member)
            .filter(|of| !self.nonces.contains_key(of))
            .map(|of| self.assembly.node(of))
            .collect();
        if silent.is_empty() {
            return self.seat(round).map(Stage::Shares);
        }
        let attempt = self.assembly.cohort.attempt;
        if attempt >= LAST_ATTEMPT {
            return Err(EndReason::RevealsMissing { silent });
        }
        silent.iter().for_each(|&node| round.leave_out(node, OutCause::Late, out));
        self.silent.extend(silent);
        self.silent.sort_unstable();
        Ok(Stage::Join(JoinPhase::new(attempt + 1, self.silent)))
    }

    fn seat(self, round: &Round) -> Result<SharesPhase, EndReason> {
        let nonces = Nonces { cohort: self.assembly.hash, nonces: self.nonces.into_values().collect() };
        // Each was checked when it came.
        let seed = nonces.seed(&self.assembly.cohort, &self.assembly.hash);
        let seed = seed.map_err(|_| EndReason::RevealsMissing { silent: Vec::new() })?;
        let announcement = round.sign(&Announcement::Nonces(nonces));
        Ok(SharesPhase::new(Arc::new(Seated::new(self.assembly, seed)), announcement.into()))
    }

    pub(super) fn audience(&self) -> Vec<NodeId> {
        self.assembly.nodes()
    }

    pub(super) fn announcement(&self) -> Arc<[u8]> {
        self.announcement.clone()
    }

    pub(super) fn progress(&self) -> Progress {
        let reported = self.nonces.keys().map(|&member| self.assembly.node(member)).collect();
        Progress { reported, expected: self.assembly.nodes() }
    }
}
