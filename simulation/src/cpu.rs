//! CPU time of this process, so that what else the machine does is not counted.

use std::time::Duration;

/// CPU time of all threads of this process so far. Where the system has no such clock, wall time from the first call.
#[must_use]
#[cfg(unix)]
pub fn now() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // CPU time is neither negative nor are its nanoseconds a second or more.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// CPU time of all threads of this process so far. Where the system has no such clock, wall time from the first call.
#[must_use]
#[cfg(not(unix))]
pub fn now() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// What `work` returns, after adding the CPU seconds that it took to `seconds`.
pub fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let started = now();
    let result = work();
    *seconds += now().saturating_sub(started).as_secs_f64();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_time_does_not_go_back() {
        let before = now();
        let mut seconds = 0.0;
        let sum = timed(&mut seconds, || (0..2_000_000_u64).fold(0, |sum: u64, x| sum.rotate_left(3) ^ x));
        assert!(sum != 1 && seconds >= 0.0);
        assert!(now() >= before);
    }
}
