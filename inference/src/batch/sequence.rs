//! One job in a batch.

use std::collections::BTreeSet;

use neuro_model::Tokenizer;
use neuro_primitives::JobId;

use super::pages::{PageTable, Pages};
use super::{Account, Priority};
use crate::decode::completion::Completion;
use crate::decode::{FinishReason, GenerateRequest, Generated, TokenEvent, token_logprob};
use crate::kv_cache::PageId;
use crate::sampler::SamplingParams;

/// Jobs that an urgent one passes in the order in which pages are taken, and that an unhurried one lets pass.
const HEAD_START_JOBS: i64 = 64;

/// Who keeps pages before whom: the smaller. Older ones before younger, urgent ones a bounded way ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    place: i64,
    arrival: u64,
}

impl Rank {
    pub(super) fn new(priority: Priority, arrival: u64) -> Self {
        let place = i64::try_from(arrival).unwrap_or(i64::MAX);
        Self { place: place.saturating_sub(HEAD_START_JOBS * priority.level()), arrival }
    }
}

/// A job that runs.
pub(super) struct Sequence<'m> {
    pub(super) job: JobId,
    pub(super) account: Account,
    pub(super) rank: Rank,
    /// Its reader does not keep up.
    pub(super) paused: bool,
    /// It lost its pages and has not got any again.
    preempted: bool,
    tokenizer: &'m Tokenizer,
    sampling: SamplingParams,
    completion: Completion<'m>,
    /// The prompt and all that was generated.
    ids: Vec<u32>,
    /// How many of `ids` have keys and values.
    held: usize,
    table: PageTable,
    /// Whose keys and values it used: what it drew from them stays drawn.
    producers: BTreeSet<JobId>,
}

impl<'m> Sequence<'m> {
    /// A job with room for `left` tokens after its prompt.
    pub(super) fn new(
        job: JobId,
        account: Account,
        rank: Rank,
        request: GenerateRequest,
        (tokenizer, left): (&'m Tokenizer, usize),
    ) -> Self {
        let completion = Completion::new(&request, tokenizer, request.max_tokens.min(left));
        let GenerateRequest { sampling, prompt: ids, .. } = request;
        let (paused, preempted, held) = (false, false, 0);
        let (table, producers) = (PageTable::default(), BTreeSet::new());
        Self { job, account, rank, paused, preempted, tokenizer, sampling, completion, ids, held, table, producers }
    }

    /// The answer, where it may have no tokens.
    pub(super) fn empty_answer(&self) -> Option<Generated> {
        self.completion.is_full().then(|| self.completion.finish(FinishReason::Length))
    }

    pub(super) const fn is_preempted(&self) -> bool {
        self.preempted
    }

    /// Whether it can go on with what it has.
    pub(super) const fn runs(&self) -> bool {
        !self.paused && !self.preempted
    }

    /// Whether it could go on if it had pages.
    pub(super) const fn waits(&self) -> bool {
        self.preempted && !self.paused
    }

    /// Whether it ever used keys and values that `producer` computed, also if it lost them since.
    pub(super) fn used(&self, producer: JobId) -> bool {
        self.producers.contains(&producer)
    }

    /// Whether `job` of rank `rank` may have its pages: one before it in rank, or anyone while it is not read.
    pub(super) fn gives_way(&self, rank: Rank, job: JobId) -> bool {
        self.rank > rank || (self.paused && self.job != job)
    }

    pub(super) fn pages(&self) -> &[PageId] {
        &self.table.pages
    }

    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Tokens without keys and values yet; at least one.
    pub(super) fn pending(&self) -> &[u32] {
        &self.ids[self.held..]
    }

    /// Whether only its newest token is to be run.
    pub(super) fn decodes(&self) -> bool {
        self.pending().len() == 1
    }

    /// All its tokens.
    pub(super) const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Takes the pages that are there of its beginning; it must have none.
    pub(super) fn adopt(&mut self, pages: &mut Pages) {
        self.held = pages.adopt(&mut self.table, &mut self.producers, &self.account, &self.ids);
        self.preempted = false;
    }

    /// Makes room for `rows` more positions. Whether there are pages enough.
    pub(super) fn grow(&mut self, pages: &mut Pages, rows: usize) -> bool {
        pages.grow(&mut self.table, self.held + rows)
    }

    /// Lets its pages go.
    pub(super) fn release(&mut self, pages: &mut Pages) {
        pages.release(&mut self.table);
        self.held = 0;
    }

    /// Loses its pages until there is room again.
    pub(super) fn preempt(&mut self, pages: &mut Pages) {
        self.release(pages);
        self.preempted = true;
    }

    /// `rows` more of its tokens have keys and values.
    pub(super) fn advance(&mut self, rows: usize, pages: &mut Pages) {
        self.held += rows;
        pages.keep(&mut self.table, &self.account, &self.ids[..self.held], self.job);
    }

    /// Draws the next token from `logits` (`[vocab]`, f32, finite). The event, and the answer where it ends.
    pub(super) fn draw(&mut self, logits: &[f32]) -> (TokenEvent, Option<Generated>) {
        let id = self.sampling.sample(logits, self.held);
        self.ids.push(id);
        let (text, finish) = self.completion.push(id);
        let logprob = token_logprob(self.tokenizer, &self.sampling, logits, id);
        (TokenEvent { id, text, logprob }, finish.map(|finish| self.completion.finish(finish)))
    }
}
