//! The thread that drives all running jobs: starts the waiting, steps the running, hands out what comes of it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::Duration;

use neuro_inference::{BatchFigures, FinishReason, Shares};
use neuro_primitives::JobId;

use super::board::{Board, Ending, Queued};
use super::reader::Reader;
use super::{DecodeFailure, Decoding, JobContext, JobUpdate, STALLED_READER_LIMIT, Shared};
use crate::completer::{Caller, JobEvent};

/// How often a reader that is behind is tried again, when there is nothing else to do. It is behind only after a thousand
/// unread events, so no token waits here.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// Runs jobs until the runner closes. A panic costs the jobs that run, not the node.
pub(super) fn drive(shared: &Shared) {
    let mut driver = Driver {
        shared,
        decoding: shared.decoder.open(),
        shares: Shares::default(),
        running: BTreeMap::new(),
        leaving: Vec::new(),
    };
    loop {
        match catch_unwind(AssertUnwindSafe(|| driver.turn())) {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => driver.break_down(),
        }
    }
    driver.close();
}

struct Driver<'a> {
    shared: &'a Shared,
    decoding: Box<dyn Decoding + 'a>,
    shares: Shares,
    /// Readers of the jobs that run.
    running: BTreeMap<JobId, Reader>,
    /// Readers of ended jobs who have not read their end yet.
    leaving: Vec<Reader>,
}

impl Driver<'_> {
    /// What there is to do, once there is. False once the runner is closed.
    fn turn(&mut self) -> bool {
        let goes_on = self.wait();
        if goes_on {
            self.look_after_readers();
            self.fail_tainted();
            self.start_waiting();
            self.step();
        }
        goes_on
    }

    /// Waits until there is something to do. False once the runner is closed.
    fn wait(&mut self) -> bool {
        let mut board = self.shared.board();
        if self.decoding.has_work() || board.closed {
            return !board.closed;
        }
        while !board.closed {
            if self.running.is_empty() && board.has_news() {
                return true;
            }
            if !self.running.is_empty() || !self.leaving.is_empty() {
                let waited = self.shared.work.wait_timeout(board, RETRY_PAUSE);
                return !waited.unwrap_or_else(PoisonError::into_inner).0.closed;
            }
            board = self.shared.work.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        false
    }

    /// Ends the jobs whose readers left or stalled, and lets those go on whose readers have caught up.
    fn look_after_readers(&mut self) {
        self.leaving.iter_mut().for_each(Reader::flush);
        self.leaving.retain(|reader| reader.is_behind() && !reader.has_stalled(STALLED_READER_LIMIT));
        let mut ended = Vec::new();
        for (&job, reader) in &mut self.running {
            let was_behind = reader.is_behind();
            reader.flush();
            if was_behind && !reader.is_behind() {
                self.decoding.pause(job, false);
            }
            if reader.is_gone() || reader.has_stalled(STALLED_READER_LIMIT) {
                ended.push(job);
            }
        }
        for job in ended {
            self.decoding.end(job);
            self.finish(job, Ending::Cancelled, failed("the client stopped reading", false));
        }
    }

    /// Fails the jobs that rest on something wrong, as somebody said or the decoder found, and those that used what they
    /// computed.
    fn fail_tainted(&mut self) {
        let mut tainted = self.shared.board().take_failing();
        tainted.extend(self.decoding.newly_tainted());
        while let Some((job, reason)) = tainted.pop() {
            tainted.extend(self.decoding.taint(job).into_iter().map(|other| (other, reason.clone())));
            if self.running.contains_key(&job) {
                self.fail(job, DecodeFailure { message: reason, retryable: true });
            }
        }
    }

    /// Starts waiting jobs, as many as there is room for.
    fn start_waiting(&mut self) {
        while self.running.len() < self.shared.limits.slots {
            let Some((id, job)) = self.next() else { break };
            self.shared.changed();
            self.shares.start(&job.caller.account, job.request.prompt.len());
            self.running.insert(id, Reader::new(job.events.clone()));
            let Queued { request, events, caller } = job;
            let Caller { account, priority, twice, .. } = caller;
            let context = JobContext { id, account, priority, twice, events };
            match self.decoding.start(context, request) {
                Ok(None) => {}
                Ok(Some(update)) => self.hand_out(id, update),
                Err(failure) => self.fail(id, failure),
            }
        }
    }

    /// The next waiting job, if there is room for it.
    fn next(&self) -> Option<(JobId, Queued)> {
        let mut board = self.shared.board();
        board.drop_abandoned();
        let fits = board.peek(&self.shares).is_some_and(|job| self.decoding.has_room(&job.request));
        if fits { board.start_next(&self.shares) } else { None }
    }

    /// Runs a step.
    fn step(&mut self) {
        if !self.decoding.has_work() {
            return self.note_figures();
        }
        let updates = self.decoding.step(&mut self.shares);
        // What came of a wrong result must not go out.
        self.fail_tainted();
        for (job, update) in updates {
            self.hand_out(job, update);
        }
        self.note_figures();
    }

    fn break_down(&mut self) {
        tracing::error!("the decoder panicked");
        self.decoding = self.shared.decoder.open();
        for job in self.running.keys().copied().collect::<Vec<_>>() {
            let message = "the decoder broke down; its log says where".to_owned();
            self.fail(job, DecodeFailure { message, retryable: false });
        }
    }

    fn hand_out(&mut self, job: JobId, update: JobUpdate) {
        match update {
            Err(failure) => self.fail(job, failure),
            Ok(JobEvent::Failed { message, retryable }) => self.fail(job, DecodeFailure { message, retryable }),
            Ok(JobEvent::Token(token)) => self.token(job, JobEvent::Token(token)),
            Ok(JobEvent::Done(generated)) => {
                let cancelled = generated.finish == FinishReason::Cancelled;
                let ending = if cancelled { Ending::Cancelled } else { Ending::Done };
                self.decoding.end(job);
                self.finish(job, ending, JobEvent::Done(generated));
            }
        }
    }

    fn token(&mut self, job: JobId, event: JobEvent) {
        let Some(reader) = self.running.get_mut(&job) else { return };
        if self.shared.board().note_token(job) {
            self.shared.changed();
        }
        reader.send(event);
        if reader.is_behind() {
            self.decoding.pause(job, true);
        }
    }

    fn fail(&mut self, job: JobId, DecodeFailure { message, retryable }: DecodeFailure) {
        self.decoding.end(job);
        self.finish(job, Ending::Failed, JobEvent::Failed { message, retryable });
    }

    /// Ends a job in the books, and then tells its reader: whoever reads the end and asks again must find the place free.
    fn finish(&mut self, job: JobId, ending: Ending, event: JobEvent) {
        let Some(mut reader) = self.running.remove(&job) else { return };
        let ending = if reader.is_gone() { Ending::Cancelled } else { ending };
        if let (Ending::Failed, JobEvent::Failed { message, .. }) = (ending, &event) {
            tracing::warn!(job = job.0, "job failed: {message}");
        }
        self.note_figures();
        self.shared.board().finish(job, ending);
        self.shared.changed();
        reader.send(event);
        if reader.is_behind() && !reader.is_gone() {
            self.leaving.push(reader);
        }
    }

    fn note_figures(&self) {
        let figures: BatchFigures = self.decoding.figures();
        self.shared.board().figures = figures;
    }

    /// The runner closed: tells whoever still listens.
    fn close(&mut self) {
        for job in self.running.keys().copied().collect::<Vec<_>>() {
            self.decoding.end(job);
            self.finish(job, Ending::Cancelled, failed(Board::SHUTTING_DOWN, true));
        }
        // Whoever reads slowly is told too, after all that waits for it.
        while !self.leaving.is_empty() {
            std::thread::sleep(RETRY_PAUSE);
            self.look_after_readers();
        }
    }
}

fn failed(message: &str, retryable: bool) -> JobEvent {
    JobEvent::Failed { message: message.to_owned(), retryable }
}
