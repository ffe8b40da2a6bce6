//! Joins, and the cohort that they make (section 5).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use neuro_primitives::NodeId;

use super::effect::Effect;
use super::evidence::Evidence;
use super::refused::MessageRefused;
use super::reveal::RevealPhase;
use super::round::Round;
use super::stage::{Taken, same};
use crate::assembly::Assembly;
use crate::group::Point;
use crate::messages::{
    Announcement, Cohort, EndReason, Join, MOST_ANNOUNCEMENT_BYTES, Message, OutCause, Restart, Row, Shortfall,
};
use crate::parameters;

/// Members join an attempt.
pub(super) struct JoinPhase {
    pub(super) attempt: u8,
    /// Who was silent in the attempts before, ascending.
    pub(super) silent: Vec<NodeId>,
    pub(super) joins: BTreeMap<NodeId, Join>,
    /// Whose each point is.
    points: HashMap<Point, NodeId>,
}

impl JoinPhase {
    pub(super) fn new(attempt: u8, silent: Vec<NodeId>) -> Self {
        Self { attempt, silent, joins: BTreeMap::new(), points: HashMap::new() }
    }

    /// Section 5, *Join*: signed by its sender, for this configuration and attempt, with points of its own.
    pub(super) fn take(
        &mut self,
        round: &mut Round,
        from: NodeId,
        join: Join,
        out: &mut Vec<Effect>,
    ) -> Result<Taken, MessageRefused> {
        let statement = &join.statement;
        if statement.member != from {
            return Err(MessageRefused::NotItsOwn { sender: from, got: statement.member });
        }
        same("configuration", round.config_hash, statement.config)?;
        if statement.attempt != self.attempt {
            return Err(MessageRefused::Attempt { expected: self.attempt, got: statement.attempt });
        }
        join.verify()?;
        if let Some(first) = self.joins.get(&from) {
            if *first == join {
                return Ok(Taken::Again);
            }
            let evidence = Evidence::TwoJoins { member: from, first: bytes(first), second: bytes(&join) };
            return Ok(self.exclude(round, from, evidence, out));
        }
        self.check_points(&join)?;
        round.joined.insert(from);
        self.points.extend(points(&join).map(|point| (point, from)));
        self.joins.insert(from, join);
        Ok(Taken::last_if(self.is_complete(round)))
    }

    /// A second, different join is evidence and excludes its member.
    fn exclude(&mut self, round: &mut Round, from: NodeId, evidence: Evidence, out: &mut Vec<Effect>) -> Taken {
        if let Some(first) = self.joins.remove(&from) {
            self.points.retain(|_, of| *of != first.statement.member);
        }
        out.push(Effect::Blame(evidence));
        round.leave_out(from, OutCause::Contradiction, out);
        Taken::last_if(self.is_complete(round))
    }

    /// No two rows of a cohort share a point.
    fn check_points(&self, join: &Join) -> Result<(), MessageRefused> {
        let own = points(join);
        if own[0] == own[1] {
            return Err(MessageRefused::SharedPoint { other: join.statement.member });
        }
        let other = own.iter().find_map(|point| self.points.get(point));
        other.map_or(Ok(()), |&other| Err(MessageRefused::SharedPoint { other }))
    }

    /// Whether the cohort is as large as it may be, or nobody is left who could join.
    fn is_complete(&self, round: &Round) -> bool {
        let left = round.rostered.saturating_sub(u32::try_from(round.left_out.len()).unwrap_or(u32::MAX));
        let most = left.min(round.config().most_members.into());
        u32::try_from(self.joins.len()).is_ok_and(|joined| joined >= most) && !self.joins.is_empty()
    }

    /// Section 5, *Cohort*; section 11 for k, t and q; section 10 for the modulus.
    pub(super) fn close(self, round: &Round) -> Result<RevealPhase, EndReason> {
        let config = round.config();
        let n = u16::try_from(self.joins.len()).unwrap_or(u16::MAX);
        let few = Shortfall { expected: config.least_members, got: n };
        if n < config.least_members || n < 2 {
            return Err(EndReason::TooFewJoined(few));
        }
        let parameters = parameters::find(&round.demand(n)).map_err(|_| EndReason::NoParameters)?;
        let modulus_bits = (round.modulus)(config, n, round.rostered).ok_or(EndReason::NoParameters)?;
        let cohort = Arc::new(Cohort {
            config: round.config_hash,
            attempt: self.attempt,
            k: parameters.k,
            t: parameters.t,
            q: parameters.q,
            modulus_bits,
            rows: self.joins.values().map(Row::from).collect(),
        });
        let announcement = round.sign(&Announcement::Cohort(Cohort::clone(&cohort)));
        let assembly = Assembly::new(cohort, config, round.rostered).map_err(|_| EndReason::NoParameters)?;
        if assembly.shape.inbox_bytes() > MOST_ANNOUNCEMENT_BYTES {
            return Err(EndReason::NoParameters);
        }
        Ok(RevealPhase::new(Arc::new(assembly), announcement.into(), self.silent))
    }

    /// The configuration in the first attempt; after a lost reveal, that another attempt begins.
    pub(super) fn announce(&self, round: &Round, out: &mut Vec<Effect>) {
        let to = round.audience();
        if to.is_empty() {
            return;
        }
        out.push(match self.restart(round) {
            None => Effect::Configure { to, config: round.signed.encode().into() },
            Some(restart) => Effect::Announce { to, bytes: restart.into() },
        });
    }

    /// Both, for a member that may have neither.
    pub(super) fn announce_to(&self, round: &Round, node: NodeId, out: &mut Vec<Effect>) {
        out.push(Effect::Configure { to: vec![node], config: round.signed.encode().into() });
        out.extend(self.restart(round).map(|bytes| Effect::Tell { to: node, bytes }));
    }

    fn restart(&self, round: &Round) -> Option<Vec<u8>> {
        let restart = Restart { config: round.config_hash, attempt: self.attempt, silent: self.silent.clone() };
        (self.attempt > 0).then(|| round.sign(&Announcement::Restart(restart)))
    }
}

fn points(join: &Join) -> [Point; 2] {
    [join.statement.mask_key, join.statement.seal_key]
}

fn bytes(join: &Join) -> Vec<u8> {
    Message::Join(join.clone()).encode()
}
