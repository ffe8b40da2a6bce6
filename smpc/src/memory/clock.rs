//! The virtual clock of one party.

use std::time::Duration;

/// Processor time of the thread that asks, and what was waited. Belongs to the thread that first asks it.
pub(super) struct Clock {
    counts_computing: bool,
    /// The thread's processor time when the clock began.
    began: Option<Duration>,
    waited: Duration,
}

impl Clock {
    /// Begins when it is first asked. Without `counts_computing` it stands still but for what is waited.
    pub(super) const fn new(counts_computing: bool) -> Self {
        Self { counts_computing, began: None, waited: Duration::ZERO }
    }

    /// Begins now, in this thread.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.counts_computing);
        self.now();
    }

    /// The time since it began.
    pub(super) fn now(&mut self) -> Duration {
        if !self.counts_computing {
            return self.waited;
        }
        self.began.get_or_insert_with(thread_time);
        self.read()
    }

    /// As [`Self::now`], of a clock that has perhaps not begun.
    pub(super) fn read(&self) -> Duration {
        match self.began {
            Some(began) if self.counts_computing => thread_time().saturating_sub(began) + self.waited,
            _ => self.waited,
        }
    }

    /// Moves on to `time`, if that is still to come.
    pub(super) fn wait_until(&mut self, time: Duration) {
        let now = self.now();
        self.waited += time.saturating_sub(now);
    }

    /// How long was waited in all.
    pub(super) const fn waited(&self) -> Duration {
        self.waited
    }
}

/// Processor time that this thread has used. Where the system has no such clock, wall time from the first call.
#[cfg(unix)]
fn thread_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Processor time is neither negative nor are its nanoseconds a second or more.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Processor time that this thread has used. Where the system has no such clock, wall time from the first call.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
