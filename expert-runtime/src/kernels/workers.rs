//! Threads that help with one job at a time.
//!
//! A job is a number of items and a function for each. Whoever has a job opens it, takes part, and closes it; workers
//! enter while it is open and take items by a shared counter until there are none. The caller returns when no worker is
//! left inside, so the job may borrow from its stack. A worker without work spins for a moment, since the next job of
//! a forward pass is a few microseconds away, and then sleeps.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a worker waits awake. Longer than the gaps between the jobs of one token, shorter than anybody notices.
const AWAKE: Duration = Duration::from_micros(60);

/// `state`: whether a job is open, how many workers are inside (in steps of `INSIDE`), and which job it is.
const OPEN: u64 = 1;
const INSIDE: u64 = 2;
const INSIDE_MASK: u64 = 0xFFFE;
const JOB: u64 = 0x1_0000;

/// The most workers that `state` can count.
const MAX_WORKERS: usize = (INSIDE_MASK / INSIDE) as usize;

/// Some threads, and the one that calls.
pub(crate) struct Workers {
    shared: Arc<State>,
    /// Held by the thread whose job it is.
    turn: Mutex<()>,
    threads: Vec<JoinHandle<()>>,
}

struct State {
    state: AtomicU64,
    /// The open job, on its caller's stack.
    job: AtomicPtr<Job<'static>>,
    /// How many workers sleep or are about to. Held to change it or to wake them, and to wait.
    asleep: Mutex<()>,
    sleepers: AtomicUsize,
    wake: Condvar,
    stop: AtomicBool,
}

struct Job<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    items: usize,
    next: AtomicUsize,
    /// What the first item that panicked panicked with. Held only then.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Job<'_> {
    /// Takes items until there are none.
    fn run(&self) {
        loop {
            let item = self.next.fetch_add(1, Ordering::Relaxed);
            if item >= self.items {
                return;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.work)(item))) {
                lock(&self.panic).get_or_insert(panic);
                // What is left would be thrown away.
                self.next.store(self.items, Ordering::Relaxed);
            }
        }
    }
}

/// Nothing that these locks guard can be left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workers {
    /// `threads - 1` workers; fewer when the system has no more threads.
    pub(crate) fn new(threads: usize) -> Self {
        let shared = Arc::new(State {
            state: AtomicU64::new(0),
            job: AtomicPtr::default(),
            asleep: Mutex::default(),
            sleepers: AtomicUsize::new(0),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let start = |index: usize| {
            let shared = Arc::clone(&shared);
            let name = format!("neuro-compute-{index}");
            std::thread::Builder::new().name(name).spawn(move || shared.serve()).ok()
        };
        let threads = (1..threads.min(MAX_WORKERS)).map_while(start).collect();
        Self { shared, turn: Mutex::default(), threads }
    }

    /// How many threads take part in a job.
    pub(crate) fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// `work` for every item below `items`, on all threads; on the caller's alone when they have another job.
    ///
    /// # Panics
    /// With what an item panicked with, after all threads have left the job.
    pub(crate) fn run(&self, items: usize, work: &(dyn Fn(usize) + Sync)) {
        let turn = self.turn.try_lock();
        if items < 2 || self.threads.is_empty() || turn.is_err() {
            return (0..items).for_each(work);
        }
        let job = Job { work, items, next: AtomicUsize::new(0), panic: Mutex::default() };
        self.shared.open(&job);
        job.run();
        self.shared.close();
        drop(turn);
        if let Some(panic) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake_all();
        for thread in self.threads.drain(..) {
            // A worker cannot panic: its items' panics are caught.
            let _ = thread.join();
        }
    }
}

impl State {
    /// Publishes `job`. The caller has the turn, so no job is open and no worker inside.
    fn open(&self, job: &Job<'_>) {
        self.job.store(std::ptr::from_ref(job).cast::<Job<'static>>().cast_mut(), Ordering::Relaxed);
        let number = self.state.load(Ordering::Relaxed) & !(JOB - 1);
        self.state.store(number.wrapping_add(JOB) | OPEN, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.wake_all();
        }
    }

    /// Lets no more workers in and waits until those inside are out.
    fn close(&self) {
        self.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0_u32;
        while self.state.load(Ordering::Acquire) & INSIDE_MASK != 0 {
            spins += 1;
            // A worker that the system has taken off its core needs one to finish.
            if spins.is_multiple_of(4096) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }

    fn wake_all(&self) {
        let _asleep = lock(&self.asleep);
        self.wake.notify_all();
    }

    /// A worker's life.
    fn serve(&self) {
        let mut served = 0;
        while !self.stop.load(Ordering::SeqCst) {
            match self.enter(served) {
                Some(job) => served = self.help(job),
                None => self.wait(served),
            }
        }
    }

    /// Goes inside if a job other than `served` is open; that job's number.
    fn enter(&self, served: u64) -> Option<u64> {
        let mut state = self.state.load(Ordering::SeqCst);
        while state & OPEN != 0 && state & !(JOB - 1) != served {
            match self.state.compare_exchange_weak(state, state + INSIDE, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(state & !(JOB - 1)),
                Err(now) => state = now,
            }
        }
        None
    }

    /// Takes items of the open job, which this worker has entered, and leaves it.
    fn help(&self, number: u64) -> u64 {
        // SAFETY: the pointer was stored before the job was opened, and its caller does not return, so the job stays
        // alive, until the state counts no worker inside; this one is counted.
        unsafe { &*self.job.load(Ordering::Relaxed) }.run();
        self.state.fetch_sub(INSIDE, Ordering::Release);
        number
    }

    /// Returns soon after a job other than `served` opens.
    fn wait(&self, served: u64) {
        let news = || {
            let state = self.state.load(Ordering::SeqCst);
            (state & OPEN != 0 && state & !(JOB - 1) != served) || self.stop.load(Ordering::SeqCst)
        };
        let since = Instant::now();
        while since.elapsed() < AWAKE {
            for _ in 0..32 {
                if news() {
                    return;
                }
                std::hint::spin_loop();
            }
            // Where more threads want to run than there are cores, as with several workers on one machine, they may.
            std::thread::yield_now();
        }
        let mut asleep = lock(&self.asleep);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        // Whoever opens a job after this look sees the sleeper, and cannot wake it before it waits.
        while !news() {
            asleep = self.wake.wait(asleep).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_computed_once_by_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let workers = Workers::new(threads);
            for items in [0, 1, 2, 7, 1000] {
                let counts: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                workers.run(items, &|item| {
                    counts[item].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{items} on {threads}");
            }
        }
    }

    #[test]
    fn many_short_jobs_each_end_with_their_own_results() {
        let workers = Workers::new(3);
        for job in 0..20_000 {
            let sum = AtomicUsize::new(0);
            workers.run(3, &|item| {
                sum.fetch_add(job + item, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 3 * job + 3);
        }
    }

    #[test]
    fn a_job_within_a_job_and_a_second_caller_compute_alone() {
        let workers = Workers::new(2);
        let sum = AtomicUsize::new(0);
        let add = |item: usize| {
            sum.fetch_add(item, Ordering::Relaxed);
        };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        workers.run(4, &|_| workers.run(4, &add));
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 2 * 100 * 4 * 6);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_workers_live_on() {
        let workers = Workers::new(3);
        for bad in 0..64 {
            let work = |item: usize| assert_ne!(item, bad, "item {bad}");
            let panic = catch_unwind(AssertUnwindSafe(|| workers.run(64, &work))).expect_err("an item panics");
            let message = panic.downcast_ref::<String>().expect("a message");
            assert!(message.contains(&format!("item {bad}")), "{message}");
        }
        let sum = AtomicUsize::new(0);
        workers.run(10, &|item| {
            sum.fetch_add(item, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }
}
