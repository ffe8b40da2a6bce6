//! A job's reader, who may be slow, stalled or gone. Nobody waits for one: what does not fit its channel is kept.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::completer::JobEvent;

/// Events on their way to one reader.
pub(super) struct Reader {
    events: Sender<JobEvent>,
    backlog: VecDeque<JobEvent>,
    stalled_since: Option<Instant>,
}

impl Reader {
    pub(super) const fn new(events: Sender<JobEvent>) -> Self {
        Self { events, backlog: VecDeque::new(), stalled_since: None }
    }

    /// Whether nobody reads any more.
    pub(super) fn is_gone(&self) -> bool {
        self.events.is_closed()
    }

    /// Sends `event` after all that waits.
    pub(super) fn send(&mut self, event: JobEvent) {
        self.backlog.push_back(event);
        self.flush();
    }

    /// Sends as much as there is room for.
    pub(super) fn flush(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => self.stalled_since = None,
                Err(TrySendError::Closed(_)) => self.backlog.clear(),
                Err(TrySendError::Full(event)) => {
                    self.stalled_since.get_or_insert_with(Instant::now);
                    return self.backlog.push_front(event);
                }
            }
        }
    }

    /// Whether something waits for it to read.
    pub(super) fn is_behind(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether it has read nothing for `limit` while something waited.
    pub(super) fn has_stalled(&self, limit: Duration) -> bool {
        self.is_behind() && self.stalled_since.is_some_and(|since| since.elapsed() >= limit)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn event(message: &str) -> JobEvent {
        JobEvent::Failed { message: message.to_owned(), retryable: false }
    }

    #[test]
    fn a_slow_reader_gets_everything_in_order_and_a_stalled_one_is_known() {
        let (sender, mut events) = mpsc::channel(1);
        let mut reader = Reader::new(sender);
        ["a", "b", "c"].into_iter().for_each(|message| reader.send(event(message)));
        assert!(reader.is_behind() && reader.has_stalled(Duration::ZERO));
        assert!(!reader.has_stalled(Duration::from_secs(3_600)));
        let mut read = Vec::new();
        while let Ok(JobEvent::Failed { message, .. }) = events.try_recv() {
            read.push(message);
            reader.flush();
        }
        assert_eq!(read, ["a", "b", "c"]);
        assert!(!reader.is_behind() && !reader.has_stalled(Duration::ZERO));
        drop(events);
        reader.send(event("d"));
        assert!(reader.is_gone() && !reader.is_behind(), "nothing is kept for who left");
    }
}
