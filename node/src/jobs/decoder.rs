//! What a slot runs.

use std::ops::ControlFlow;
use std::sync::Arc;

use neuro_inference::{
    ExpertLayers, ExpertsError, GenerateRequest, Generated, Generator, LocalExperts, TokenEvent, Trunk,
};
use neuro_model::Tokenizer;
use neuro_primitives::{JobId, Routes, Rows};
use tokio::sync::mpsc;

use crate::completer::JobEvent;

/// Turns a request into tokens, blocking. One value serves all slots at once.
pub trait Decode: Send + Sync + 'static {
    /// Runs `request` to its end and hands every token to `on_event`; when that says to break, ends early with
    /// [`neuro_inference::FinishReason::Cancelled`].
    ///
    /// # Errors
    /// When there is no answer. A failure of an abandoned job counts as cancelled.
    fn decode(
        &self,
        job: &JobContext,
        request: &GenerateRequest,
        on_event: &mut dyn FnMut(TokenEvent) -> ControlFlow<()>,
    ) -> Result<Generated, DecodeFailure>;
}

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
    /// The trunk, shared with the completer.
    pub trunk: Arc<Trunk>,
    /// The tokenizer, shared with the completer.
    pub tokenizer: Arc<Tokenizer>,
    /// Runs the experts.
    pub experts: Arc<dyn JobExperts>,
}

/// Experts that know which job calls them, so that who computed what can be told.
pub trait JobExperts: Send + Sync {
    /// The experts as `job` calls them, until it ends.
    fn for_job(&self, job: JobId) -> Box<dyn ExpertLayers + '_>;
}

impl JobExperts for LocalExperts {
    fn for_job(&self, _: JobId) -> Box<dyn ExpertLayers + '_> {
        Box::new(Here(self))
    }
}

/// Experts of this process: every job calls the same.
struct Here<'a>(&'a LocalExperts);

impl ExpertLayers for Here<'_> {
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        self.0.run(layer, hidden, routes)
    }
}

impl Decode for TrunkDecoder {
    fn decode(
        &self,
        job: &JobContext,
        request: &GenerateRequest,
        on_event: &mut dyn FnMut(TokenEvent) -> ControlFlow<()>,
    ) -> Result<Generated, DecodeFailure> {
        let experts = self.experts.for_job(job.id);
        let experts = WhileWanted { experts: experts.as_ref(), job };
        let generator = Generator { trunk: &self.trunk, tokenizer: &self.tokenizer, experts: &experts };
        generator
            .run(request, on_event)
            .map_err(|error| DecodeFailure { message: error.to_string(), retryable: error.is_retryable() })
    }
}

/// Stops asking for experts once the job is abandoned: a long prompt then frees its slot within one layer, not after
/// its first token.
struct WhileWanted<'a> {
    experts: &'a dyn ExpertLayers,
    job: &'a JobContext,
}

impl ExpertLayers for WhileWanted<'_> {
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        if self.job.is_abandoned() {
            return Err(ExpertsError { message: "the job was abandoned".to_owned(), retryable: false });
        }
        self.experts.run(layer, hidden, routes)
    }
}
