//! The rounds of a task, one after the other: begins them, resumes one that a process left open, uses their sums.
//!
//! ```text
//! begin ──▶ Task::open ──▶ RoundFolder (durable) ──▶ OpenRound: a Cohort per configuration, on a thread each
//!                                                        │ ends, in any order
//! history line ◀── ended::line ◀── Task::close ◀── ended::input_of, in the order of the cohorts
//! ```
//!
//! A round is open from the moment its `start` is on disk until its line stands in the history. What happens in between
//! can be done again: a cohort replays its journal, a sum that is on disk is not made again, and using the sums of the
//! same beginning gives the same weights.

mod called;
mod ended;
mod error;
mod folder;
mod open_round;
mod task;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use neuro_fl_aggregator::TaskInput;
use neuro_fl_aggregator::server::TaskEnd;
use neuro_secagg::config::SignedConfig;
use neuro_secagg::roster::{Pin, Registry, Roster, SignedRoster};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::history::KeptTrack;
use super::models::Signed;
use super::shared::{Shared, StartRequest};
use super::tracks::Tracks;
use super::{AggregatorEvent, Report};
use crate::clock::unix_now;
use called::{batches, rostered};
pub use error::RoundError;
use folder::{Beginning, RoundFolder};
use open_round::{Called, OpenRound};
use task::Used;
pub(crate) use task::words;

/// How often it looks whether enough members attend, and whether the owner changed the roster.
const LOOK: Duration = Duration::from_millis(250);

/// Pause after a round that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Runs the rounds of one task.
pub struct Rounds {
    shared: Arc<Shared>,
    folder: PathBuf,
    tracks: Tracks,
    report: Report,
    /// Why no further round is called by itself.
    over: Option<TaskEnd>,
}

/// What came of a wish to begin.
enum Begun {
    Round(Box<OpenRound>),
    /// Nobody can be called, or nothing is left to call for.
    Nothing(String),
}

impl Rounds {
    /// The rounds in the task's folder.
    ///
    /// # Errors
    /// When what was kept of the task is damaged.
    pub(super) fn new(
        shared: Arc<Shared>,
        folder: PathBuf,
        tracks: Tracks,
        report: Report,
    ) -> Result<Self, RoundError> {
        let mut rounds = Self { shared, folder, tracks, report, over: None };
        rounds.over = rounds.task().over()?;
        rounds.tell_end(rounds.over.as_ref());
        Ok(rounds)
    }

    /// Runs until `stop`. A round that is under way then is left open: it goes on with the next start.
    ///
    /// # Errors
    /// When something cannot be made durable.
    pub async fn run(
        mut self,
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
                        None => self.asked_to_begin(&mut running),
                    };
                    drop(request.send(answer));
                }
                last = next_end(&mut running) => if last? && let Some(round) = running.take() {
                    let again = round.withdrawn;
                    self.conclude(round)?;
                    let failed = self.shared.history().checkpoint().is_some_and(|at| at.failures > 0);
                    not_before = Instant::now() + if failed { PAUSE_AFTER_FAILURE } else { Duration::ZERO };
                    if again && let Begun::Round(round) = self.begin()? {
                        running = Some(*round);
                    }
                },
                _ = look.tick() => {
                    self.shared.roster.refresh(unix_now()).inspect_err(|error| tracing::warn!(%error, "the roster")).ok();
                    self.look_at(running.as_mut());
                    if running.is_none() && Instant::now() >= not_before && self.is_due() {
                        match self.begin()? {
                            Begun::Round(round) => running = Some(*round),
                            Begun::Nothing(_) => not_before = Instant::now() + PAUSE_AFTER_FAILURE,
                        }
                    }
                }
            }
        }
    }

    /// By the operator's wish: after failures too, but not when the task has what it wanted.
    fn asked_to_begin(&mut self, running: &mut Option<OpenRound>) -> Result<u64, String> {
        if let Some(end) = self.over.as_ref().filter(|end| !matches!(end, TaskEnd::Failing { .. })) {
            return Err(format!("the task has ended: {}", task::words(end)));
        }
        match self.begin().map_err(|error| error.to_string())? {
            Begun::Nothing(why) => Err(why),
            Begun::Round(round) => Ok(running.insert(*round).number),
        }
    }

    /// Whether the plan asks for another round by itself, and enough members are listed and attend.
    fn is_due(&self) -> bool {
        let roster = self.shared.roster.roster();
        if roster.fields().members.len() < usize::from(self.shared.plan.cohort.least) {
            return false;
        }
        let attending = || {
            let nodes = self.shared.callable();
            nodes.into_iter().filter(|&node| roster.batch_of(node).is_some()).count()
        };
        self.over.is_none() && self.shared.start_at.is_some_and(|enough| attending() >= enough)
    }

    /// A round that waits for members is called again when new ones were listed: they could not join it.
    fn look_at(&self, running: Option<&mut OpenRound>) {
        if let Some(round) = running.filter(|round| !round.withdrawn)
            && round.is_outdated(&self.shared.roster.roster(), &self.shared.streams.attending())
        {
            tracing::info!(round = round.number, "called again, since the roster has new members");
            round.withdraw();
        }
    }

    /// A new round: everything about it is on disk before anybody hears of it.
    fn begin(&mut self) -> Result<Begun, RoundError> {
        let (roster, encoded) = (self.shared.roster.roster(), self.shared.roster.encoded());
        let open = batches(&roster, &self.shared.callable(), &self.shared.capabilities());
        let beginning = Beginning { began: unix_now(), random: task::random()?, open };
        let opened = self.task().open(&roster, &beginning)?;
        if opened.configs.is_empty() {
            return self.nobody_called(beginning, &roster, opened.used);
        }
        let mut configs = Vec::new();
        for config in opened.configs {
            config.check()?;
            configs.push(config.sign(&self.shared.key));
        }
        let number = configs[0].config().round;
        let folder = RoundFolder::new(&self.folder, number);
        self.shared.models.keep_signed(Signed::Roster, roster.hash(), &encoded)?;
        folder.keep(&beginning, &encoded, &configs)?;
        (self.report)(AggregatorEvent::Began { round: number, rostered: rostered(&configs, &roster) });
        let called = Called { cohorts: configs.into_iter().zip(opened.names).collect(), least_sums: opened.least_sums };
        let round = OpenRound::start(&self.shared, &folder, number, beginning, &roster, called)?;
        Ok(Begun::Round(Box::new(round)))
    }

    /// A round without cohorts has ended before it began; or the budget does not allow another.
    fn nobody_called(&mut self, beginning: Beginning, roster: &Arc<Roster>, used: Used) -> Result<Begun, RoundError> {
        let Some(record) = used.record.clone() else {
            self.over = used.end;
            self.tell_end(self.over.as_ref());
            let why = self.over.as_ref().map_or_else(|| "nobody can be called".to_owned(), task::words);
            return Ok(Begun::Nothing(why));
        };
        let number = record.round;
        let folder = RoundFolder::new(&self.folder, number);
        let round = OpenRound::start(&self.shared, &folder, number, beginning, roster, Called::default())?;
        let why = self.commit(&round, used)?;
        Ok(Begun::Nothing(why))
    }

    /// The round that an earlier process left open, if it did.
    fn resume(&self) -> Result<Option<OpenRound>, RoundError> {
        let number = self.shared.history().newest() + 1;
        let folder = RoundFolder::new(&self.folder, number);
        let Some((beginning, cohorts)) = folder.beginning()? else { return Ok(None) };
        let pin =
            Pin { owner: self.shared.roster.identity().owner, task: self.shared.roster.identity().id(), newest: None };
        let roster = SignedRoster::decode(&folder.roster()?)?;
        let roster: Arc<Roster> = Arc::new(roster.verify(|signed| signed.check(&pin, beginning.began))?);
        let opened = self.task().open(&roster, &beginning)?;
        let mut configs = Vec::new();
        for cohort in 0..cohorts {
            // Our own file; the core checks that it is ours all the same.
            let config = SignedConfig::decode(&folder.cohort(cohort)?.config()?)?.verify(Ok::<_, RoundError>)?;
            if opened.configs.get(usize::from(cohort)) != Some(config.config()) {
                return Err(RoundError::Changed { round: number });
            }
            configs.push(config);
        }
        (self.report)(AggregatorEvent::Resumed { round: number });
        let called = Called { cohorts: configs.into_iter().zip(opened.names).collect(), least_sums: opened.least_sums };
        OpenRound::start(&self.shared, &folder, number, beginning, &roster, called).map(Some)
    }

    /// Uses the sums and commits the round.
    fn conclude(&mut self, round: OpenRound) -> Result<(), RoundError> {
        let used = if round.withdrawn {
            self.task().close(&round.roster, &round.beginning, [Ok(TaskInput::Withdraw)].into_iter())?
        } else {
            let outcomes = round.cohorts.values().map(|cohort| ended::input_of(&round, cohort));
            self.task().close(&round.roster, &round.beginning, outcomes)?
        };
        self.commit(&round, used).map(drop)
    }

    /// The round's line. Returns how it ended, for people.
    fn commit(&mut self, round: &OpenRound, used: Used) -> Result<String, RoundError> {
        self.over.clone_from(&used.end);
        let (before, model) = self.before()?;
        let ended = ended::line(round, used, before, &model);
        for (cohort, end) in round.cohorts.values().zip(&ended.cohorts) {
            cohort.folder.keep_result(&serde_json::to_value(end).map_err(io::Error::other)?)?;
        }
        self.shared.history().commit(ended.clone())?;
        self.shared.end();
        for cohort in round.cohorts.values() {
            // What is left over costs disk and nothing else.
            let cleaned = cohort.handle.uploads.wipe().and_then(|()| cohort.folder.clean());
            cleaned.inspect_err(|error| tracing::warn!(%error, "a round's files stay behind")).ok();
        }
        let outcome = ended.outcome.clone();
        (self.report)(AggregatorEvent::Ended(Box::new(ended)));
        self.tell_end(self.over.as_ref());
        Ok(outcome)
    }

    /// The tracks as they are, and the hash of their weights together.
    fn before(&self) -> Result<(Vec<KeptTrack>, String), RoundError> {
        let history = self.shared.history();
        if let Some(last) = history.rounds().last() {
            return Ok((last.tracks.clone(), last.model.clone()));
        }
        drop(history);
        self.task().untouched()
    }

    fn tell_end(&self, end: Option<&TaskEnd>) {
        let words = end.map(task::words);
        self.shared.task_end().clone_from(&words);
        if let Some(reason) = words {
            (self.report)(AggregatorEvent::TaskEnded { reason });
        }
    }

    fn task(&self) -> task::Task<'_> {
        task::Task { shared: &self.shared, folder: &self.folder, tracks: &self.tracks }
    }
}

/// Waits until a cohort of the running round ends; for ever when none runs. Returns whether it was the last.
async fn next_end(running: &mut Option<OpenRound>) -> Result<bool, RoundError> {
    match running {
        Some(round) => round.next_end().await,
        None => std::future::pending().await,
    }
}
