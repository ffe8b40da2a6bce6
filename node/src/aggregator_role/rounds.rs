//! The rounds of a task, one after the other: begins them, resumes one that a process left open, applies their sums.
//!
//! A round is open from the moment its configuration is on disk until its line stands in the history. What happens in
//! between can be done again: the cohort replays its journal, and applying a sum to the round's base gives the same
//! weights.

mod configure;
mod task;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use neuro_fl_aggregator::server::CohortSum;
use neuro_fl_aggregator::{Layout, LayoutError, StrategyError, TaskInput};
use neuro_primitives::{Hash, UnixMillis};
use neuro_secagg::config::SignedConfig;
use neuro_secagg::error::DocumentError;
use neuro_secagg::messages::EndReason;
use neuro_secagg::roster::{Pin, Registry, Roster, RosterRefused, SignedRoster};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cohort::{Cohort, CohortEnd, CohortError, CohortFolder, CohortHandle, CohortParts, KeptConfig};
use super::history::EndedRound;
use super::reason;
use super::shared::{Shared, StartRequest};
use super::uploads::Uploads;
use super::{AggregatorEvent, Report};
use crate::clock::unix_now;

/// How often it looks whether enough members attend, and whether the owner changed the roster.
const LOOK: Duration = Duration::from_millis(250);

/// Pause after a round that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Rounds cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// A file.
    #[error("the task's files cannot be used: {0}")]
    Io(#[from] io::Error),
    /// The cohort.
    #[error(transparent)]
    Cohort(#[from] CohortError),
    /// A file of a round holds something else.
    #[error("a round's files are damaged: {0}")]
    Document(#[from] DocumentError),
    /// The roster of a round is not the owner's.
    #[error(transparent)]
    Roster(#[from] RosterRefused),
    /// The weights.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The plan.
    #[error("the plan does not make a round: {0}")]
    Plan(String),
    /// The step.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The cohort's thread ended without a word.
    #[error("a round's thread failed")]
    Thread,
}

/// Runs the rounds of one task.
pub struct Rounds {
    shared: Arc<Shared>,
    folder: PathBuf,
    layout: Layout,
    first_model: Hash,
    report: Report,
}

/// A cohort's thread at work.
struct Running {
    began: UnixMillis,
    random: [u8; 32],
    roster: Arc<Roster>,
    folder: CohortFolder,
    handle: Arc<CohortHandle>,
    end: oneshot::Receiver<Result<Option<CohortEnd>, CohortError>>,
}

impl Rounds {
    /// The rounds in the task's folder, which start from `first_model`.
    ///
    /// # Errors
    /// When the plan asks for what rounds do not do yet.
    pub(super) fn new(
        shared: Arc<Shared>,
        folder: PathBuf,
        layout: Layout,
        first_model: Hash,
        report: Report,
    ) -> Result<Self, RoundError> {
        configure::check(&shared.plan)?;
        Ok(Self { shared, folder, layout, first_model, report })
    }

    /// Runs until `stop`. A round that is under way then is left open: it goes on with the next start.
    ///
    /// # Errors
    /// When something cannot be made durable.
    pub async fn run(
        self,
        mut starts: mpsc::Receiver<StartRequest>,
        stop: CancellationToken,
    ) -> Result<(), RoundError> {
        let mut running = self.resume()?;
        let mut not_before = Instant::now();
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(request) = starts.recv() => {
                    let answer = match running {
                        Some(_) => Err("a round is running".to_owned()),
                        None => self.begin().map_err(|error| error.to_string()),
                    };
                    drop(request.send(answer.map(|began| {
                        let number = began.handle.config.config().round;
                        running = Some(began);
                        number
                    })));
                }
                end = ended(&mut running) => {
                    let Some(end) = end? else { return Ok(()) };
                    if let Some(round) = running.take() {
                        self.conclude(&round, end)?;
                    }
                    let failed = self.shared.history().failed_in_a_row() > 0;
                    not_before = Instant::now() + if failed { PAUSE_AFTER_FAILURE } else { Duration::ZERO };
                }
                _ = look.tick() => {
                    self.shared.roster.refresh(unix_now()).inspect_err(|error| tracing::warn!(%error, "the roster")).ok();
                    if running.is_none() && Instant::now() >= not_before && self.is_due() {
                        running = Some(self.begin()?);
                    }
                }
            }
        }
    }

    /// Whether the plan asks for another round by itself, and enough members attend.
    fn is_due(&self) -> bool {
        let history = self.shared.history();
        let wanted = history.done() < u64::from(self.shared.plan.rounds)
            && history.failed_in_a_row() <= self.shared.plan.failures as usize;
        let roster = self.shared.roster.roster();
        let attending = || {
            let nodes = self.shared.streams.attending();
            nodes.into_iter().filter(|&node| roster.batch_of(node).is_some()).count()
        };
        self.shared.start_at.is_some_and(|enough| wanted && attending() >= enough)
    }

    /// A new round: its configuration and roster are on disk before anybody hears of it.
    fn begin(&self) -> Result<Running, RoundError> {
        let roster = self.shared.roster.roster();
        let (random, began) = (task::random()?, unix_now());
        let config = self.task().open(&roster, random, began)?;
        config.check()?;
        let config = config.sign(&self.shared.key);
        let folder = CohortFolder::open(&self.folder, config.config().round, 0)?;
        folder.keep_roster(&self.shared.roster.encoded())?;
        folder.keep_config(began, random, &config.encode())?;
        let number = config.config().round;
        (self.report)(AggregatorEvent::Began { round: number, rostered: roster.rostered(&config.config().batches) });
        self.spawn(config, roster, folder, began, random)
    }

    /// The round that an earlier process left open, if it did.
    fn resume(&self) -> Result<Option<Running>, RoundError> {
        let number = self.shared.history().newest() + 1;
        if !self.folder.join("rounds").join(number.to_string()).is_dir() {
            return Ok(None);
        }
        let folder = CohortFolder::open(&self.folder, number, 0)?;
        let Some(KeptConfig { began, random, config }) = folder.config()? else { return Ok(None) };
        let pin =
            Pin { owner: self.shared.roster.identity().owner, task: self.shared.roster.identity().id(), newest: None };
        let roster = SignedRoster::decode(&fs::read(folder.roster())?)?;
        let roster: Arc<Roster> = Arc::new(roster.verify(|signed| signed.check(&pin, began))?);
        // Our own file; the core checks that it is ours all the same.
        let config: SignedConfig = SignedConfig::decode(&config)?.verify(Ok::<_, RoundError>)?;
        (self.report)(AggregatorEvent::Resumed { round: number });
        self.spawn(config, roster, folder, began, random).map(Some)
    }

    fn spawn(
        &self,
        config: SignedConfig,
        roster: Arc<Roster>,
        folder: CohortFolder,
        began: UnixMillis,
        random: [u8; 32],
    ) -> Result<Running, RoundError> {
        let uploads = Arc::new(Uploads::open(folder.path())?);
        let (handle, posts) = CohortHandle::new(config.clone(), began, Arc::clone(&uploads));
        let parts = CohortParts {
            config,
            registry: Arc::clone(&roster) as _,
            key: self.shared.key.clone(),
            streams: Arc::clone(&self.shared.streams),
            folder: folder.clone(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        };
        let cohort = Cohort::open(parts, uploads, handle.state())?;
        let handle = Arc::new(handle);
        self.shared.set_cohorts(vec![Arc::clone(&handle)]);
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new().name("cohort".into()).spawn(move || drop(ended.send(cohort.run(&posts))))?;
        for node in self.shared.streams.attending() {
            handle.post_blindly(neuro_secagg::aggregator::Input::Connected(node));
        }
        Ok(Running { began, random, roster, folder, handle, end })
    }

    /// Uses the sum and commits the round.
    fn conclude(&self, round: &Running, end: CohortEnd) -> Result<(), RoundError> {
        let config = round.handle.config.config();
        let members = round.handle.look().view.as_ref().and_then(|view| view.numbers).map_or(0, |numbers| numbers.n);
        let used = self.task().close(&round.roster, round.random, round.began, self.outcome(round, &end, members))?;
        let failure = used.record.as_ref().and_then(|record| record.cohorts.iter().find_map(|c| c.failure.clone()));
        let outcome = match (&end.sum, failure) {
            (Some(_), Some(failure)) => format!("the sum is not used: {failure}"),
            _ => reason::words(&end.reason),
        };
        if let Some(ended) = &used.end {
            tracing::info!(reason = %ended, "the task has ended");
        }
        let ended = EndedRound {
            number: config.round,
            began_unix_ms: round.began.0,
            took_ms: unix_now().0.saturating_sub(round.began.0),
            done: used.model.is_some(),
            outcome,
            retryable: end.reason.is_retryable(),
            members: members.into(),
            survivors: if used.model.is_some() { end.survivors.len() as u32 } else { 0 },
            weight: if let EndReason::Done { weight, .. } = end.reason { weight } else { 0 },
            sum: end.sum.as_ref().map(|sum| sum.hash.to_string()).unwrap_or_default(),
            model: used.model.unwrap_or_else(|| config.base.hash()).to_string(),
            payload_bytes: round.handle.uploads.held_bytes(),
            blamed: end.blamed.iter().map(ToString::to_string).collect(),
            record: used.record,
            checkpoint: used.checkpoint,
            charges: used.charges,
        };
        round.folder.keep_result(&serde_json::to_value(&ended).map_err(io::Error::other)?)?;
        self.shared.history().commit(ended.clone())?;
        self.shared.set_cohorts(Vec::new());
        // What is left over costs disk and nothing else.
        let cleaned = round.handle.uploads.wipe().and_then(|()| round.folder.clean());
        cleaned.inspect_err(|error| tracing::warn!(%error, "a round's files stay behind")).ok();
        (self.report)(AggregatorEvent::Ended(Box::new(ended)));
        Ok(())
    }

    /// What the task's server hears of the cohort. After the certificate members may have answered: they are charged.
    fn outcome(&self, round: &Running, end: &CohortEnd, members: u16) -> TaskInput {
        let config = round.handle.config.config();
        let (number, cohort) = (config.round, config.cohort);
        let honest_at_least = config.demand(members, round.roster.rostered(&config.batches)).honest_at_least();
        match &end.sum {
            Some(sum) => TaskInput::CohortDone(CohortSum {
                round: number,
                cohort,
                sum: sum.values.clone(),
                survivors: end.survivors.len() as u32,
                members: end.survivors.clone(),
                honest_at_least,
            }),
            None => {
                let answered = matches!(end.reason, EndReason::TooFewAnswered(_) | EndReason::BadDealer { .. });
                let charged = if answered { end.survivors.clone() } else { Vec::new() };
                TaskInput::CohortFailed { round: number, cohort, reason: reason::words(&end.reason), charged }
            }
        }
    }

    fn task(&self) -> task::Task<'_> {
        let Self { shared, folder, layout, first_model, .. } = self;
        task::Task { shared, folder, layout, first_model: *first_model }
    }
}

/// Waits for the running round's end; for ever when none runs. `None`: the cohort is left open.
async fn ended(running: &mut Option<Running>) -> Result<Option<CohortEnd>, RoundError> {
    match running {
        Some(round) => Ok((&mut round.end).await.map_err(|_| RoundError::Thread)??),
        None => std::future::pending().await,
    }
}
