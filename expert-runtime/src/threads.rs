//! The compute threads: one pool for the process, rayon's global one.
//!
//! Engines hand strips of a weight to it and the expert pool hands it experts. burn and `gemm` start no threads of
//! their own here: they are built without theirs.

use std::sync::{Mutex, PoisonError};

/// The pool could not get the wanted number of threads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThreadsError {
    /// No threads were asked for.
    #[error("expected at least 1 compute thread, got 0")]
    Zero,
    /// The pool runs already and cannot change its size.
    #[error("expected {wanted} compute threads, but {running} are running already")]
    AlreadyRunning {
        /// Threads asked for.
        wanted: usize,
        /// Threads of the pool.
        running: usize,
    },
}

/// Sets the number of compute threads of the process. Call it before anything computes; without it, the first
/// computation starts as many threads as the machine has cores. Asking again for the same number is fine.
///
/// # Errors
/// When `wanted` is zero, or the pool runs already with another number of threads.
pub fn set_threads(wanted: usize) -> Result<(), ThreadsError> {
    if wanted == 0 {
        return Err(ThreadsError::Zero);
    }
    // Held so that two callers do not both find the pool absent. Nothing waits for it elsewhere.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let named = |index| format!("neuro-compute-{index}");
    if rayon::ThreadPoolBuilder::new().num_threads(wanted).thread_name(named).build_global().is_ok() {
        return Ok(());
    }
    let running = threads();
    if running == wanted { Ok(()) } else { Err(ThreadsError::AlreadyRunning { wanted, running }) }
}

/// The number of compute threads of the process. Starts the pool if nothing has.
#[must_use]
pub fn threads() -> usize {
    rayon::current_num_threads()
}

static TURN: Mutex<()> = Mutex::new(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_keeps_its_first_size() {
        assert_eq!(set_threads(0), Err(ThreadsError::Zero));
        let running = threads();
        assert_eq!(set_threads(running), Ok(()));
        let refused = set_threads(running + 1);
        assert_eq!(refused, Err(ThreadsError::AlreadyRunning { wanted: running + 1, running }));
        assert_eq!(threads(), running);
    }
}
