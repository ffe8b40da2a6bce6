//! The books of the job runner: who waits, who runs, what was counted. No threads, no channels of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use neuro_inference::{Account, BatchFigures, FairQueue, GenerateRequest, QueueLimits, Refused, Shares};
use neuro_primitives::JobId;
use tokio::sync::mpsc;

use super::{JobLimits, JobState, JobTotals, JobView, RETRY_AFTER_S};
use crate::completer::{Caller, JobEvent, SubmitError};

/// The weight of the newest job in the mean duration: about the last eight jobs count.
const NEWEST_JOB_WEIGHT: f64 = 0.125;

/// A job's duration before any was seen, seconds.
const FIRST_GUESS_S: f64 = 5.0;

/// A job that waits.
pub(super) struct Queued {
    pub(super) request: GenerateRequest,
    pub(super) events: mpsc::Sender<JobEvent>,
    pub(super) caller: Caller,
}

/// A job in the books, waiting or running.
struct Entry {
    endpoint: &'static str,
    account: Account,
    state: JobState,
    prompt_tokens: usize,
    completion_tokens: usize,
    submitted: Instant,
    started: Option<Instant>,
    first_token: Option<Instant>,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Failed,
    Cancelled,
}

/// All jobs, by age.
pub(super) struct Board {
    limits: JobLimits,
    queue: FairQueue<(JobId, Queued)>,
    entries: BTreeMap<JobId, Entry>,
    /// Jobs to be failed, with the reasons.
    pub(super) failing: Vec<(JobId, String)>,
    pub(super) totals: JobTotals,
    /// Of the batch, after its last step.
    pub(super) figures: BatchFigures,
    pub(super) closed: bool,
    next_id: u64,
    mean_job_s: Option<f64>,
}

impl Board {
    /// What readers are told once it is closed.
    pub(super) const SHUTTING_DOWN: &str = "the node is shutting down";

    pub(super) fn new(limits: JobLimits) -> Self {
        let queue = QueueLimits { total: limits.queue, per_account: limits.per_account() };
        Self {
            limits,
            queue: FairQueue::new(queue),
            entries: BTreeMap::new(),
            failing: Vec::new(),
            totals: JobTotals::default(),
            figures: BatchFigures::default(),
            closed: false,
            next_id: 0,
            mean_job_s: None,
        }
    }

    /// Whether one more job of `account` would have a slot or a place in the queue. A job that is about to be started
    /// counts as waiting.
    ///
    /// # Errors
    /// When it has none, with the time after which one is free.
    pub(super) fn admit(&mut self, account: &Account) -> Result<(), SubmitError> {
        let running = self.entries.values().filter(|entry| entry.started.is_some());
        let own = running.filter(|entry| entry.account == *account).count();
        let refused = match self.queue.admit(account, self.limits.slots, self.running(), own) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        self.totals.refused += 1;
        Err(match refused {
            Refused::Full => SubmitError::Full { retry_after_s: self.retry_after_s(self.running()) },
            Refused::AccountFull => SubmitError::AccountFull { retry_after_s: self.retry_after_s(own) },
        })
    }

    pub(super) fn enqueue(&mut self, job: Queued) -> JobId {
        self.next_id += 1;
        let id = JobId(self.next_id);
        let entry = Entry {
            endpoint: job.caller.endpoint,
            account: job.caller.account.clone(),
            state: JobState::Queued,
            prompt_tokens: job.request.prompt.len(),
            completion_tokens: 0,
            submitted: Instant::now(),
            started: None,
            first_token: None,
        };
        self.entries.insert(id, entry);
        self.queue.push(job.caller.account.clone(), job.caller.priority, (id, job));
        id
    }

    /// Whether there is something to do for the driver.
    pub(super) fn has_news(&self) -> bool {
        !self.queue.is_empty() || !self.failing.is_empty()
    }

    /// The jobs to be failed. Those that wait are failed here.
    pub(super) fn take_failing(&mut self) -> Vec<(JobId, String)> {
        let failing = std::mem::take(&mut self.failing);
        let reason_of = |id: JobId| failing.iter().find(|(failing, _)| *failing == id).map(|(_, reason)| reason);
        for (id, job) in self.queue.take_out(|(id, _)| reason_of(*id).is_some()) {
            let message = reason_of(id).cloned().unwrap_or_default();
            // The channel is empty, so there is room; a reader that left needs no word.
            let _ = job.events.try_send(JobEvent::Failed { message, retryable: true });
            self.finish(id, Ending::Failed);
        }
        failing
    }

    /// The job that is next.
    pub(super) fn peek(&self, shares: &Shares) -> Option<&Queued> {
        self.queue.peek(shares).map(|(_, job)| job)
    }

    /// Takes the job that is next; from now on it counts as running.
    pub(super) fn start_next(&mut self, shares: &Shares) -> Option<(JobId, Queued)> {
        self.drop_abandoned();
        let (id, job) = self.queue.pop(shares)?;
        self.totals.prompt_tokens += job.request.prompt.len() as u64;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.state = JobState::Prefill;
            entry.started = Some(Instant::now());
        }
        Some((id, job))
    }

    /// Counts a token. True when it is the job's first.
    pub(super) fn note_token(&mut self, id: JobId) -> bool {
        self.totals.completion_tokens += 1;
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        entry.completion_tokens += 1;
        entry.state = JobState::Decode;
        let first = entry.first_token.is_none();
        entry.first_token.get_or_insert_with(Instant::now);
        first
    }

    pub(super) fn finish(&mut self, id: JobId, ending: Ending) {
        let Some(entry) = self.entries.remove(&id) else { return };
        match ending {
            Ending::Done => self.totals.done += 1,
            Ending::Failed => self.totals.failed += 1,
            Ending::Cancelled => self.totals.cancelled += 1,
        }
        if let Some(started) = entry.started {
            let took_s = started.elapsed().as_secs_f64();
            let mean = self.mean_job_s.unwrap_or(took_s);
            self.mean_job_s = Some(mean + NEWEST_JOB_WEIGHT * (took_s - mean));
        }
    }

    /// Forgets waiting jobs whose reader left: they must not hold places in the queue.
    pub(super) fn drop_abandoned(&mut self) {
        for (id, _) in self.queue.take_out(|(_, job)| job.events.is_closed()) {
            self.finish(id, Ending::Cancelled);
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        for (id, job) in self.queue.take_out(|_| true) {
            // The channel is empty, so there is room; a reader that left needs no word.
            let _ = job.events.try_send(JobEvent::Failed { message: Self::SHUTTING_DOWN.to_owned(), retryable: true });
            self.finish(id, Ending::Failed);
        }
    }

    pub(super) fn running(&self) -> usize {
        self.entries.len() - self.queue.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// When one of `running` jobs has ended, by the mean duration of the latest: so many end in that time.
    fn retry_after_s(&self, running: usize) -> u32 {
        let wait_s = self.mean_job_s.unwrap_or(FIRST_GUESS_S) / running.max(1) as f64;
        // The cast saturates; the clamp bounds it.
        (wait_s.ceil() as u32).clamp(*RETRY_AFTER_S.start(), *RETRY_AFTER_S.end())
    }

    pub(super) fn views(&self) -> Vec<JobView> {
        self.entries.iter().map(|(&id, entry)| entry.view(id)).collect()
    }

    pub(super) fn totals_now(&self) -> JobTotals {
        let tokens_per_second = self.entries.values().map(Entry::tokens_per_second).sum();
        JobTotals { tokens_per_second, ..self.totals }
    }
}

impl Entry {
    fn view(&self, id: JobId) -> JobView {
        JobView {
            id,
            endpoint: self.endpoint,
            state: self.state,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            tokens_per_second: self.tokens_per_second(),
            age: self.submitted.elapsed(),
        }
    }

    fn tokens_per_second(&self) -> f64 {
        let since_first = self.first_token.map_or(Duration::ZERO, |first| first.elapsed()).as_secs_f64();
        let tokens = self.completion_tokens.saturating_sub(1) as f64;
        if since_first > 0.0 { tokens / since_first } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use neuro_inference::SamplingParams;

    use super::*;

    const LIMITS: JobLimits = JobLimits { slots: 2, queue: 2 };

    /// A job and the reader that keeps it wanted.
    fn job(prompt: usize) -> (Queued, mpsc::Receiver<JobEvent>) {
        let (events, reader) = mpsc::channel(1);
        let (prompt, stop, stop_ids) = (vec![0; prompt], Vec::new(), Vec::new());
        let sampling = SamplingParams::default();
        let request = GenerateRequest { prompt, max_tokens: 1, sampling, stop, stop_ids, skip_special: true };
        (Queued { request, events, caller: Caller::at("test") }, reader)
    }

    #[test]
    fn jobs_start_in_order_and_the_abandoned_never() {
        let (mut board, shares) = (Board::new(LIMITS), Shares::default());
        let (first, _first_reader) = job(3);
        let (left, left_reader) = job(5);
        let (last, _last_reader) = job(7);
        let ids = [board.enqueue(first), board.enqueue(left), board.enqueue(last)];
        drop(left_reader);
        let started = [board.start_next(&shares), board.start_next(&shares)].map(|job| job.map(|(id, _)| id));
        assert_eq!(started, [Some(ids[0]), Some(ids[2])]);
        assert!(board.start_next(&shares).is_none());
        assert_eq!((board.running(), board.waiting()), (2, 0));
        assert_eq!((board.totals.cancelled, board.totals.prompt_tokens), (1, 10), "only started prompts count");
    }

    #[test]
    fn a_view_follows_its_job_from_queue_to_decode() {
        let (mut board, shares) = (Board::new(LIMITS), Shares::default());
        let (queued, _reader) = job(3);
        let id = board.enqueue(queued);
        assert_eq!(board.views()[0].state, JobState::Queued);
        let started = board.start_next(&shares);
        assert!(started.is_some() && board.views()[0].state == JobState::Prefill);
        assert!(board.note_token(id), "the first token is told");
        assert!(!board.note_token(id));
        let view = &board.views()[0];
        assert_eq!((view.state, view.completion_tokens, view.prompt_tokens), (JobState::Decode, 2, 3));
        board.finish(id, Ending::Done);
        assert!(board.views().is_empty());
        assert_eq!((board.totals.done, board.totals.completion_tokens), (1, 2));
    }

    #[test]
    fn the_time_to_come_back_follows_the_jobs_and_stays_within_what_clients_obey() {
        let mut board = Board::new(LIMITS);
        assert_eq!(board.retry_after_s(1), 5, "a guess while no job was seen");
        for (mean_job_s, running, expected) in [(0.001, 4, 1), (30.0, 4, 8), (10_000.0, 1, 120), (7.0, 0, 7)] {
            board.mean_job_s = Some(mean_job_s);
            assert_eq!(board.retry_after_s(running), expected, "{mean_job_s} s, {running} running");
        }
    }

    #[test]
    fn a_named_account_gets_half_of_the_places_and_others_the_rest() {
        let mut board = Board::new(LIMITS);
        let alice = Account::named("alice");
        let mut readers = Vec::new();
        for _ in 0..2 {
            assert_eq!(board.admit(&alice), Ok(()));
            let (mut queued, reader) = job(1);
            queued.caller.account = alice.clone();
            board.enqueue(queued);
            readers.push(reader);
        }
        assert_eq!(board.admit(&alice), Err(SubmitError::AccountFull { retry_after_s: 5 }));
        board.start_next(&Shares::default());
        assert!(board.admit(&alice).is_err(), "a job that runs has its place, too");
        assert_eq!(board.admit(&Account::named("bob")), Ok(()));
        drop(readers.pop());
        board.drop_abandoned();
        assert_eq!(board.admit(&alice), Ok(()), "a place is free as soon as its reader left");
        assert_eq!(board.totals.refused, 2);
    }

    #[test]
    fn closing_fails_what_waits_and_leaves_what_runs() {
        let mut board = Board::new(LIMITS);
        let (running, _running_reader) = job(1);
        let (waiting, mut waiting_reader) = job(1);
        board.enqueue(running);
        let running = board.start_next(&Shares::default());
        board.enqueue(waiting);
        board.close();
        assert!(running.is_some() && board.running() == 1 && board.waiting() == 0);
        assert!(matches!(waiting_reader.try_recv(), Ok(JobEvent::Failed { retryable: true, .. })));
        assert_eq!(board.totals.failed, 1);
    }

    #[test]
    fn a_waiting_job_can_be_failed() {
        let mut board = Board::new(LIMITS);
        let (waiting, mut reader) = job(1);
        let id = board.enqueue(waiting);
        board.failing.push((id, "a lie".to_owned()));
        assert!(board.has_news());
        board.take_failing();
        assert!(matches!(reader.try_recv(), Ok(JobEvent::Failed { message, .. }) if message == "a lie"));
        assert_eq!((board.waiting(), board.totals.failed), (0, 1));
    }
}
