//! One face for "complete this prompt", wherever the experts live: in this process or on workers.
//!
//! The HTTP API, `ask --model` and `eval` speak to a [`Completer`] and never ask where the arithmetic happens.

use neuro_inference::{Account, BatchFigures, GenerateRequest, Generated, Priority, TokenEvent};
use neuro_model::{ChatTemplate, Tokenizer};
use neuro_primitives::JobId;
use tokio::sync::mpsc;

/// The model a completer serves, as clients may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSummary {
    /// What names these exact weights: the hexadecimal manifest hash, or the hash of a local folder's tensors.
    pub id: String,
    /// What people call it, such as `skills`.
    pub name: String,
    /// When it was published or loaded, seconds since the Unix epoch.
    pub created_unix_s: u64,
    /// Positions it can attend to: prompt and answer together, tokens.
    pub context: usize,
    /// Token ids lie below this.
    pub vocab_size: usize,
    /// The ids that end an answer: a request's `stop_ids`.
    pub eos: Vec<u32>,
}

/// How busy a completer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Jobs that run, those that wait for pages included.
    pub running: usize,
    /// Jobs that wait for a slot.
    pub waiting: usize,
    /// Jobs that can run at once.
    pub slots: usize,
    /// Jobs that may wait.
    pub queue: usize,
    /// Jobs that one named account may have, running and waiting.
    pub per_account: usize,
    /// What runs together, and the pages of its keys and values.
    pub batch: BatchFigures,
}

/// Who asks for a job, and how urgently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Where it came in (`/v1/chat/completions`, `ask`), for the status view.
    pub endpoint: &'static str,
    /// Whose job it is. Accounts share the node fairly, and nothing computed for one is used for another.
    pub account: Account,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether two workers are asked for everything from the start, and the first answer counts.
    pub twice: bool,
}

impl Caller {
    /// Whoever sits at this machine, as usual.
    #[must_use]
    pub const fn at(endpoint: &'static str) -> Self {
        Self { endpoint, account: Account::LOCAL, priority: Priority::Normal, twice: false }
    }
}

/// Takes jobs and answers with streams of tokens.
pub trait Completer: Send + Sync + 'static {
    /// The model that answers.
    fn model(&self) -> ModelSummary;

    /// Whether a job would be answered now. One may be taken all the same, if what is missing may come before it gives up.
    ///
    /// # Errors
    /// The reason why not, as a clause for people: `expert L3/E17 has no holder`.
    fn ready(&self) -> Result<(), String>;

    /// The model's tokenizer.
    fn tokenizer(&self) -> &Tokenizer;

    /// The model's chat template, if it has one.
    fn chat_template(&self) -> Option<&ChatTemplate>;

    /// How busy it is now.
    fn load(&self) -> Load;

    /// Who computed what for a job that runs or ended lately; `None` when it all happened in this process, or is forgotten.
    fn explain(&self, job: JobId) -> Option<Explanation> {
        let _ = job;
        None
    }

    /// Queues one job.
    ///
    /// # Errors
    /// When the queue is full, the model is not ready, or the request cannot be served.
    fn submit(&self, request: GenerateRequest, caller: Caller) -> Result<Job, SubmitError>;
}

/// Who computed what for one answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Explanation {
    /// The engine class that every expert of the answer ran in, such as `burn-flex-f32`.
    pub engine: String,
    /// The workers, by name.
    pub shares: Vec<WorkerShare>,
}

/// One worker's part in an answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WorkerShare {
    /// Its node id.
    pub worker: String,
    /// The name that its owner gave it.
    pub name: String,
    /// Experts that it holds now.
    pub experts_held: u64,
    /// Micro-tasks whose answers were used.
    pub tasks: u64,
    /// Rows × experts computed.
    pub expert_rows: u64,
    /// Microseconds spent computing.
    pub compute_us: u64,
}

/// A job on its way.
#[derive(Debug)]
pub struct Job {
    /// Its name in status views and logs.
    pub id: JobId,
    /// What happens to it. Ends with [`JobEvent::Done`] or [`JobEvent::Failed`]; a channel that closes without either
    /// is a failure too. Dropping the receiver cancels the job within one token.
    pub events: mpsc::Receiver<JobEvent>,
}

/// What happens to a job.
#[derive(Debug, Clone)]
pub enum JobEvent {
    /// One more token.
    Token(TokenEvent),
    /// The whole answer; nothing follows.
    Done(Generated),
    /// No answer; nothing follows.
    Failed {
        /// What went wrong, as a clause for people.
        message: String,
        /// Whether the same request may succeed later.
        retryable: bool,
    },
}

/// Why a job was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Every slot is taken and the queue is full.
    #[error("every slot is taken and the queue is full; try again in {retry_after_s} s")]
    Full {
        /// When a place may be free, seconds.
        retry_after_s: u32,
    },
    /// The account has as many jobs as one account may.
    #[error("this account has as many requests running and waiting as one may; try again in {retry_after_s} s")]
    AccountFull {
        /// When one of them may have ended, seconds.
        retry_after_s: u32,
    },
    /// The model cannot answer yet.
    #[error("the model is not ready: {0}")]
    NotReady(String),
    /// The request can never be served.
    #[error("{param}: {message}")]
    Invalid {
        /// The parameter at fault.
        param: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl SubmitError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Invalid { .. })
    }
}
