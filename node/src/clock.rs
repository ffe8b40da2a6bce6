//! This process's clocks: the monotonic one that the cores are given, and wall time.

use std::sync::OnceLock;
use std::time::Instant;

use neuro_primitives::Moment;

pub use crate::orchestrator_role::members::unix_now;

/// Now, on a clock that never goes back. Its zero is the first call.
#[must_use]
pub fn now() -> Moment {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    Moment::default().after(ZERO.get_or_init(Instant::now).elapsed())
}
