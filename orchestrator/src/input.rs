//! What the world tells the core.

use neuro_primitives::{CallId, ExpertId, NodeId, TaskId};

use crate::effect::CheckId;
use crate::reputation::Standing;
use crate::tolerance::{Deviation, ToleranceClass};

/// One event. The driver hands in events in the order in which it saw them.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A worker was admitted and waits for instructions. A worker that is already known left first without a word:
    /// what it had is forgotten.
    WorkerJoined {
        /// The worker.
        worker: NodeId,
        /// How many bytes of expert weights it may be given.
        memory_limit_bytes: u64,
    },
    /// What is known of a worker from before. Told right after it joined.
    WorkerKnown {
        /// The worker.
        worker: NodeId,
        /// Its conduct.
        standing: Standing,
    },
    /// The owner lets a worker that was excluded work again. It begins on probation.
    WorkerPardoned {
        /// The worker, which is away.
        worker: NodeId,
    },
    /// A worker timed the computing of an expert before its first task. Tasks tell more, and count more.
    WorkerCalibrated {
        /// The worker.
        worker: NodeId,
        /// How fast it is, by its own word.
        speeds: Vec<Speed>,
    },
    /// The worker holds these experts too, from now on. Experts that it was never told to hold are adopted when a copy
    /// is wanted, and otherwise dropped.
    WorkerReady {
        /// The worker.
        worker: NodeId,
        /// The experts that it can now answer for, besides those it reported before.
        experts: Vec<ExpertId>,
    },
    /// The worker could not load the expert, or lost it. The expert is placed elsewhere; this worker is asked again
    /// after [`crate::settings::LOAD_RETRY`].
    ExpertFailed {
        /// The worker.
        worker: NodeId,
        /// The expert that it does not hold.
        expert: ExpertId,
        /// What the worker said, for people.
        reason: String,
    },
    /// The connection to the worker is gone.
    WorkerLeft {
        /// The worker.
        worker: NodeId,
    },
    /// The trunk asks, at one layer, for all experts of its rows. `call` must not be in flight already.
    Call {
        /// The call, never reused.
        call: CallId,
        /// The layer of all its experts.
        layer: u16,
        /// Each expert with its share of the rows. The order does not matter; an expert named twice counts once, with
        /// the rows added.
        experts: Vec<ExpertLoad>,
        /// Of how many workers each expert is asked from the start.
        redundancy: Redundancy,
    },
    /// A well-formed answer came: right shape, finite values. The driver keeps its sums until this step's effects are
    /// carried out, and throws them away if none of them accepts the task.
    Answered {
        /// The task that it answers.
        task: TaskId,
        /// Who sent it.
        worker: NodeId,
        /// How long the worker says it computed, in microseconds. Capped at the measured round trip.
        compute_us: u32,
    },
    /// A task will not be answered well by this worker.
    Faulty {
        /// The task.
        task: TaskId,
        /// Who was asked.
        worker: NodeId,
        /// What went wrong.
        fault: Fault,
    },
    /// The answers of a check were compared.
    Compared {
        /// The check.
        check: CheckId,
        /// Whether they say the same.
        same: bool,
    },
    /// The answers of a check were compared, and an engine among them is not exact: within the tolerance they are the same.
    Deviated {
        /// The check.
        check: CheckId,
        /// Who answered and who witnessed, as engines.
        class: ToleranceClass,
        /// How far the answer is from the sum of its witnesses'.
        deviation: Deviation,
    },
    /// The rows of a check were computed from the checkpoint, and answers of it are from engines that are not exact. What is beyond the
    /// tolerance is wrong, and proves nothing: it costs reputation.
    Measured {
        /// The check.
        check: CheckId,
        /// Each answer of the check: the one that is checked and those of its witnesses.
        answers: Vec<Measured>,
    },
    /// The rows of a check were computed from the checkpoint.
    Recomputed {
        /// The check.
        check: CheckId,
        /// The tasks whose answers are wrong, of the one that is checked and its witnesses.
        wrong: Vec<TaskId>,
    },
    /// The rows of a check could not be computed: too much to do, or the checkpoint cannot be read. If answers differed, all who gave
    /// them lose.
    NotRecomputed {
        /// The check.
        check: CheckId,
    },
    /// Nobody waits for the call any more. No effect will name it again, except to cancel its tasks and to finish its checks.
    CallCancelled {
        /// The call.
        call: CallId,
    },
    /// Time passed. Sent at the latest at the moment of the last [`crate::Effect::WakeAt`].
    Tick,
}

/// How fast an expert is computed when it gets so many rows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// Rows of one task, at least 1.
    pub rows: u32,
    /// Nanoseconds for each of them.
    pub row_ns: u64,
}

/// Of how many workers the experts of a call are asked from the start. For jobs that would rather pay twice than wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Redundancy {
    /// One each. A second is asked when the first is slow, late or faulty.
    #[default]
    One,
    /// Two each where there are two: the first acceptable answer is used, the other cancelled. Beside checks, not in their place.
    Two,
}

/// One expert of a call and how many rows go to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertLoad {
    /// The expert within the call's layer.
    pub expert: u16,
    /// Rows routed to it, at least 1.
    pub rows: u32,
}

/// How far an answer is from what the checkpoint gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The task that it answers.
    pub task: TaskId,
    /// Its engine, with that of the orchestrator.
    pub class: ToleranceClass,
    /// How far.
    pub deviation: Deviation,
}

/// Why a task has no acceptable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The answer does not fit the task: wrong number of rows, wrong width, wrong kind of sum, or not decodable.
    Malformed,
    /// A value is NaN or outside the range of the contribution rule.
    BadValue,
    /// The worker says that it does not hold an expert that it reported as held.
    NotHeld,
    /// The worker refused for another reason of its own: wrong model or engine, not allowed, internal error.
    Refused,
    /// The worker has too much to do. Not held against it, but as any refusal an answer that did not come in time.
    Overloaded,
    /// The worker found the deadline passed before it started. As [`Self::Overloaded`].
    Expired,
    /// The task could not be delivered, or its stream broke. Not held against the worker: if it is gone,
    /// [`Input::WorkerLeft`] says so.
    Undelivered,
}

impl Fault {
    /// Whether the worker said so itself: it was asked, and did not answer in time.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        !matches!(self, Self::Undelivered)
    }

    /// Whether the fault counts towards expulsion.
    #[must_use]
    pub fn is_held_against_worker(self) -> bool {
        match self {
            Self::Malformed | Self::BadValue | Self::NotHeld | Self::Refused => true,
            Self::Overloaded | Self::Expired | Self::Undelivered => false,
        }
    }
}
