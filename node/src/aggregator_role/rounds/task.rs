//! One round through the task's pure server.
//!
//! The server is made anew from what is committed each time it is asked: once to open a round, once to use its sums. With
//! the same beginning it says the same both times, so a restarted process needs no other state than files.

use std::fs;
use std::io;
use std::path::Path;

use neuro_fl_aggregator::checkpoint::{Checkpoint, RoundRecord};
use neuro_fl_aggregator::ledger::{Ledger, LedgerLine};
use neuro_fl_aggregator::server::{RoundStart, TaskEnd};
use neuro_fl_aggregator::staleness::VersionList;
use neuro_fl_aggregator::task::{TaskSetup, Track};
use neuro_fl_aggregator::{StrategySettings, TaskEffect, TaskInput, TaskServer};
use neuro_primitives::{Hash, NodeKey};
use neuro_secagg::config::{Base, RoundConfig};
use neuro_secagg::roster::{Registry, Roster};

use super::RoundError;
use super::folder::Beginning;
use crate::aggregator_role::history::KeptTrack;
use crate::aggregator_role::models::Signed;
use crate::aggregator_role::shared::Shared;
use crate::aggregator_role::tracks::{FirstTrack, Tracks};
use crate::clock;
use crate::os::private_file;

/// δ of a ledger without noise: never told.
const NO_DELTA: f64 = 1e-6;

/// The task as its files have it.
pub(super) struct Task<'a> {
    pub(super) shared: &'a Shared,
    pub(super) folder: &'a Path,
    pub(super) tracks: &'a Tracks,
}

/// A round that begins.
pub(super) struct Opened {
    /// One for each cohort; none where nobody can be called, and then `used` says why.
    pub(super) configs: Vec<RoundConfig>,
    /// What the cohorts are called.
    pub(super) names: Vec<String>,
    /// Of how many the sums must come out for any to be of use.
    pub(super) least_sums: usize,
    /// The end of a round without cohorts.
    pub(super) used: Used,
}

/// What came of a round.
#[derive(Default)]
pub(super) struct Used {
    /// The tracks after it, if the model moved.
    pub(super) tracks: Option<Vec<KeptTrack>>,
    /// The weights of all tracks together.
    pub(super) model: Option<Hash>,
    /// Where the task stands.
    pub(super) checkpoint: Option<Checkpoint>,
    /// The round, for people and exports.
    pub(super) record: Option<RoundRecord>,
    /// What it cost.
    pub(super) charges: Vec<LedgerLine>,
    /// Whether the task has ended, and how.
    pub(super) end: Option<TaskEnd>,
}

impl Task<'_> {
    /// The configurations of the next round. What its participants fetch is on disk when this returns.
    pub(super) fn open(&self, roster: &Roster, beginning: &Beginning) -> Result<Opened, RoundError> {
        let mut server = self.server(roster)?;
        for track in server.tracks() {
            if let Some(file) = track.control_file()? {
                self.shared.models.keep(&file)?;
            }
        }
        let start = self.start(&server, roster, beginning)?;
        let effects = server.step(clock::now(), TaskInput::Begin(start));
        let (mut configs, mut rest) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                TaskEffect::OpenCohort(config) => configs.push(*config),
                other => rest.push(other),
            }
        }
        let (names, least_sums, mut used) = (server.called(), server.least_sums(), Used::default());
        self.carry_out(&server, rest, &mut used)?;
        Ok(Opened { configs, names, least_sums, used })
    }

    /// Uses what the cohorts came to, in their order. Weights and the strategies' states are kept; the rest is the
    /// caller's to commit. Doing it again gives the same.
    pub(super) fn close(
        &self,
        roster: &Roster,
        beginning: &Beginning,
        outcomes: impl Iterator<Item = Result<TaskInput, RoundError>>,
    ) -> Result<Used, RoundError> {
        let mut server = self.server(roster)?;
        let start = self.start(&server, roster, beginning)?;
        server.step(clock::now(), TaskInput::Begin(start));
        let mut used = Used::default();
        for outcome in outcomes {
            let effects = server.step(clock::now(), outcome?);
            self.carry_out(&server, effects, &mut used)?;
        }
        if used.tracks.is_some() {
            used.model = Some(self.whole(server.tracks())?);
        }
        Ok(used)
    }

    /// The tracks before the first round, and the hash of their weights together.
    pub(super) fn untouched(&self) -> Result<(Vec<KeptTrack>, String), RoundError> {
        let server = self.server(&self.shared.roster.roster())?;
        let tracks = server.tracks().iter().zip(&self.tracks.first);
        let kept = |(track, first): (&Track, &FirstTrack)| KeptTrack {
            name: track.name.clone(),
            model: first.model.to_string(),
            strategy: None,
        };
        Ok((tracks.map(kept).collect(), self.whole(server.tracks())?.to_string()))
    }

    /// Why no further round is called by itself, if so.
    pub(super) fn over(&self) -> Result<Option<TaskEnd>, RoundError> {
        Ok(self.server(&self.shared.roster.roster())?.over())
    }

    fn carry_out(&self, server: &TaskServer, effects: Vec<TaskEffect>, used: &mut Used) -> Result<(), RoundError> {
        for effect in effects {
            match effect {
                TaskEffect::SaveModel { track, state, .. } => self.keep_track(server, &track, &state, used)?,
                TaskEffect::Keep(checkpoint) => used.checkpoint = Some(checkpoint),
                TaskEffect::Record(record) => used.record = Some(record),
                TaskEffect::Charge(line) => used.charges.push(line),
                TaskEffect::End(end) => used.end = Some(end),
                TaskEffect::OpenCohort(_) | TaskEffect::Next(_) | TaskEffect::Ignored(_) => {}
            }
        }
        Ok(())
    }

    /// Keeps a track's weights and its strategy's state: `strategy/ROUND/TRACK`, tracks by their place in the plan.
    fn keep_track(&self, server: &TaskServer, name: &str, state: &[u8], used: &mut Used) -> Result<(), RoundError> {
        let Some(at) = server.tracks().iter().position(|track| track.name == name) else { return Ok(()) };
        let track = &server.tracks()[at];
        let model = self.shared.models.keep(&track.layout.write(&track.model)?)?;
        let number = server.checkpoint().round;
        let folder = self.folder.join("strategy").join(number.to_string());
        private_file::create_folder(&folder)?;
        private_file::replace(&folder.join(at.to_string()), state)?;
        let kept = KeptTrack { name: name.to_owned(), model: model.to_string(), strategy: Some(number) };
        used.tracks.get_or_insert_default().push(kept);
        Ok(())
    }

    /// The server as the last committed round left it.
    fn server(&self, roster: &Roster) -> Result<TaskServer, RoundError> {
        let history = self.shared.history();
        let plan = self.shared.plan.clone();
        let delta = plan.privacy.map_or(NO_DELTA, |privacy| privacy.delta);
        // Before anybody is listed there are no rounds either.
        let population = (roster.fields().members.len() as u32).max(1);
        let setup = TaskSetup { task: self.shared.roster.identity().id(), plan, population };
        let (mut models, mut states) = (Vec::new(), Vec::new());
        for (at, first) in self.tracks.first.iter().enumerate() {
            let kept = history.tracks().get(at);
            let hash = kept.and_then(|kept| kept.model.parse().ok()).unwrap_or(first.model);
            models.push((first.layout.clone(), first.layout.read(&self.shared.models.read(hash)?)?));
            if let Some(round) = kept.and_then(|kept| kept.strategy) {
                let folder = self.folder.join("strategy").join(round.to_string());
                states.push(fs::read(folder.join(at.to_string()))?);
            }
        }
        let tracks = setup.tracks(models)?;
        let Some(kept) = history.checkpoint().cloned() else { return Ok(TaskServer::new(setup, tracks)) };
        let charges = history.rounds().iter().flat_map(|round| &round.charges);
        let lines = charges.map(serde_json::to_string).collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        let ledger = Ledger::replay(delta, &lines.join("\n"));
        let ledger = ledger.map_err(|error| RoundError::Plan(error.to_string()))?;
        Ok(TaskServer::restore(setup, tracks, &states, ledger, kept)?)
    }

    fn start(&self, server: &TaskServer, roster: &Roster, beginning: &Beginning) -> Result<RoundStart, RoundError> {
        let bases = (0..self.tracks.first.len()).map(|at| self.base(at)).collect::<Result<_, _>>()?;
        Ok(RoundStart {
            roster: roster.version(),
            open: beginning.open.clone(),
            bases,
            whole: Base::Weights(self.whole(server.tracks())?),
            random: beginning.random,
            unix: beginning.began,
        })
    }

    /// What the vectors of a track are differences to: its weights, or with buffers the signed list of admissible ones.
    fn base(&self, at: usize) -> Result<Base, RoundError> {
        let versions = self.shared.history().versions(at, self.tracks.first[at].model);
        let StrategySettings::FedBuff { most_staleness, .. } = self.shared.plan.strategy else {
            return Ok(Base::Weights(versions[0]));
        };
        let task = self.shared.roster.identity().id();
        let admitted = versions.into_iter().take(most_staleness as usize + 1).collect();
        let list = VersionList { task, versions: admitted };
        self.shared.models.keep_signed(Signed::Versions, list.hash(), &list.sign(&self.shared.key))?;
        Ok(Base::Versions(list.hash()))
    }

    /// The weights of all tracks together, kept like any other; one track is its own whole.
    fn whole(&self, tracks: &[Track]) -> Result<Hash, RoundError> {
        Ok(self.shared.models.keep(&self.tracks.whole(tracks)?)?)
    }
}

/// Fresh random bytes: the public half of a fresh key is as random as any.
pub(super) fn random() -> Result<[u8; 32], RoundError> {
    Ok(NodeKey::generate().map_err(|error| RoundError::Plan(error.to_string()))?.node_id().0)
}

/// How a task ended, for people.
pub(crate) fn words(end: &TaskEnd) -> String {
    match end {
        TaskEnd::Done => "as many rounds as the plan asks for have a result".into(),
        TaskEnd::EarlyStop { best } => format!("the metric gains no more; its best value was {best}"),
        TaskEnd::Failing { rounds } => format!("{rounds} rounds in a row failed"),
        TaskEnd::BudgetSpent { epsilon, limit } => format!("another round would bring ε to {epsilon:.3} of {limit:.3}"),
        TaskEnd::Stopped => "stopped by the operator".into(),
        TaskEnd::Broken { why } => format!("the task cannot go on: {why}"),
    }
}
