//! The worker's compute thread: takes micro-tasks in order, runs the experts, sends the answers.
//!
//! One thread per process feeds the compute pool, so that micro-tasks never wait behind the network's tasks and the
//! network's never behind them.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use neuro_expert_runtime::{Computed, ExpertPool, PoolError};
use neuro_primitives::TaskId;
use neuro_protocol::frame::{Answer, Failure, FailureCode, Frame, MicroTask};
use tokio::sync::mpsc;

use super::meter::Meter;

/// Tasks that may wait for the compute thread. Eight decoding streams have at most eight tasks here; the rest is for
/// re-issues. A full queue is an `Overloaded` answer, which sends the task to another holder.
const QUEUE_TASKS: usize = 64;

/// Where the answers of one link go.
pub type Outbox = mpsc::Sender<Vec<u8>>;

/// Hears of every answer before it is sent, on the compute thread.
pub type OnAnswer = Box<dyn Fn(&MicroTask, &Answer) + Send>;

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
    /// Starts the thread. `answered` hears of each answer before it is sent.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(pool: Arc<ExpertPool>, meter: Arc<Meter>, answered: OnAnswer) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), arrived: Condvar::new() });
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("experts".to_owned()).spawn(move || {
            while let Some(queued) = thread.next() {
                let (task, outbox) = (queued.task.task, queued.outbox.clone());
                let computed = catch_unwind(AssertUnwindSafe(|| run(&pool, &meter, &answered, queued)));
                // A worker whose thread had ended would go on saying that it holds its experts.
                if computed.is_err() {
                    let text = "the computation broke down; the worker's log says where".to_owned();
                    answer(&outbox, &failure(task, FailureCode::Internal, text));
                }
            }
        })?;
        Ok(Self(Arc::new(Handle { shared })))
    }

    /// Queues a task.
    ///
    /// # Errors
    /// When the queue is full: the failure that the caller is to be told.
    pub fn submit(&self, task: MicroTask, outbox: Outbox) -> Result<(), Failure> {
        let expires = Instant::now() + Duration::from_millis(u64::from(task.deadline_left_ms));
        let mut queue = self.0.shared.lock();
        if queue.tasks.len() >= QUEUE_TASKS {
            let text = format!("{QUEUE_TASKS} micro-tasks wait already");
            return Err(Failure::new(Some(task.task), FailureCode::Overloaded, &text));
        }
        queue.tasks.push_back(Queued { task, expires, outbox });
        self.0.shared.arrived.notify_one();
        Ok(())
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

    /// The next task that nobody cancelled and whose caller is still there; `None` once the queue is closed.
    fn next(&self) -> Option<Queued> {
        let mut queue = self.lock();
        loop {
            while let Some(queued) = queue.tasks.pop_front() {
                if !queue.cancelled.remove(&queued.task.task) && !queued.outbox.is_closed() {
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

fn run(pool: &ExpertPool, meter: &Meter, answered: &OnAnswer, queued: Queued) {
    let Queued { task, expires, outbox } = queued;
    let started = Instant::now();
    if started > expires {
        let text = format!("it waited longer than its {} ms", task.deadline_left_ms);
        return answer(&outbox, &failure(task.task, FailureCode::Expired, text));
    }
    let outcome = pool.run_digested(task.layer, &task.hidden, &task.routes);
    let spent = started.elapsed();
    let frame = match outcome {
        Ok(Computed { sums, digests }) => {
            meter.count(spent);
            let compute_us = u32::try_from(spent.as_micros()).unwrap_or(u32::MAX);
            let answer = Answer { task: task.task, compute_us, sums, digests };
            answered(&task, &answer);
            Frame::Answer(answer)
        }
        Err(error) => {
            forget_lost(pool, &error);
            failure(task.task, code_of(&error), error.to_string())
        }
    };
    answer(&outbox, &frame);
}

/// An expert whose stored weights are lost is held no more: the answer says so, and the orchestrator, told that it is
/// not held, orders it again, which fetches it.
fn forget_lost(pool: &ExpertPool, error: &PoolError) {
    if let PoolError::Load { expert, source } = error
        && source.is_retryable()
    {
        tracing::warn!(%error, "an expert was lost");
        pool.remove(*expert);
    }
}

const fn code_of(error: &PoolError) -> FailureCode {
    match error {
        PoolError::NotHeld(_) => FailureCode::NotHeld,
        PoolError::Load { source, .. } if source.is_retryable() => FailureCode::NotHeld,
        PoolError::OutOfRange { .. } | PoolError::Load { .. } => FailureCode::Internal,
        PoolError::TooManyRows { .. } | PoolError::RouteCount { .. } | PoolError::Engine(_) => FailureCode::BadTask,
    }
}

fn failure(task: TaskId, code: FailureCode, text: String) -> Frame {
    Frame::Failure(Failure::new(Some(task), code, &text))
}

/// Hands a frame to the link. A link that is gone wants no answer; one that does not drain is closed by its writer.
fn answer(outbox: &Outbox, frame: &Frame) {
    let _ = outbox.blocking_send(frame.encode());
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_expert_runtime::{ExpertSource, SourceError, StoredExpert, TakeWeights};
    use neuro_primitives::{ExpertId, Hash, ModelId, Route, Routes, Rows};
    use neuro_protocol::frame::ActivationFormat;
    use neuro_protocol::version::ENGINE_SPEC;

    fn compute() -> Compute {
        let pool = ExpertPool::new(neuro_expert_runtime::default_engine(), 4);
        Compute::start(Arc::new(pool), Arc::default(), Box::new(|_, _| ())).unwrap()
    }

    /// A task for an expert that nobody holds: its answer is a failure, which is all these tests need.
    fn task(number: u64, deadline_left_ms: u32) -> MicroTask {
        let mut routes = Routes::new();
        routes.push_row([Route { expert: 0, gate: 1.0 }]);
        MicroTask {
            task: TaskId(number),
            model: ModelId(Hash([0; 32])),
            engine_spec: ENGINE_SPEC,
            layer: 0,
            deadline_left_ms,
            routes,
            hidden: Rows::zeros(1, 4).into(),
        }
    }

    fn failure_in(payload: &[u8]) -> (Option<TaskId>, FailureCode) {
        match Frame::decode(payload).unwrap() {
            Frame::Failure(failure) => (failure.task, failure.code),
            other => panic!("{other:?}"),
        }
    }

    /// A thread that waits to hand over its second answer: what is queued now stays queued.
    fn held_up(compute: &Compute) -> mpsc::Receiver<Vec<u8>> {
        let (outbox, answers) = mpsc::channel(1);
        for number in 0..2 {
            compute.submit(task(number, 60_000), outbox.clone()).unwrap();
        }
        while !compute.0.shared.lock().tasks.is_empty() {
            std::thread::yield_now();
        }
        answers
    }

    #[test]
    fn a_cancelled_task_is_not_answered() {
        let compute = compute();
        let mut held = held_up(&compute);
        let (outbox, mut answers) = mpsc::channel(8);
        for number in 10..13 {
            compute.submit(task(number, 60_000), outbox.clone()).unwrap();
        }
        compute.cancel(TaskId(11));
        compute.cancel(TaskId(99));
        held.blocking_recv().unwrap();
        let order = [(); 2].map(|()| failure_in(&answers.blocking_recv().unwrap()).0);
        assert_eq!(order, [Some(TaskId(10)), Some(TaskId(12))]);
        assert!(compute.0.shared.lock().cancelled.is_empty());
    }

    #[test]
    fn a_full_queue_refuses_and_tasks_of_callers_that_are_gone_are_dropped() {
        let compute = compute();
        let mut held = held_up(&compute);
        let (gone, receiver) = mpsc::channel(1);
        for number in 0..QUEUE_TASKS as u64 {
            compute.submit(task(100 + number, 60_000), gone.clone()).unwrap();
        }
        let refused = compute.submit(task(500, 60_000), gone).unwrap_err();
        assert_eq!((refused.task, refused.code), (Some(TaskId(500)), FailureCode::Overloaded));
        drop(receiver);
        held.blocking_recv().unwrap();
        let (outbox, mut answers) = mpsc::channel(1);
        while compute.submit(task(600, 60_000), outbox.clone()).is_err() {
            std::thread::yield_now();
        }
        assert_eq!(failure_in(&answers.blocking_recv().unwrap()), (Some(TaskId(600)), FailureCode::NotHeld));
    }

    /// Weights whose file is gone.
    struct Lost;

    impl ExpertSource for Lost {
        fn load(&self, _: ExpertId, _: &mut TakeWeights<'_>) -> Result<(), SourceError> {
            Err(SourceError::Unreadable { reason: "no such file".to_owned(), retryable: true })
        }
    }

    #[test]
    fn an_expert_that_was_lost_on_disk_is_held_no_more() {
        let pool = Arc::new(ExpertPool::new(neuro_expert_runtime::default_engine(), 4));
        let stored = StoredExpert { stored_bytes: 1, input_format: ActivationFormat::F32 };
        pool.register(ExpertId { layer: 0, expert: 0 }, stored, Arc::new(Lost));
        let compute = Compute::start(Arc::clone(&pool), Arc::default(), Box::new(|_, _| ())).unwrap();
        let (outbox, mut answers) = mpsc::channel(1);
        compute.submit(task(1, 60_000), outbox).unwrap();
        let refused = failure_in(&answers.blocking_recv().unwrap());
        assert_eq!(refused, (Some(TaskId(1)), FailureCode::NotHeld), "another holder computes it");
        assert!(pool.held().is_empty(), "the orchestrator orders it again");
    }

    /// Weights that bring the reader down.
    struct Cursed;

    impl ExpertSource for Cursed {
        fn load(&self, _: ExpertId, _: &mut TakeWeights<'_>) -> Result<(), SourceError> {
            panic!("a file that nobody expected")
        }
    }

    #[test]
    fn a_computation_that_breaks_down_is_told_and_the_next_task_computed() {
        let pool = Arc::new(ExpertPool::new(neuro_expert_runtime::default_engine(), 4));
        let stored = StoredExpert { stored_bytes: 1, input_format: ActivationFormat::F32 };
        pool.register(ExpertId { layer: 0, expert: 0 }, stored, Arc::new(Cursed));
        let compute = Compute::start(pool, Arc::default(), Box::new(|_, _| ())).unwrap();
        let (outbox, mut answers) = mpsc::channel(2);
        for number in 1..3 {
            compute.submit(task(number, 60_000), outbox.clone()).unwrap();
            let told = failure_in(&answers.blocking_recv().unwrap());
            assert_eq!(told, (Some(TaskId(number)), FailureCode::Internal));
        }
    }

    #[test]
    fn a_task_whose_time_is_over_is_not_computed() {
        let (outbox, mut answers) = mpsc::channel(1);
        let compute = compute();
        compute.submit(task(1, 0), outbox).unwrap();
        assert_eq!(failure_in(&answers.blocking_recv().unwrap()), (Some(TaskId(1)), FailureCode::Expired));
    }
}
