//! One round through the task's pure server.
//!
//! The server is made anew from what is committed each time it is asked: once to open a round, once to use its sum. With
//! the same beginning it says the same both times, so a restarted process needs no other state than files.

use std::fs;
use std::io;
use std::path::Path;

use neuro_fl_aggregator::checkpoint::{Checkpoint, RoundRecord};
use neuro_fl_aggregator::ledger::{Ledger, LedgerLine};
use neuro_fl_aggregator::server::{RoundStart, TaskEnd};
use neuro_fl_aggregator::task::TaskSetup;
use neuro_fl_aggregator::{BatchInfo, Layout, TaskEffect, TaskInput, TaskServer};
use neuro_primitives::{Hash, NodeKey, UnixMillis};
use neuro_secagg::config::{Base, RoundConfig};
use neuro_secagg::roster::{Registry, Roster};

use super::RoundError;
use crate::aggregator_role::shared::Shared;
use crate::clock;
use crate::os::private_file;

/// The task as its files have it.
pub(super) struct Task<'a> {
    pub(super) shared: &'a Shared,
    pub(super) folder: &'a Path,
    pub(super) layout: &'a Layout,
    pub(super) first_model: Hash,
}

/// What came of a round.
#[derive(Default)]
pub(super) struct Used {
    /// The weights after it, if they moved.
    pub(super) model: Option<Hash>,
    /// Where the task stands.
    pub(super) checkpoint: Option<Checkpoint>,
    /// The round, for people and exports.
    pub(super) record: Option<RoundRecord>,
    /// What it cost.
    pub(super) charges: Vec<LedgerLine>,
    /// Whether the task has ended, and how.
    pub(super) end: Option<String>,
}

impl Task<'_> {
    /// The configuration of the next round, whose vectors are differences to the newest weights.
    pub(super) fn open(&self, roster: &Roster, random: [u8; 32], began: UnixMillis) -> Result<RoundConfig, RoundError> {
        let mut server = self.server()?;
        let effects = server.step(clock::now(), TaskInput::Begin(self.start(roster, random, began)));
        let mut configs = Vec::new();
        for effect in effects {
            match effect {
                TaskEffect::OpenCohort(config) => configs.push(*config),
                TaskEffect::End(end) => return Err(RoundError::Plan(words(&end))),
                _ => {}
            }
        }
        match (configs.pop(), configs.len()) {
            (Some(config), 0) => Ok(config),
            (Some(_), others) => Err(RoundError::Plan(format!("expected one cohort, got {}", others + 1))),
            (None, _) => Err(RoundError::Plan("no batch can be called".into())),
        }
    }

    /// Uses a cohort's sum, or notes why there is none. Weights and the strategy's state are kept; the rest is the
    /// caller's to commit. Doing it again gives the same.
    pub(super) fn close(
        &self,
        roster: &Roster,
        random: [u8; 32],
        began: UnixMillis,
        outcome: TaskInput,
    ) -> Result<Used, RoundError> {
        let mut server = self.server()?;
        server.step(clock::now(), TaskInput::Begin(self.start(roster, random, began)));
        let effects = server.step(clock::now(), outcome);
        let mut used = Used::default();
        for effect in effects {
            match effect {
                TaskEffect::SaveModel { model, state, .. } => {
                    used.model = Some(self.shared.models.keep(&self.layout.write(&model)?)?);
                    private_file::create_folder(&self.folder.join("strategy"))?;
                    let number = server.checkpoint().round;
                    private_file::replace(&self.folder.join("strategy").join(number.to_string()), &state)?;
                }
                TaskEffect::Keep(checkpoint) => used.checkpoint = Some(checkpoint),
                TaskEffect::Record(record) => used.record = Some(record),
                TaskEffect::Charge(line) => used.charges.push(line),
                TaskEffect::End(end) => used.end = Some(words(&end)),
                TaskEffect::OpenCohort(_) | TaskEffect::Next(_) | TaskEffect::Ignored(_) => {}
            }
        }
        Ok(used)
    }

    /// The server as the last committed round left it.
    fn server(&self) -> Result<TaskServer, RoundError> {
        let history = self.shared.history();
        let base = history.model().unwrap_or(self.first_model);
        let model = self.layout.read(&self.shared.models.read(base)?)?;
        let identity = self.shared.roster.identity();
        let population = self.shared.roster.roster().fields().members.len() as u32;
        let setup = TaskSetup { task: identity.id(), plan: self.shared.plan.clone(), population };
        let tracks = setup.tracks(vec![(self.layout.clone(), model)])?;
        let Some(kept) = history.rounds().last().and_then(|round| round.checkpoint.clone()) else {
            return Ok(TaskServer::new(setup, tracks));
        };
        let charges = history.rounds().iter().flat_map(|round| &round.charges);
        let lines = charges.map(serde_json::to_string).collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        let ledger = Ledger::replay(NO_DELTA, &lines.join("\n"));
        let ledger = ledger.map_err(|error| RoundError::Plan(error.to_string()))?;
        let states = match history.rounds().iter().rev().find(|round| round.done) {
            Some(last) => vec![fs::read(self.folder.join("strategy").join(last.number.to_string()))?],
            None => Vec::new(),
        };
        Ok(TaskServer::restore(setup, tracks, &states, ledger, kept)?)
    }

    fn start(&self, roster: &Roster, random: [u8; 32], unix: UnixMillis) -> RoundStart {
        let base = self.shared.history().model().unwrap_or(self.first_model);
        let mut open: Vec<BatchInfo> = Vec::new();
        let mut members: Vec<u16> = roster.fields().members.iter().map(|member| member.batch).collect();
        members.sort_unstable();
        for group in members.chunk_by(|a, b| a == b) {
            let count = group.len() as u32;
            open.push(BatchInfo { batch: group[0], members: count, present: count, capability: 0 });
        }
        RoundStart { roster: roster.version(), open, base: Base::Weights(base), random, unix }
    }
}

/// δ of a ledger without noise: never told.
const NO_DELTA: f64 = 1e-6;

/// Fresh random bytes: the public half of a fresh key is as random as any.
pub(super) fn random() -> Result<[u8; 32], RoundError> {
    Ok(NodeKey::generate().map_err(|error| RoundError::Plan(error.to_string()))?.node_id().0)
}

/// How a task ended, for people.
fn words(end: &TaskEnd) -> String {
    match end {
        TaskEnd::Done => "as many rounds as the plan asks for have a result".into(),
        TaskEnd::EarlyStop { best } => format!("the metric gains no more; its best value was {best}"),
        TaskEnd::Failing { rounds } => format!("{rounds} rounds in a row failed"),
        TaskEnd::BudgetSpent { epsilon, limit } => format!("another round would bring ε to {epsilon:.3} of {limit:.3}"),
        TaskEnd::Stopped => "stopped by the operator".into(),
        TaskEnd::Broken { why } => format!("the task cannot go on: {why}"),
    }
}
