//! Bringing all experts of a pool into memory while it answers already.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use neuro_expert_runtime::ExpertPool;
use neuro_expert_runtime::threads::with_threads;

/// A prompt that waits for the model has the machine's memory to itself for so long: enough for its first token, since
/// clearing fresh memory slows everything else down.
const HEAD_START: Duration = Duration::from_millis(100);

/// A thread that warms a pool. Ends when it is through or when this is dropped.
pub(super) struct Warming {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Warming {
    /// Begins. Until the end, `pool` computes in place with experts that are not in memory. Where the system has no
    /// thread to give, it loads them as calls need them.
    pub(super) fn start(pool: &Arc<ExpertPool>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        pool.compute_in_place(true);
        let (own, asked) = (Arc::clone(pool), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("neuro-warming".to_owned()).spawn(move || warm(&own, &asked));
        if thread.is_err() {
            pool.compute_in_place(false);
        }
        Self { stop, thread: thread.ok() }
    }
}

/// Leaves the compute threads to those who wait for an answer, and takes turns at none of their jobs.
fn warm(pool: &ExpertPool, stop: &AtomicBool) {
    std::thread::park_timeout(HEAD_START);
    let mut go_on = |_| if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    // An expert that passed the check and cannot be loaded now was changed meanwhile: the call that needs it says so.
    let _ = with_threads(1, || pool.warm(&pool.held(), &mut go_on));
    pool.compute_in_place(false);
}

impl Drop for Warming {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It cannot panic but by a bug, which the calls of the pool would meet too.
            let _ = thread.join();
        }
    }
}
