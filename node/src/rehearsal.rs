//! A rehearsal: every round of a plan with all its participants in this process, from a seed, before anybody is invited.
//!
//! ```text
//! plan, weights ──▶ TaskServer ── OpenCohort ──▶ a trainer's run for each member ──▶ encoded vectors, added
//!                       ▲                                                                    │
//!                       └──────────────────────────── CohortDone ────────────────────────────┘
//! ```
//!
//! The plan, the task's core, the trainer's contract, the integers and the noise are those of a real task. Left out is what
//! changes no number: keys and masks, which cancel to the bit, and messages. Everybody attends; a trainer that fails is a
//! dropout. All randomness comes from the seed, so that the same seed gives the same weights, as long as trainers draw
//! theirs from the seed that `task.json` gives them.

mod cast;
mod cohort;
mod error;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use neuro_fl_aggregator::checkpoint::{RoundKind, RoundRecord};
use neuro_fl_aggregator::server::{RoundStart, TaskEnd};
use neuro_fl_aggregator::task::TaskSetup;
use neuro_fl_aggregator::{BatchInfo, TaskEffect, TaskInput, TaskServer};
use neuro_primitives::{Hash, Moment};
use neuro_secagg::config::Base;
use neuro_secagg::roster::Registry;
use tokio_util::sync::CancellationToken;

use crate::aggregator_role::models::Models;
use crate::aggregator_role::read_plan;
use crate::aggregator_role::rounds::words;
use crate::aggregator_role::tracks::Tracks;
use crate::os::private_file;
use crate::participant_role::trainer::TrainerCommand;
use cast::Cast;
pub use cast::batches_of;
pub use error::RehearsalError;

/// What the mean of the trainers' losses is called. In a real round nobody knows it.
pub const TRAINERS_LOSS: &str = "trainers/loss";

/// What is rehearsed.
#[derive(Debug, Clone)]
pub struct RehearsalOptions {
    /// `round.toml`.
    pub plan: PathBuf,
    /// A trainer for each participant.
    pub trainers: Vec<TrainerCommand>,
    /// Address space of a trainer in bytes; none: no bound.
    pub trainer_memory_bytes: Option<u64>,
    /// Batches that participants are dealt to; none: as many as the plan speaks of.
    pub batches: Option<u16>,
    /// What all randomness comes from.
    pub seed: u64,
    /// A folder for weights and trainers, empty before.
    pub folder: PathBuf,
    /// Trainers that run at a time.
    pub at_a_time: usize,
}

/// What happens in a rehearsal.
#[derive(Debug, Clone, PartialEq)]
pub enum RehearsalEvent {
    /// Participants with the default floors would not join such a round. Said once for each reason.
    BelowFloors {
        /// The first such round.
        round: u64,
        /// The floor.
        reason: String,
    },
    /// A trainer is done.
    Trained {
        /// The round.
        round: u64,
        /// Whose it is, from 0.
        participant: usize,
    },
    /// A participant drops out of a round.
    Dropped {
        /// The round.
        round: u64,
        /// Which one, from 0.
        participant: usize,
        /// What went wrong.
        reason: String,
    },
    /// A round ended.
    Ended(Box<RoundRecord>),
}

/// What a rehearsal came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// The task's name.
    pub task: String,
    /// Every round, with [`TRAINERS_LOSS`] among the metrics of those that train. All times are zero.
    pub rounds: Vec<RoundRecord>,
    /// Why there was no further round, for people.
    pub end: String,
    /// Whether the plan's rounds were all held, or the metric was good enough.
    pub done: bool,
    /// The weights of all tracks, a safetensors file.
    pub weights: Vec<u8>,
}

/// A rehearsal under way.
struct Rehearsal<'a> {
    options: &'a RehearsalOptions,
    cast: Cast,
    task: String,
    server: TaskServer,
    tracks: Tracks,
    models: Models,
    report: &'a mut (dyn FnMut(RehearsalEvent) + Send),
    stop: &'a CancellationToken,
    /// Σ weight·loss and Σ weight of the running round.
    losses: (f64, f64),
    /// Floors that were told of.
    told: BTreeMap<String, u64>,
    rounds: Vec<RoundRecord>,
}

/// Holds rounds until the task ends.
///
/// # Errors
/// A plan or weights that make no task, a disk that fails, `stop`.
pub async fn rehearse(
    options: &RehearsalOptions,
    report: &mut (dyn FnMut(RehearsalEvent) + Send),
    stop: &CancellationToken,
) -> Result<Rehearsed, RehearsalError> {
    let plan = read_plan(&options.plan)?;
    private_file::create_folder(&options.folder)?;
    let models = Models::open(&options.folder)?;
    let tracks = Tracks::of(&options.plan, &plan, &models)?;
    let cast = Cast::new(&plan, options)?;
    let (task, population) = (plan.task.clone(), options.trainers.len() as u32);
    let setup = TaskSetup { task: cast.roster().task(), plan, population };
    let mut first = Vec::new();
    for track in &tracks.first {
        first.push((track.layout.clone(), track.layout.read(&models.read(track.model)?)?));
    }
    let server = TaskServer::new(setup.clone(), setup.tracks(first)?);
    let (losses, told, rounds) = ((0.0, 0.0), BTreeMap::new(), Vec::new());
    let mut rehearsal = Rehearsal { options, cast, task, server, tracks, models, report, stop, losses, told, rounds };
    let end = loop {
        if let Some(end) = rehearsal.round().await? {
            break end;
        }
    };
    let weights = rehearsal.tracks.whole(rehearsal.server.tracks())?;
    let done = matches!(end, TaskEnd::Done | TaskEnd::EarlyStop { .. });
    Ok(Rehearsed { task: rehearsal.task, rounds: rehearsal.rounds, end: words(&end), done, weights })
}

impl Rehearsal<'_> {
    /// One round. Returns the end of the task, if this was its last.
    async fn round(&mut self) -> Result<Option<TaskEnd>, RehearsalError> {
        let start = self.start()?;
        let mut effects = VecDeque::from(self.server.step(Moment::default(), TaskInput::Begin(start)));
        let mut over = None;
        while let Some(effect) = effects.pop_front() {
            match effect {
                TaskEffect::OpenCohort(config) => {
                    config.check()?;
                    let input = self.cohort(&config).await?;
                    effects.extend(self.server.step(Moment::default(), input));
                }
                TaskEffect::Record(record) => self.ended(record),
                TaskEffect::End(end) => over = Some(end),
                TaskEffect::SaveModel { .. }
                | TaskEffect::Charge(_)
                | TaskEffect::Keep(_)
                | TaskEffect::Next(_)
                | TaskEffect::Ignored(_) => {}
            }
        }
        Ok(over)
    }

    /// Everybody attends, and weights are what the last round left.
    fn start(&mut self) -> Result<RoundStart, RehearsalError> {
        let mut bases = Vec::new();
        for track in self.server.tracks() {
            bases.push(Base::Weights(self.models.keep(&track.layout.write(&track.model)?)?));
            if let Some(control) = track.control_file()? {
                self.models.keep(&control)?;
            }
        }
        let whole = Base::Weights(self.models.keep(&self.tracks.whole(self.server.tracks())?)?);
        let round = self.server.checkpoint().round + 1;
        Ok(RoundStart {
            roster: self.cast.roster().version(),
            open: self.cast.batches(),
            bases,
            whole,
            random: self.cast.drawn("round", round, 0, 0).0,
            unix: self.cast.now(),
        })
    }

    fn ended(&mut self, mut record: RoundRecord) {
        let (sum, weight) = std::mem::take(&mut self.losses);
        if record.kind != RoundKind::Evaluate && weight > 0.0 {
            record.metrics.insert(TRAINERS_LOSS.to_owned(), sum / weight);
        }
        record.began_unix_ms = 0;
        (self.report)(RehearsalEvent::Ended(Box::new(record.clone())));
        self.rounds.push(record);
    }
}

/// Members of a batch, all present.
fn present(batch: u16, members: u32) -> BatchInfo {
    BatchInfo { batch, members, present: members, capability: u64::MAX }
}

/// The first eight bytes as a number.
fn number(hash: Hash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests;
