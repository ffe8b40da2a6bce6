//! Runs jobs: one thread drives all that run, a step at a time, and a bounded queue stands in front of it.
//!
//! What steps the jobs is a [`Decoding`]; the local and the distributed completer differ in nothing but its experts. The
//! queue is fair between accounts ([`neuro_inference::FairQueue`]). A job ends early when its receiver is dropped: its
//! place and its pages are free after the step that runs, and where all jobs of a step are given up, after a layer. A
//! reader that falls behind stops its own job only.

mod board;
mod decoder;
mod driver;
mod reader;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use neuro_inference::GenerateRequest;
use neuro_primitives::JobId;
use tokio::sync::{mpsc, watch};

use crate::completer::{Caller, Job, Load, SubmitError};
use board::{Board, Queued};
pub use decoder::{BatchExperts, Decode, DecodeFailure, Decoding, JobContext, JobUpdate, TrunkDecoder};

/// Events that may wait for a job's reader. A thousand tokens are minutes of reading and at most a few megabytes with
/// logprobs; doubled, a stalled reader pins twice that.
pub const EVENTS_PER_JOB: usize = 1_024;

/// How long a job waits for a reader that does not read, once [`EVENTS_PER_JOB`] events wait. Longer, and a few stalled
/// clients hold every slot.
pub const STALLED_READER_LIMIT: Duration = Duration::from_secs(60);

/// Bounds of `retry_after_s`. OpenAI's clients obey at most two minutes.
const RETRY_AFTER_S: std::ops::RangeInclusive<u32> = 1..=120;

/// How many jobs run and how many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLimits {
    /// Jobs at once, as far as there are pages for their keys and values. At least one.
    pub slots: usize,
    /// Jobs that wait for a slot.
    pub queue: usize,
}

impl JobLimits {
    /// Jobs of one named account, running and waiting: half of all, so that one client cannot shut out the others.
    #[must_use]
    pub const fn per_account(self) -> usize {
        self.slots.saturating_add(self.queue).div_ceil(2)
    }
}

impl Default for JobLimits {
    /// A pass over sixteen rows costs a machine little more than one over one row, and more would make everybody's next token
    /// late; 64 waiting jobs are a few minutes of work, the longest that a client should be kept.
    fn default() -> Self {
        Self { slots: 16, queue: 64 }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits for a slot.
    Queued,
    /// It has a slot and no token yet.
    Prefill,
    /// It has its first token.
    Decode,
}

/// A live job, as status views show it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// Its name.
    pub id: JobId,
    /// Who asked.
    pub endpoint: &'static str,
    /// Where it stands.
    pub state: JobState,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens so far.
    pub completion_tokens: usize,
    /// Tokens after the first, by the time since the first; 0 before the second.
    pub tokens_per_second: f64,
    /// Time since it was submitted.
    pub age: Duration,
}

/// What happened since the start. Whatever ends, ends in exactly one of `done`, `failed` and `cancelled`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct JobTotals {
    /// Prompt tokens of started jobs.
    pub prompt_tokens: u64,
    /// Tokens generated, those of unfinished jobs included.
    pub completion_tokens: u64,
    /// Jobs answered in full.
    pub done: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs whose reader left, queued ones included.
    pub cancelled: u64,
    /// Jobs refused because the queue was full.
    pub refused: u64,
    /// The live jobs' rates added up.
    pub tokens_per_second: f64,
}

/// The running jobs and the queue. Dropping it closes it.
pub struct JobRunner {
    shared: Arc<Shared>,
}

/// What the driver and the face share. The lock is held for bookkeeping only, never while a token is made.
struct Shared {
    board: Mutex<Board>,
    /// Rung when a job is queued or to be failed, and when the runner closes.
    work: Condvar,
    /// Counts changes of the board, so that a view can wait for the next.
    revision: watch::Sender<u64>,
    limits: JobLimits,
    decoder: Box<dyn Decode>,
}

impl JobRunner {
    /// Starts a thread that runs jobs with `decoder`.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(limits: JobLimits, decoder: impl Decode) -> std::io::Result<Self> {
        let limits = JobLimits { slots: limits.slots.max(1), ..limits };
        let shared = Arc::new(Shared {
            board: Mutex::new(Board::new(limits)),
            work: Condvar::new(),
            revision: watch::Sender::new(0),
            limits,
            decoder: Box::new(decoder),
        });
        let runner = Self { shared: Arc::clone(&shared) };
        std::thread::Builder::new().name("batch".to_owned()).spawn(move || driver::drive(&shared))?;
        Ok(runner)
    }

    /// Queues a job.
    ///
    /// # Errors
    /// [`SubmitError::Full`] when all slots are taken and `limits.queue` jobs wait, [`SubmitError::AccountFull`] when the
    /// account has its share of them; [`SubmitError::NotReady`] once the runner is closed.
    pub fn submit(&self, request: GenerateRequest, caller: Caller) -> Result<Job, SubmitError> {
        let (sender, events) = mpsc::channel(EVENTS_PER_JOB);
        let mut board = self.shared.board();
        board.drop_abandoned();
        if board.closed {
            return Err(SubmitError::NotReady("the node is shutting down".to_owned()));
        }
        if let Err(refused) = board.admit(&caller.account) {
            drop(board);
            self.shared.changed();
            return Err(refused);
        }
        let id = board.enqueue(Queued { request, events: sender, caller });
        drop(board);
        self.shared.work.notify_one();
        self.shared.changed();
        Ok(Job { id, events })
    }

    /// Fails a job whose answer has turned out to rest on something wrong, with `reason` for its reader, and every job
    /// that used what it computed. Nothing of it is used again, also when it has ended.
    pub fn fail(&self, job: JobId, reason: impl Into<String>) {
        self.shared.board().failing.push((job, reason.into()));
        self.shared.work.notify_one();
    }

    /// The live jobs, oldest first.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobView> {
        let mut board = self.shared.board();
        board.drop_abandoned();
        board.views()
    }

    /// What happened since the start.
    #[must_use]
    pub fn totals(&self) -> JobTotals {
        let mut board = self.shared.board();
        board.drop_abandoned();
        board.totals_now()
    }

    /// How many jobs run and wait, and the limits of both.
    #[must_use]
    pub fn load(&self) -> Load {
        let mut board = self.shared.board();
        board.drop_abandoned();
        let JobLimits { slots, queue } = self.shared.limits;
        let per_account = self.shared.limits.per_account();
        Load { running: board.running(), waiting: board.waiting(), slots, queue, per_account, batch: board.figures }
    }

    /// A number that changes whenever a job is queued or refused, starts, makes its first token or ends.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// Takes no more jobs, fails the waiting ones and stops the running ones after the step that runs.
    pub fn close(&self) {
        self.shared.board().close();
        self.shared.work.notify_all();
        self.shared.changed();
    }
}

impl Drop for JobRunner {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for JobRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobRunner").field("load", &self.load()).finish_non_exhaustive()
    }
}

impl Shared {
    /// The board. A driver that panicked left it between two whole steps, so poison says nothing here.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }
}
