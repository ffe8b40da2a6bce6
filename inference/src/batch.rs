//! Continuous batching: many answers decoded side by side, a pass at a time.
//!
//! A [`Batch`] holds the running sequences and their pages. Each [`Batch::step`] chooses rows ([`pass::Planned`]), runs the
//! trunk once over all of them, so that a layer's experts are asked once, and hands out what became of it. A sequence
//! joins between two passes and leaves at its end. Which others run beside it changes no byte of its answer: rows do
//! not depend on their neighbours, draws are keyed by (seed, choice, position), and a sequence that lost its pages is
//! computed again from its tokens.
//!
//! ```text
//! start ─▶ running ── a row a pass, or a part of what is not held yet ─▶ done
//!            │  ▲
//!  no pages  ▼  │ room again
//!         preempted
//! ```
//!
//! *When pages run out*, a sequence takes those of a later or less urgent one, which waits and is computed again. A
//! sequence that finds nobody to take from waits with what it has, and its rows go to others. The first in [`Rank`] whose
//! reader keeps up is never taken from, so it ends.
//!
//! *When a pass fails* and nobody is known to be at fault, its sequences are run again in halves, so that only those fail
//! that cannot go on by themselves.
//!
//! No threads, no clock, no channels: who drives it brings those.

mod account;
mod lanes;
mod pages;
mod pass;
mod prefixes;
mod queue;
mod sequence;
mod shares;

use std::collections::{BTreeMap, VecDeque};

use neuro_model::Tokenizer;
use neuro_primitives::JobId;

use crate::decode::{GenerateError, GenerateRequest, Generated, TokenEvent};
use crate::error::ForwardError;
use crate::experts::ExpertLayers;
use crate::kv_cache::{PAGE_POSITIONS, PagePool};
use crate::trunk::Trunk;

pub use account::{Account, Priority};
use lanes::LaneTimes;
pub use pages::PageFigures;
use pages::Pages;
pub use queue::{FairQueue, QueueLimits, Refused};
use sequence::{Rank, Sequence};
pub use shares::Shares;

/// Rows of prompts in a pass beside sequences that decode. The more, the longer everyone's next token takes; a fourth of a
/// pass makes it about as long again on a machine where rows cost what reading the weights costs.
pub const PREFILL_ROWS: usize = 128;

/// What happened to a job in a step.
#[derive(Debug)]
pub enum Update {
    /// One more token.
    Token(TokenEvent),
    /// The whole answer; nothing follows.
    Done(Generated),
    /// No answer; nothing follows.
    Failed(GenerateError),
}

/// A job that is to be run.
#[derive(Debug, Clone)]
pub struct Start {
    /// Its name; no two that run have the same.
    pub job: JobId,
    /// Whose it is.
    pub account: Account,
    /// How urgent.
    pub priority: Priority,
    /// What to generate.
    pub request: GenerateRequest,
}

/// How many sequences run and what their pages are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchFigures {
    /// Sequences that run, preempted ones included.
    pub sequences: usize,
    /// Sequences that wait for pages.
    pub preempted: usize,
    /// How often a sequence lost its pages, since the start.
    pub preemptions: u64,
    /// Passes, since the start.
    pub passes: u64,
    /// The pages.
    pub pages: PageFigures,
}

/// Sequences that are decoded together.
pub struct Batch<'m> {
    trunk: &'m Trunk,
    tokenizer: &'m Tokenizer,
    sequences: BTreeMap<JobId, Sequence<'m>>,
    pages: Pages,
    /// Groups whose pass failed, each to be run by itself.
    suspects: VecDeque<Vec<JobId>>,
    lane_times: LaneTimes,
    next_arrival: u64,
    preemptions: u64,
    passes: u64,
}

impl<'m> Batch<'m> {
    /// A batch of `trunk` and its `tokenizer`, whose keys and values take at most `capacity` pages.
    #[must_use]
    pub fn new(trunk: &'m Trunk, tokenizer: &'m Tokenizer, capacity: usize) -> Self {
        Self {
            trunk,
            tokenizer,
            sequences: BTreeMap::new(),
            pages: Pages::new(PagePool::new(trunk.page_layout(), capacity.max(1))),
            suspects: VecDeque::new(),
            lane_times: LaneTimes::default(),
            next_arrival: 0,
            preemptions: 0,
            passes: 0,
        }
    }

    /// Positions that one sequence can have: the model's context, or less where fewer have pages.
    #[must_use]
    pub fn context(&self) -> usize {
        self.trunk.config().context.min(self.pages.capacity().saturating_mul(PAGE_POSITIONS))
    }

    /// Whether a prompt of `tokens` would find pages now, beside those that run; those whose readers do not keep up give
    /// theirs. Always when none runs.
    #[must_use]
    pub fn has_room(&self, tokens: usize) -> bool {
        if self.sequences.is_empty() {
            return true;
        }
        let unread = self.sequences.values().filter(|sequence| sequence.paused);
        let available = self.pages.available() + unread.map(|sequence| sequence.pages().len()).sum::<usize>();
        let others_wait = self.sequences.values().any(Sequence::waits);
        !others_wait && available >= (tokens + 1).div_ceil(PAGE_POSITIONS) + self.sequences.len()
    }

    /// Starts a job. What was computed for the same account and the same beginning is used again. An answer of no tokens
    /// is done at once.
    ///
    /// # Errors
    /// When the sampling parameters mean nothing, the prompt is empty or outside the vocabulary, or does not fit.
    pub fn start(&mut self, start: Start) -> Result<Option<Update>, GenerateError> {
        let Start { job, account, priority, request } = start;
        request.sampling.check()?;
        self.trunk.check_ids(&request.prompt)?;
        let (context, wanted) = (self.context(), request.prompt.len());
        let left = context.checked_sub(wanted).ok_or(ForwardError::ContextFull { context, wanted })?;
        let rank = Rank::new(priority, self.next_arrival);
        self.next_arrival += 1;
        let sequence = Sequence::new(job, account, rank, request, (self.tokenizer, left));
        if let Some(done) = sequence.empty_answer() {
            return Ok(Some(Update::Done(done)));
        }
        let sequence = self.sequences.entry(job).or_insert(sequence);
        sequence.adopt(&mut self.pages);
        Ok(None)
    }

    /// Ends a job whose answer nobody wants any more. Its pages are free at once.
    pub fn end(&mut self, job: JobId) {
        if let Some(mut sequence) = self.sequences.remove(&job) {
            sequence.release(&mut self.pages);
        }
    }

    /// Takes a job out of the passes, or in again. It keeps its pages unless they are needed.
    pub fn pause(&mut self, job: JobId, paused: bool) {
        if let Some(sequence) = self.sequences.get_mut(&job) {
            sequence.paused = paused;
        }
    }

    /// Ends a job whose keys and values are wrong, and forgets what it computed. Returns the other jobs that used any
    /// of it: their answers are wrong as well.
    pub fn taint(&mut self, job: JobId) -> Vec<JobId> {
        self.end(job);
        self.pages.forget(job);
        self.sequences.values().filter(|sequence| sequence.used(job)).map(|sequence| sequence.job).collect()
    }

    /// Whether a step would do anything.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.sequences.values().any(|sequence| !sequence.paused)
    }

    /// How busy it is.
    #[must_use]
    pub fn figures(&self) -> BatchFigures {
        BatchFigures {
            sequences: self.sequences.len(),
            preempted: self.sequences.values().filter(|sequence| sequence.is_preempted()).count(),
            preemptions: self.preemptions,
            passes: self.passes,
            pages: self.pages.figures(),
        }
    }

    /// Runs one pass. Generated tokens are counted for their accounts in `shares`, and `shares` says whose prompts come
    /// first. Nothing when nobody can go on.
    pub fn step(&mut self, experts: &dyn ExpertLayers, shares: &mut Shares) -> Vec<(JobId, Update)> {
        let planned = self.plan(shares);
        if planned.is_empty() {
            return Vec::new();
        }
        self.passes += 1;
        match self.run(&planned, experts) {
            Ok(logits) => self.settle(&planned, logits, shares),
            Err(failed) => self.unsettle(&planned, failed),
        }
    }
}
