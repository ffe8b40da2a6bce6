//! The compute threads: one set for the process.
//!
//! The native engine hands them strips of a weight. The thread that asks takes part, so with one thread nothing is
//! handed over. burn and `gemm` start no threads of their own here: they are built without theirs.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::kernels::workers::Workers;

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
    let running = process(wanted).threads();
    if running == wanted { Ok(()) } else { Err(ThreadsError::AlreadyRunning { wanted, running }) }
}

/// The number of compute threads of the process, or of [`with_threads`] inside of it. Starts them if nothing has.
#[must_use]
pub fn threads() -> usize {
    current(|workers| workers.threads())
}

/// `work` for every item below `items`, on the compute threads. The caller takes part; if the others have a job
/// already, it computes alone. Items are taken one after the other, so a few dozen are better than a thousand.
///
/// # Panics
/// With what an item panicked with.
pub fn parallel(items: usize, work: &(dyn Fn(usize) + Sync)) {
    current(|workers| workers.run(items, work));
}

/// The results of `compute` for every item below `items`, in their order, by [`parallel`].
///
/// # Panics
/// With what an item panicked with.
pub fn collect<T: Send>(items: usize, compute: impl Fn(usize) -> T + Sync) -> Vec<T> {
    // Each lock is taken once, by the item that fills it.
    let results: Vec<Mutex<Option<T>>> = (0..items).map(|_| Mutex::new(None)).collect();
    parallel(items, &|item| {
        let result = compute(item);
        *results[item].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    results.into_iter().filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// `compute` with `threads` compute threads of its own, at least one, in place of the process's: what the calling thread
/// computes in it does not depend on the machine's number of cores.
pub fn with_threads<T>(threads: usize, compute: impl FnOnce() -> T) -> T {
    let _own = Own(OWN.replace(Some(Arc::new(Workers::new(threads)))));
    compute()
}

thread_local! {
    /// The threads of [`with_threads`], on the thread that called it.
    static OWN: RefCell<Option<Arc<Workers>>> = const { RefCell::new(None) };
}

/// Puts back what was there before, also when a computation panics.
struct Own(Option<Arc<Workers>>);

impl Drop for Own {
    fn drop(&mut self) {
        OWN.set(self.0.take());
    }
}

fn current<T>(use_them: impl FnOnce(&Workers) -> T) -> T {
    let own = OWN.with_borrow(Clone::clone);
    match own {
        Some(workers) => use_them(&workers),
        None => use_them(process(std::thread::available_parallelism().map_or(1, usize::from))),
    }
}

/// The process's threads; `wanted` of them if they do not run yet.
fn process(wanted: usize) -> &'static Workers {
    static PROCESS: OnceLock<Workers> = OnceLock::new();
    PROCESS.get_or_init(|| {
        #[cfg(feature = "burn")]
        {
            // burn's strips are computed on rayon's threads, which must not be more.
            let named = |index| format!("neuro-strips-{index}");
            let _ = rayon::ThreadPoolBuilder::new().num_threads(wanted).thread_name(named).build_global();
        }
        Workers::new(wanted)
    })
}

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

    #[test]
    fn own_threads_last_as_long_as_their_computation() {
        let running = threads();
        assert_eq!(with_threads(5, || (threads(), with_threads(2, threads), threads())), (5, 2, 5));
        let panicked = std::panic::catch_unwind(|| with_threads(running + 1, || assert_eq!(threads(), 0)));
        assert!(panicked.is_err());
        assert_eq!(threads(), running);
    }

    #[test]
    fn results_come_in_the_order_of_their_items() {
        let squares = with_threads(3, || collect(100, |item| item * item));
        assert_eq!(squares, (0..100).map(|item| item * item).collect::<Vec<_>>());
    }
}
