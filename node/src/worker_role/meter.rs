//! What a worker has done since it started.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters that only grow.
#[derive(Debug, Default)]
pub struct Meter {
    tasks: AtomicU64,
    busy_us: AtomicU64,
}

impl Meter {
    /// Counts one computed task.
    pub fn count(&self, spent: Duration) {
        self.tasks.fetch_add(1, Ordering::Relaxed);
        self.busy_us.fetch_add(u64::try_from(spent.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Tasks computed.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed)
    }

    /// Microseconds spent computing.
    #[must_use]
    pub fn busy_us(&self) -> u64 {
        self.busy_us.load(Ordering::Relaxed)
    }
}
