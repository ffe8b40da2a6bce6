//! What runs the jobs: several side by side, a step at a time.

use std::sync::Arc;

use neuro_inference::{
    Account, Batch, BatchFigures, ExpertLayers, ExpertsError, GenerateRequest, LocalExperts, Priority, RowOwner,
    Shares, Start, Trunk, Update,
};
use neuro_model::Tokenizer;
use neuro_primitives::{JobId, Routes, Rows};
use tokio::sync::mpsc;

use crate::completer::JobEvent;
use crate::os::memory;

/// Of the memory that programs can still get, the part that keys and values take unless something else is asked for: the
/// experts of this process and of others beside it need the most.
const FREE_MEMORY_PART: u64 = 4;

/// What keys and values may take where nobody knows how much memory is free.
const UNKNOWN_MEMORY_BYTES: u64 = 1 << 30;

/// Something that can run jobs.
pub trait Decode: Send + Sync + 'static {
    /// Begins with no jobs. One thread drives what comes back; another is opened should that one break down.
    fn open(&self) -> Box<dyn Decoding + '_>;
}

/// Jobs that run side by side.
pub trait Decoding {
    /// Whether a job would find room now. Always, when none runs.
    fn has_room(&self, request: &GenerateRequest) -> bool;

    /// Starts a job. An answer that is complete already is returned.
    ///
    /// # Errors
    /// When the request cannot be served.
    fn start(&mut self, job: JobContext, request: GenerateRequest) -> Result<Option<JobUpdate>, DecodeFailure>;

    /// Ends a job that nobody wants any more.
    fn end(&mut self, job: JobId);

    /// Leaves a job out of the steps, or takes it in again.
    fn pause(&mut self, job: JobId, paused: bool);

    /// Ends a job that rests on something wrong, and forgets what it computed. The others that used any of it.
    fn taint(&mut self, job: JobId) -> Vec<JobId>;

    /// Jobs that were found since the last time to rest on something wrong, and what to tell their readers.
    fn newly_tainted(&self) -> Vec<(JobId, String)> {
        Vec::new()
    }

    /// Whether a step may do anything.
    fn has_work(&self) -> bool;

    /// Goes on with all jobs by at most one token each, blocking.
    fn step(&mut self, shares: &mut Shares) -> Vec<(JobId, JobUpdate)>;

    /// How busy it is.
    fn figures(&self) -> BatchFigures;
}

/// What happened to a job in a step.
pub type JobUpdate = Result<JobEvent, DecodeFailure>;

/// Why a job has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeFailure {
    /// What went wrong, as a clause for people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

/// The job that a decoder works for.
#[derive(Debug, Clone)]
pub struct JobContext {
    /// Its name.
    pub id: JobId,
    /// Whose it is.
    pub account: Account,
    /// How urgent.
    pub priority: Priority,
    /// Whether two workers are asked for everything.
    pub twice: bool,
    pub(super) events: mpsc::Sender<JobEvent>,
}

impl JobContext {
    /// Whether nobody waits for the answer any more. Cheap; ask it before anything slow.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }
}

/// Decodes with a trunk in this process and experts wherever `experts` finds them.
pub struct TrunkDecoder {
    trunk: Arc<Trunk>,
    tokenizer: Arc<Tokenizer>,
    experts: Arc<dyn BatchExperts>,
    /// Pages for keys and values.
    pages: usize,
}

/// Experts that can find out later that a job rests on a wrong result.
pub trait BatchExperts: ExpertLayers {
    /// Jobs of which it was found since the last time, and what to tell their readers.
    fn newly_tainted(&self) -> Vec<(JobId, String)> {
        Vec::new()
    }
}

impl BatchExperts for LocalExperts {}

impl TrunkDecoder {
    /// Decodes with `trunk`, its `tokenizer` and `experts`. Keys and values take at most `cache_bytes`, but one page at
    /// least; by default a fourth of the memory that is free now.
    #[must_use]
    pub fn new(
        trunk: Arc<Trunk>,
        tokenizer: Arc<Tokenizer>,
        experts: Arc<dyn BatchExperts>,
        cache_bytes: Option<u64>,
    ) -> Self {
        let usual = || memory::available_bytes().map_or(UNKNOWN_MEMORY_BYTES, |bytes| bytes / FREE_MEMORY_PART);
        let pages = cache_bytes.unwrap_or_else(usual) / trunk.page_layout().page_bytes().max(1);
        Self { trunk, tokenizer, experts, pages: usize::try_from(pages).unwrap_or(usize::MAX) }
    }

    /// Positions that one job can have, prompt and answer together.
    #[must_use]
    pub fn context(&self) -> usize {
        Batch::new(&self.trunk, &self.tokenizer, self.pages).context()
    }
}

impl Decode for TrunkDecoder {
    fn open(&self) -> Box<dyn Decoding + '_> {
        let batch = Batch::new(&self.trunk, &self.tokenizer, self.pages);
        Box::new(TrunkDecoding { batch, experts: self.experts.as_ref(), jobs: Vec::new() })
    }
}

/// A batch, and who waits for its jobs.
struct TrunkDecoding<'a> {
    batch: Batch<'a>,
    experts: &'a dyn BatchExperts,
    jobs: Vec<JobContext>,
}

impl Decoding for TrunkDecoding<'_> {
    fn has_room(&self, request: &GenerateRequest) -> bool {
        self.batch.has_room(request.prompt.len())
    }

    fn start(&mut self, job: JobContext, request: GenerateRequest) -> Result<Option<JobUpdate>, DecodeFailure> {
        let start = Start { job: job.id, account: job.account.clone(), priority: job.priority, request };
        let update = self.batch.start(start).map_err(DecodeFailure::from)?;
        self.jobs.push(job);
        Ok(update.map(told))
    }

    fn end(&mut self, job: JobId) {
        self.batch.end(job);
        self.jobs.retain(|context| context.id != job);
    }

    fn pause(&mut self, job: JobId, paused: bool) {
        self.batch.pause(job, paused);
    }

    fn taint(&mut self, job: JobId) -> Vec<JobId> {
        self.jobs.retain(|context| context.id != job);
        self.batch.taint(job)
    }

    fn newly_tainted(&self) -> Vec<(JobId, String)> {
        self.experts.newly_tainted()
    }

    fn has_work(&self) -> bool {
        self.batch.has_work()
    }

    fn step(&mut self, shares: &mut Shares) -> Vec<(JobId, JobUpdate)> {
        let experts = WhileWanted { experts: self.experts, jobs: &self.jobs };
        let updates = self.batch.step(&experts, shares);
        updates.into_iter().map(|(job, update)| (job, told(update))).collect()
    }

    fn figures(&self) -> BatchFigures {
        self.batch.figures()
    }
}

fn told(update: Update) -> JobUpdate {
    match update {
        Update::Token(event) => Ok(JobEvent::Token(event)),
        Update::Done(generated) => Ok(JobEvent::Done(generated)),
        Update::Failed(error) => Err(error.into()),
    }
}

impl From<neuro_inference::GenerateError> for DecodeFailure {
    fn from(error: neuro_inference::GenerateError) -> Self {
        Self { message: error.to_string(), retryable: error.is_retryable() }
    }
}

/// Says how each job wants its experts asked, and stops asking once nobody waits for any row: a long prompt then gives its
/// place back within one layer, not after a pass.
struct WhileWanted<'a> {
    experts: &'a dyn BatchExperts,
    jobs: &'a [JobContext],
}

impl ExpertLayers for WhileWanted<'_> {
    fn is_away(&self) -> bool {
        self.experts.is_away()
    }

    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        self.experts.run(layer, hidden, routes)
    }

    fn run_for(&self, layer: u16, hidden: &Rows, routes: &Routes, owners: &[RowOwner]) -> Result<Rows, ExpertsError> {
        let wanted = |owner: &RowOwner| self.jobs.iter().any(|job| job.id == owner.job && !job.is_abandoned());
        if !owners.iter().any(wanted) {
            return Err(ExpertsError { message: "the job was abandoned".to_owned(), retryable: false, expert: None });
        }
        let twice = |owner: &RowOwner| self.jobs.iter().any(|job| job.id == owner.job && job.twice);
        let owners: Vec<_> = owners.iter().map(|owner| RowOwner { twice: twice(owner), ..*owner }).collect();
        self.experts.run_for(layer, hidden, routes, &owners)
    }
}
