//! Keeps what outlives a run, without ever holding up whoever has something to keep.
//!
//! ```text
//! dispatch, services ── worked, joined … ─▶ pending (one entry a worker) ─▶ thread, every 200 ms ─▶ Store
//! services ── ask ─▶ questions (bounded) ────────────────────────────────────▶ the same thread ─────▶ Store
//! ```
//!
//! Recording takes a lock for a few instructions. While the store is down, slow or full, entries merge: the latest of a
//! worker counts, work adds up. So what waits is bounded by the workers, and nothing is lost and nothing counts twice
//! when the store is back ([`writer`]). The owner hears of it once when it begins and once when it ends.

mod pending;
mod vouchers;
mod writer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use neuro_orchestrator::Standing;
use neuro_orchestrator::store::{Batch, ExpertUse, Hardware, Store, StoreError, WorkerRecord};
use neuro_primitives::receipt::SignedVoucher;
use neuro_primitives::{ExpertId, ModelId, NodeId};
use neuro_protocol::control::StoreStatus;
use tokio::sync::oneshot;

use super::hardware;
use super::members::unix_now;
use super::roster::Facts;
use pending::Pending;
use writer::Writer;

/// Questions that may wait for the store; with more it is as good as down.
const MAX_QUESTIONS: usize = 64;

/// How long the end of the node waits for the last batch.
const LAST_BATCH_PATIENCE: Duration = Duration::from_secs(3);

/// A worker that only attends is written again after this many seconds, so that the store knows when it was last seen.
const SEEN_AGAIN_S: u64 = 60;

/// How often the store is written.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The time between batches, and before the second attempt of one that failed.
    pub interval: Duration,
    /// The longest time between attempts: it doubles up to this.
    pub longest_pause: Duration,
}

/// Five batches a second bound what a crash can lose to 200 ms of work; a store that is back is noticed within 30 s.
impl Default for Pace {
    fn default() -> Self {
        Self { interval: Duration::from_millis(200), longest_pause: Duration::from_secs(30) }
    }
}

/// What a recorder is for.
#[derive(Debug, Clone, Copy)]
pub struct Purpose {
    /// The orchestrator that writes.
    pub orchestrator: NodeId,
    /// The model that it serves.
    pub model: ModelId,
    /// What a row through one expert is worth.
    pub micro_units_per_row: u64,
}

/// The way to the store. Cloning shares it.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

/// A question cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many others ask.
    #[error("{} questions wait for the store already", MAX_QUESTIONS)]
    Busy,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopped,
}

/// What the thread is asked beside writing.
type Question = Box<dyn FnOnce(&mut dyn Store) + Send>;

struct Shared {
    purpose: Purpose,
    /// How much experts were used when the recorder started.
    used_before: Vec<ExpertUse>,
    state: Mutex<State>,
    /// Rings when there is something to do, and when the thread has ended.
    bell: Condvar,
}

#[derive(Default)]
struct State {
    /// Every worker that ever joined, as it is now.
    workers: BTreeMap<NodeId, WorkerRecord>,
    /// The last voucher with each of them, 300 bytes.
    vouchers: BTreeMap<NodeId, SignedVoucher>,
    pending: Pending,
    questions: VecDeque<Question>,
    /// Workers of whom the thread could not write something so far.
    unwritten: BTreeSet<NodeId>,
    failure: Option<StoreError>,
    batches: u64,
    stop: bool,
    ended: bool,
}

impl Recorder {
    /// Reads what `store` has and starts the thread that owns it from now on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn start(mut store: Box<dyn Store>, purpose: Purpose, pace: Pace) -> Result<Self, StoreError> {
        let workers = store.workers()?.into_iter().map(|worker| (worker.id, worker)).collect();
        let used = store.expert_use(purpose.model)?;
        let vouchers = store.vouchers(purpose.orchestrator)?;
        let vouchers = vouchers.into_iter().map(|voucher| (voucher.voucher().worker, voucher)).collect();
        let run = getrandom::u64().unwrap_or_else(|_| unix_now().0);
        let writer = Writer::new(store, purpose.orchestrator, run, purpose.model)?;
        let state = Mutex::new(State { workers, vouchers, ..State::default() });
        let shared = Arc::new(Shared { purpose, used_before: used, state, bell: Condvar::new() });
        let owned = Arc::clone(&shared);
        thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || Thread { shared: owned, writer, pace }.run())
            .map_err(|error| StoreError::Unavailable {
                place: "the store".to_owned(),
                action: "open",
                reason: error.to_string(),
                remedy: "let this user start more threads",
            })?;
        Ok(Self(shared))
    }

    /// An answer of `worker` was accepted: so many rows, counted once for each expert that they went through.
    pub fn worked(&self, worker: NodeId, row_experts: u64) {
        let micro_units = row_experts.saturating_mul(self.0.purpose.micro_units_per_row);
        self.record(|state| state.pending.earned(worker, micro_units));
    }

    /// A worker was admitted.
    pub fn joined(&self, worker: NodeId, facts: &Facts) {
        self.change(worker, |record| {
            facts.name.clone_into(&mut record.name);
            record.hardware = hardware::recorded(facts.hardware.as_ref(), facts.threads, &facts.engine, &facts.version);
        });
    }

    /// A worker gave a sign of life.
    pub fn seen(&self, worker: NodeId) {
        let now_s = now_s();
        let known = self.lock().workers.get(&worker).map(|record| record.last_seen_s);
        if known.is_some_and(|last| last + SEEN_AGAIN_S <= now_s) {
            self.change(worker, |_| ());
        }
    }

    /// A worker changed its team.
    pub fn set_team(&self, worker: NodeId, team: Option<String>) {
        self.change(worker, |record| record.team = team);
    }

    /// What the orchestrator thinks of a worker changed.
    pub fn set_standing(&self, worker: NodeId, standing: Standing) {
        self.change(worker, |record| record.standing = standing);
    }

    /// A worker gets no work any more, and why.
    pub fn exclude(&self, worker: NodeId, reason: String) {
        self.change(worker, |record| record.excluded = Some(reason));
    }

    /// A worker that was excluded may work again. Its conduct begins anew, so it is on probation.
    pub fn pardon(&self, worker: NodeId) {
        self.record(|state| state.pending.pardoned(worker));
        self.change(worker, |record| {
            record.excluded = None;
            record.standing = record.standing.forgiven();
        });
    }

    /// An expert was asked for.
    pub fn used(&self, expert: ExpertId, rows: u64) {
        self.record(|state| state.pending.expert_use(expert, rows));
    }

    /// How much each expert of the model was used in runs before this one.
    #[must_use]
    pub fn used_before(&self) -> Vec<(ExpertId, u64)> {
        self.0.used_before.iter().map(|used| (used.expert, used.rows)).collect()
    }

    /// A worker as it was recorded last, in this run or before.
    #[must_use]
    pub fn worker(&self, worker: NodeId) -> Option<WorkerRecord> {
        self.lock().workers.get(&worker).cloned()
    }

    /// All workers that ever joined.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerRecord> {
        self.lock().workers.values().cloned().collect()
    }

    /// Reads the store, in turn with its batches.
    ///
    /// # Errors
    /// When the store cannot be read, too many ask, or the node stops.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, AskError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.lock();
            if state.questions.len() >= MAX_QUESTIONS {
                return Err(AskError::Busy);
            }
            if state.ended {
                return Err(AskError::Stopped);
            }
            // Whoever asked may have gone.
            state.questions.push_back(Box::new(move |store| drop(answer.send(question(store)))));
        }
        self.0.bell.notify_all();
        Ok(answered.await.map_err(|_| AskError::Stopped)??)
    }

    /// How the store does.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        let state = self.lock();
        let failure = state.failure.as_ref().map(|error| format!("{error}; {}", error.remedy()));
        StoreStatus { failure, waiting_workers: state.waiting_workers(), batches: state.batches }
    }

    /// Writes what waits, if the store takes it within a few seconds, and ends the thread. Blocks.
    pub fn close(&self) {
        let mut state = self.lock();
        state.stop = true;
        self.0.bell.notify_all();
        let ended = self.0.bell.wait_timeout_while(state, LAST_BATCH_PATIENCE, |state| !state.ended);
        state = ended.unwrap_or_else(PoisonError::into_inner).0;
        let lost = state.waiting_workers();
        if lost > 0 {
            tracing::error!(workers = lost, "the store did not take the last records of some workers");
        }
    }

    /// Changes a worker's record, a new one if it was never seen, and has it written.
    fn change(&self, worker: NodeId, change: impl FnOnce(&mut WorkerRecord)) {
        let now_s = now_s();
        self.record(|state| {
            let record = state.workers.entry(worker).or_insert_with(|| unknown(worker, now_s));
            record.last_seen_s = record.last_seen_s.max(now_s);
            change(record);
            let record = record.clone();
            state.pending.worker(record);
        });
    }

    fn record(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        let idle = state.pending.is_empty();
        change(&mut state);
        if idle {
            self.0.bell.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    /// Workers of whom something waits, in a batch or for the next one.
    fn waiting_workers(&self) -> u64 {
        self.pending.workers().union(&self.unwritten).count() as u64
    }
}

impl Shared {
    /// Nobody panics while holding the lock but through a bug; every change is whole, so the state is used.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that owns the store.
struct Thread {
    shared: Arc<Shared>,
    writer: Writer,
    pace: Pace,
}

/// What the thread does next.
enum Next {
    Answer(Question),
    Write,
    End,
}

impl Thread {
    fn run(mut self) {
        let (mut due, mut pause) = (Instant::now(), self.pace.interval);
        loop {
            match self.next(due) {
                Next::Answer(question) => {
                    // Who asked hears that there is no answer; those who ask next are to have theirs.
                    if catch_unwind(AssertUnwindSafe(|| question(self.writer.store()))).is_err() {
                        tracing::error!("a question to the store broke down");
                    }
                }
                Next::Write => {
                    pause = if self.write() { self.pace.interval } else { (pause * 2).min(self.pace.longest_pause) };
                    due = Instant::now() + pause;
                }
                Next::End => break,
            }
        }
        self.write();
        let mut state = self.shared.lock();
        state.ended = true;
        // Whoever waits for an answer hears that there is none.
        state.questions.clear();
        self.shared.bell.notify_all();
    }

    /// Waits until there is something to do: questions at once, batches when they are due.
    fn next(&self, due: Instant) -> Next {
        let mut state = self.shared.lock();
        loop {
            if state.stop {
                return Next::End;
            }
            if let Some(question) = state.questions.pop_front() {
                return Next::Answer(question);
            }
            let waits = self.writer.unsure().is_some() || !state.pending.is_empty();
            let left = due.saturating_duration_since(Instant::now());
            state = match (waits, left.is_zero()) {
                (true, true) => return Next::Write,
                (true, false) => {
                    let rung = self.shared.bell.wait_timeout(state, left);
                    rung.unwrap_or_else(PoisonError::into_inner).0
                }
                (false, _) => self.shared.bell.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Writes what could not be written before, then what waits. Returns whether all of it is written.
    fn write(&mut self) -> bool {
        let mut outcome = self.writer.write();
        if outcome.is_ok() {
            let mut state = self.shared.lock();
            self.writer.freeze(&mut state.pending, now_s());
            state.unwritten = self.unwritten();
            drop(state);
            outcome = self.writer.write();
        }
        self.note(outcome.err())
    }

    fn unwritten(&self) -> BTreeSet<NodeId> {
        let batch = self.writer.unsure().into_iter();
        batch.flat_map(workers_of).collect()
    }

    /// Keeps how it went; tells the owner when that changed.
    fn note(&self, failure: Option<StoreError>) -> bool {
        let mut state = self.shared.lock();
        state.unwritten = self.unwritten();
        state.batches = self.writer.written();
        match (&state.failure, &failure) {
            (None, Some(error)) => {
                tracing::error!(%error, remedy = error.remedy(), "the store is not written; records wait in memory");
            }
            (Some(_), None) => tracing::warn!("the store is written again; nothing was lost"),
            _ => {}
        }
        state.failure = failure;
        state.failure.is_none()
    }
}

/// The workers that a batch says something about.
fn workers_of(batch: &Batch) -> impl Iterator<Item = NodeId> + '_ {
    let vouchers = batch.vouchers.iter().map(|signed| signed.voucher().worker);
    let earned = batch.earned.iter().map(|earned| earned.worker);
    batch.workers.iter().map(|worker| worker.id).chain(earned).chain(vouchers)
}

fn unknown(worker: NodeId, now_s: u64) -> WorkerRecord {
    WorkerRecord {
        id: worker,
        name: String::new(),
        team: None,
        hardware: Hardware::default(),
        first_seen_s: now_s,
        last_seen_s: now_s,
        standing: Standing { first_seen_s: now_s, ..Standing::default() },
        excluded: None,
    }
}

fn now_s() -> u64 {
    unix_now().0 / 1000
}

#[cfg(test)]
mod tests;
