//! Hands events from a slot's thread to a reader that may be slow, stalled or gone.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::completer::JobEvent;

/// How often a full channel is tried again. It is full only after a thousand unread events, so no token waits here.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// Sends `event`, waiting up to `patience` for room. Breaks when the reader left or stalled.
pub(super) fn deliver(events: &Sender<JobEvent>, event: JobEvent, patience: Duration) -> ControlFlow<()> {
    let mut event = event;
    let mut stalled_since = None;
    loop {
        event = match events.try_send(event) {
            Ok(()) => return ControlFlow::Continue(()),
            Err(TrySendError::Closed(_)) => return ControlFlow::Break(()),
            Err(TrySendError::Full(event)) => event,
        };
        if stalled_since.get_or_insert_with(Instant::now).elapsed() >= patience {
            return ControlFlow::Break(());
        }
        std::thread::sleep(RETRY_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn event() -> JobEvent {
        JobEvent::Failed { message: String::new(), retryable: false }
    }

    #[test]
    fn a_stalled_reader_ends_the_wait_and_a_late_one_is_served() {
        let (sender, mut reader) = mpsc::channel(1);
        assert!(deliver(&sender, event(), Duration::ZERO).is_continue());
        assert!(deliver(&sender, event(), Duration::ZERO).is_break(), "full, and no patience");
        let late = std::thread::spawn(move || (reader.blocking_recv().is_some(), reader));
        assert!(deliver(&sender, event(), Duration::from_secs(3_600)).is_continue());
        let (read, reader) = late.join().unwrap();
        assert!(read);
        drop(reader);
        assert!(deliver(&sender, event(), Duration::from_secs(3_600)).is_break(), "the reader left");
    }
}
