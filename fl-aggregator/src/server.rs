//! The rounds of a task: which cohorts when, and what follows from their sums. Pure: inputs and a time in, effects out.
//!
//! ```text
//! driver ── Begin ──────────▶ server ── OpenCohort(config) ─▶ one secagg round each, in the driver
//! driver ── CohortDone ─────▶ server    decoded, checked; applied or kept for the robust rule
//! driver ── CohortFailed ───▶ server    a cohort that fell out costs its own part alone
//! after the last cohort       server ── SaveModel, Charge, Keep, Record ─▶ files
//!                                    ── Next | End
//! ```
//!
//! # Invariants
//!
//! - Round numbers only rise; one round is under way at a time.
//! - A cohort's sum is used once. What comes for another round or cohort changes nothing.
//! - The model moves by whole sums only; a sum that does not decode leaves it as it was.
//! - No round is opened whose noise would take ε beyond the plan's bound.
//! - The server never sees a vector of one participant.

mod begin;
mod evaluate;
mod finish;
mod standing;

use crate::checkpoint::{CHECKPOINT_VERSION, Checkpoint, CohortRecord, RoundKind, RoundRecord};
use crate::early_stop::EarlyStop;
use crate::error::StrategyError;
use crate::layout::Flat;
use crate::ledger::{Ledger, LedgerLine};
use crate::selection::BatchInfo;
use crate::task::{Role, TaskSetup, Track};
use crate::update::EncodingPlan;
use neuro_primitives::{Hash, Moment, NodeId, UnixMillis};
use neuro_secagg::config::{Base, RoundConfig};
use std::collections::BTreeMap;

/// δ of a ledger without noise: never told.
const NO_DELTA: f64 = 1e-6;

/// What a record calls the rule over shards, where it refused them.
pub const ROBUST_RULE: &str = "robust rule";

/// What happens to a task.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskInput {
    /// A round may begin: the operator asks for one, or the driver follows [`TaskEffect::Next`].
    Begin(RoundStart),
    /// A cohort's sum is unmasked. With central noise the driver has added it already.
    CohortDone(CohortSum),
    /// A cohort ended without a sum.
    CohortFailed {
        /// The round.
        round: u64,
        /// The cohort.
        cohort: u16,
        /// Why.
        reason: String,
        /// n; 0 before there was a cohort.
        n: u16,
        /// Who may have answered: a failed unmasking counts as a release.
        charged: Vec<NodeId>,
        /// n − d − c.
        honest_at_least: u16,
    },
    /// The round under way is called off before anybody trained for it, and counts for nothing but its number.
    Withdraw,
    /// The operator ends the task.
    Stop,
}

/// What a round begins with.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundStart {
    /// The roster's version and hash.
    pub roster: (u64, Hash),
    /// The roster's batches, ascending, and who is there.
    pub open: Vec<BatchInfo>,
    /// What vectors are differences to: for each track its weights, or its list of admissible versions.
    pub bases: Vec<Base>,
    /// What an evaluation measures: the weights of all tracks together.
    pub whole: Base,
    /// Fresh random bytes: the round ids come from them.
    pub random: [u8; 32],
    /// For the history alone.
    pub unix: UnixMillis,
}

/// The sum of a cohort.
#[derive(Debug, Clone, PartialEq)]
pub struct CohortSum {
    /// The round.
    pub round: u64,
    /// The cohort.
    pub cohort: u16,
    /// `[vector_entries]`, two's complement.
    pub sum: Vec<i64>,
    /// |S|.
    pub survivors: u32,
    /// n.
    pub n: u16,
    /// Whose vectors are in the sum: they are charged.
    pub members: Vec<NodeId>,
    /// n − d − c.
    pub honest_at_least: u16,
}

/// What the driver does.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskEffect {
    /// Sign and announce it.
    OpenCohort(Box<RoundConfig>),
    /// Keep a track's model and strategy: both, before anything after it.
    SaveModel {
        /// The track's name.
        track: String,
        /// Its model now.
        model: Flat,
        /// The strategy's state.
        state: Vec<u8>,
    },
    /// Append to `ledger.jsonl`.
    Charge(LedgerLine),
    /// Replace the checkpoint.
    Keep(Checkpoint),
    /// Append to `history.jsonl`.
    Record(RoundRecord),
    /// Another round may begin.
    Next(RoundKind),
    /// The task has ended.
    End(TaskEnd),
    /// An input came that the task has no use for now.
    Ignored(&'static str),
}

/// How a task ends.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskEnd {
    /// As many rounds as the plan asks for.
    Done,
    /// The metric gains no more.
    EarlyStop {
        /// Its best value.
        best: f64,
    },
    /// Too many rounds in a row failed.
    Failing {
        /// How many.
        rounds: u32,
    },
    /// Another round would cost more than the plan allows.
    BudgetSpent {
        /// ε after it.
        epsilon: f64,
        /// The plan's bound.
        limit: f64,
    },
    /// By the operator.
    Stopped,
    /// Our own mistake, or files that were changed: what cannot be with a plan that was parsed.
    Broken {
        /// What.
        why: String,
    },
}

/// One cohort under way.
struct Cohort {
    track: usize,
    name: String,
    encoding: EncodingPlan,
    record: Option<CohortRecord>,
    /// The mean that the robust rule works on.
    mean: Option<Vec<f64>>,
}

/// The round under way.
struct Round {
    kind: RoundKind,
    began: Moment,
    unix: UnixMillis,
    cohorts: BTreeMap<u16, Cohort>,
    /// Experts that were not opened.
    closed: Vec<CohortRecord>,
    metrics: BTreeMap<String, f64>,
    /// How many norms were within the clip, noise included, and of how many.
    within_clip: Option<(i64, u32)>,
    moved: bool,
}

/// The server of one task.
pub struct TaskServer {
    setup: TaskSetup,
    tracks: Vec<Track>,
    ledger: Ledger,
    at: Checkpoint,
    under_way: Option<Round>,
    ended: bool,
}

impl TaskServer {
    /// A task before its first round. `tracks`: [`TaskSetup::tracks`].
    #[must_use]
    pub fn new(setup: TaskSetup, tracks: Vec<Track>) -> Self {
        let delta = setup.plan.privacy.map_or(NO_DELTA, |privacy| privacy.delta);
        let at = Checkpoint {
            version: CHECKPOINT_VERSION,
            round: 0,
            applied: 0,
            router_applied: 0,
            failures: 0,
            clip: setup.plan.privacy.map_or(0.0, |privacy| privacy.clip),
            evaluation_due: false,
            early_stop: setup.plan.early_stop.clone().map(EarlyStop::new),
        };
        Self { setup, tracks, ledger: Ledger::new(delta), at, under_way: None, ended: false }
    }

    /// A task that goes on from what was kept: `states` are the strategies' in the order of the tracks.
    ///
    /// # Errors
    /// A state that is none of the plan's strategy.
    pub fn restore(
        setup: TaskSetup,
        mut tracks: Vec<Track>,
        states: &[Vec<u8>],
        ledger: Ledger,
        kept: Checkpoint,
    ) -> Result<Self, StrategyError> {
        for (track, state) in tracks.iter_mut().zip(states) {
            track.strategy = setup.plan.strategy.restore(state)?;
        }
        Ok(Self { ledger, at: kept, ..Self::new(setup, tracks) })
    }

    /// Takes in what happened, and says what follows.
    pub fn step(&mut self, now: Moment, input: TaskInput) -> Vec<TaskEffect> {
        if self.ended {
            return vec![TaskEffect::Ignored("the task has ended")];
        }
        match input {
            TaskInput::Begin(start) => self.begin(now, start),
            TaskInput::CohortDone(sum) => self.done(now, sum),
            TaskInput::CohortFailed { round, cohort, reason, n, charged, honest_at_least } => {
                self.failed(now, (round, cohort), reason, n, (&charged, honest_at_least))
            }
            TaskInput::Withdraw => self.withdraw(),
            TaskInput::Stop => self.end(TaskEnd::Stopped),
        }
    }

    /// The tracks as they are.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Where the task stands.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.at
    }

    /// What it has cost.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn end(&mut self, why: TaskEnd) -> Vec<TaskEffect> {
        self.ended = true;
        self.under_way = None;
        vec![TaskEffect::Keep(self.at.clone()), TaskEffect::End(why)]
    }

    fn broken(&mut self, why: impl std::fmt::Display) -> Vec<TaskEffect> {
        self.end(TaskEnd::Broken { why: why.to_string() })
    }

    fn track_of(&self, role: Role) -> Option<usize> {
        self.tracks.iter().position(|track| track.role == role)
    }
}

#[cfg(test)]
mod tests;
