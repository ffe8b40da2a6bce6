//! The worker's compute thread: takes micro-tasks in order, runs the experts, sends the answers.
//!
//! One thread per process feeds the compute pool, so that micro-tasks never wait behind the network's tasks and the
//! network's never behind them.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use neuro_expert_runtime::{ExpertPool, PoolError};
use neuro_primitives::TaskId;
use neuro_protocol::frame::{Answer, Failure, FailureCode, Frame, MicroTask};
use tokio::sync::mpsc;

use super::meter::Meter;

/// Tasks that may wait for the compute thread. Eight decoding streams have at most eight tasks here; the rest is for
/// re-issues. A full queue is an `Overloaded` answer, which sends the task to another holder.
const QUEUE_TASKS: usize = 64;

/// Where the answers of one link go.
pub type Outbox = mpsc::Sender<Vec<u8>>;

/// The queue in front of the compute thread. Dropping the last clone ends the thread.
#[derive(Clone)]
pub struct Compute(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Queued>,
    cancelled: BTreeSet<TaskId>,
    closed: bool,
}

struct Queued {
    task: MicroTask,
    expires: Instant,
    outbox: Outbox,
}

impl Compute {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(pool: Arc<ExpertPool>, meter: Arc<Meter>) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), arrived: Condvar::new() });
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("experts".to_owned()).spawn(move || {
            while let Some(queued) = thread.next() {
                run(&pool, &meter, queued);
            }
        })?;
        Ok(Self(Arc::new(Handle { shared })))
    }

    /// Queues a task. A full queue is answered at once.
    pub fn submit(&self, task: MicroTask, outbox: Outbox) {
        let expires = Instant::now() + Duration::from_millis(u64::from(task.deadline_left_ms));
        let mut queue = self.0.shared.lock();
        if queue.tasks.len() >= QUEUE_TASKS {
            drop(queue);
            let text = format!("{QUEUE_TASKS} micro-tasks wait already");
            answer(&outbox, &failure(task.task, FailureCode::Overloaded, text));
            return;
        }
        queue.tasks.push_back(Queued { task, expires, outbox });
        self.0.shared.arrived.notify_one();
    }

    /// Forgets a task that waits. One that is being computed is finished, and its answer ignored by the caller.
    pub fn cancel(&self, task: TaskId) {
        let mut queue = self.0.shared.lock();
        if queue.tasks.iter().any(|queued| queued.task.task == task) {
            queue.cancelled.insert(task);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task that nobody cancelled; `None` once the queue is closed.
    fn next(&self) -> Option<Queued> {
        let mut queue = self.lock();
        loop {
            while let Some(queued) = queue.tasks.pop_front() {
                if !queue.cancelled.remove(&queued.task.task) {
                    return Some(queued);
                }
            }
            if queue.closed {
                return None;
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn run(pool: &ExpertPool, meter: &Meter, queued: Queued) {
    let Queued { task, expires, outbox } = queued;
    let started = Instant::now();
    if started > expires {
        let text = format!("it waited longer than its {} ms", task.deadline_left_ms);
        return answer(&outbox, &failure(task.task, FailureCode::Expired, text));
    }
    let outcome = pool.run(task.layer, &task.hidden, &task.routes);
    let spent = started.elapsed();
    let frame = match outcome {
        Ok(sums) => {
            meter.count(spent);
            let compute_us = u32::try_from(spent.as_micros()).unwrap_or(u32::MAX);
            Frame::Answer(Answer { task: task.task, compute_us, sums })
        }
        Err(error) => failure(task.task, code_of(&error), error.to_string()),
    };
    answer(&outbox, &frame);
}

const fn code_of(error: &PoolError) -> FailureCode {
    match error {
        PoolError::NotHeld { .. } => FailureCode::NotHeld,
        _ => FailureCode::BadTask,
    }
}

fn failure(task: TaskId, code: FailureCode, text: String) -> Frame {
    Frame::Failure(Failure::new(Some(task), code, &text))
}

/// Hands a frame to the link. A link that is gone wants no answer; one that does not drain is closed by its writer.
fn answer(outbox: &Outbox, frame: &Frame) {
    let _ = outbox.blocking_send(frame.encode());
}
