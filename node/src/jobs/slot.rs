//! One slot: takes a job, runs it, reports its end, takes the next.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::Duration;

use neuro_inference::{FinishReason, Generated, TokenEvent};
use neuro_primitives::JobId;

use super::board::{Ending, Queued};
use super::delivery::deliver;
use super::{DecodeFailure, JobContext, STALLED_READER_LIMIT, Shared};
use crate::completer::JobEvent;

/// Runs jobs until the runner closes.
pub(super) fn work(shared: &Shared) {
    while let Some((id, job)) = next(shared) {
        shared.changed();
        let context = JobContext { id, events: job.events.clone() };
        let outcome = decode(shared, &context, &job);
        let (ending, event) = conclude(shared, &context, outcome);
        if let (Ending::Failed, JobEvent::Failed { message, .. }) = (ending, &event) {
            tracing::warn!(job = id.0, "job failed: {message}");
        }
        // Counted before it is told: whoever reads the end and asks again must find the place free.
        shared.board().finish(id, ending);
        shared.changed();
        let patience = if ending == Ending::Cancelled { Duration::ZERO } else { STALLED_READER_LIMIT };
        let _ = deliver(&context.events, event, patience);
    }
}

/// Waits for a job; `None` once the runner is closed.
fn next(shared: &Shared) -> Option<(JobId, Queued)> {
    let mut board = shared.board();
    loop {
        if board.closed {
            return None;
        }
        if let Some(job) = board.start_next() {
            return Some(job);
        }
        board = shared.work.wait(board).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Runs the decoder. A panic in it costs this job, not the slot.
fn decode(shared: &Shared, context: &JobContext, job: &Queued) -> Result<Generated, DecodeFailure> {
    let mut on_event = |event| hand_on(shared, context, event);
    let run = AssertUnwindSafe(|| shared.decoder.decode(context, &job.request, &mut on_event));
    catch_unwind(run).unwrap_or_else(|_| {
        tracing::error!(job = context.id.0, "the decoder panicked");
        Err(DecodeFailure { message: "the decoder broke down; its log says where".to_owned(), retryable: false })
    })
}

fn hand_on(shared: &Shared, context: &JobContext, event: TokenEvent) -> ControlFlow<()> {
    let (first, closed) = {
        let mut board = shared.board();
        (board.note_token(context.id), board.closed)
    };
    if first {
        shared.changed();
    }
    if closed {
        return ControlFlow::Break(());
    }
    deliver(&context.events, JobEvent::Token(event), STALLED_READER_LIMIT)
}

/// What to count and what to tell the reader.
fn conclude(shared: &Shared, context: &JobContext, outcome: Result<Generated, DecodeFailure>) -> (Ending, JobEvent) {
    let (ending, event) = match outcome {
        // Broken off with a reader still there: the runner closed, or the reader stalled.
        Ok(generated) if generated.finish == FinishReason::Cancelled => (Ending::Cancelled, broken_off(shared)),
        Ok(generated) => (Ending::Done, JobEvent::Done(generated)),
        Err(DecodeFailure { message, retryable }) => (Ending::Failed, JobEvent::Failed { message, retryable }),
    };
    if context.is_abandoned() { (Ending::Cancelled, event) } else { (ending, event) }
}

fn broken_off(shared: &Shared) -> JobEvent {
    let closed = shared.board().closed;
    let message = if closed { "the node is shutting down" } else { "the client stopped reading" };
    JobEvent::Failed { message: message.to_owned(), retryable: closed }
}
