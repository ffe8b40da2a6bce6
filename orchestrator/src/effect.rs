//! What the core asks of the world.

use std::time::Duration;

use neuro_primitives::{CallId, ExpertId, Moment, NodeId, TaskId};

/// A check of one task's answer, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(pub u64);

/// One thing to do. The driver carries the effects of a step out in order; instructions to one worker must reach it in
/// the order in which they were emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The worker shall load these experts, besides those it was told before, and report each one that is ready or has
    /// failed. At most [`crate::settings::LOADS_AT_ONCE`] are outstanding at a worker.
    Hold {
        /// The worker.
        worker: NodeId,
        /// The experts, most urgent first.
        experts: Vec<ExpertId>,
    },
    /// The worker shall forget these experts. No task for them is in flight there.
    Drop {
        /// The worker.
        worker: NodeId,
        /// The experts, ascending.
        experts: Vec<ExpertId>,
    },
    /// The worker shall run these experts on their rows of the call.
    SendTask {
        /// A fresh id.
        task: TaskId,
        /// The call that it belongs to.
        call: CallId,
        /// Who shall do it.
        worker: NodeId,
        /// The experts within the call's layer, ascending.
        experts: Vec<u16>,
        /// After this long the core asks somebody else.
        deadline: Duration,
        /// It is a witness of an answer that was accepted already: some of the rows suffice, such as those that belong to
        /// nobody.
        spot_check: bool,
    },
    /// The answer to this task is not needed any more. It may come nevertheless.
    CancelTask {
        /// The task.
        task: TaskId,
        /// Who was asked.
        worker: NodeId,
    },
    /// Add the partial sums of the answer that this step reported, or that is kept, for exactly these experts. Comes once per call and
    /// expert.
    AcceptAnswer {
        /// The answered task.
        task: TaskId,
        /// The call that it belongs to.
        call: CallId,
        /// All experts of the task, ascending.
        experts: Vec<u16>,
        /// Whether it came before its deadline. A late answer that is still of use is used, and not paid.
        in_time: bool,
    },
    /// Keep the answer that this step reported, with the rows that its task was sent, until [`Self::ForgetAnswers`].
    KeepAnswer {
        /// The answered task.
        task: TaskId,
        /// Whether it came before its deadline.
        in_time: bool,
    },
    /// Compare the kept answer of a task with those of its witnesses, who were asked for the same rows of the same experts
    /// among them, and report [`crate::Input::Compared`]. Exact answers are the same if their digests are, and their sums; of others
    /// report [`crate::Input::Deviated`].
    Compare {
        /// The check.
        check: CheckId,
        /// The task that is checked.
        task: TaskId,
        /// The tasks of its witnesses.
        against: Vec<TaskId>,
    },
    /// Compute the rows of a task from the checkpoint and report [`crate::Input::Recomputed`], or, if an engine is not exact,
    /// [`crate::Input::Measured`].
    Recompute {
        /// The check.
        check: CheckId,
        /// The task that is checked; its answer is kept.
        task: TaskId,
        /// The tasks of witnesses that answered.
        against: Vec<TaskId>,
    },
    /// Add what was recomputed in this check, in the place of the answer of its task. Counts as [`Self::AcceptAnswer`].
    AcceptRecomputed {
        /// The check.
        check: CheckId,
        /// The call that it belongs to.
        call: CallId,
        /// All experts of the task, ascending.
        experts: Vec<u16>,
    },
    /// The kept answer of a witness was right: its work counts as that of an answer which is accepted.
    CreditWitness {
        /// The witness.
        worker: NodeId,
        /// Its task.
        task: TaskId,
    },
    /// Kept answers are not needed any more, and what was recomputed for them.
    ForgetAnswers {
        /// Their tasks.
        tasks: Vec<TaskId>,
    },
    /// An answer that was accepted for this call was wrong. Whoever reads what came of it must be told, or, if nobody does any
    /// more, it must be counted.
    Retract {
        /// The call, which may have ended.
        call: CallId,
        /// The task whose answer it was; it is kept.
        task: TaskId,
        /// Who gave it.
        worker: NodeId,
    },
    /// The worker's kept answer is proved wrong: its evidence must be stored, and the worker not admitted again.
    Convict {
        /// The worker.
        worker: NodeId,
        /// The task that it answered.
        task: TaskId,
    },
    /// Every expert of the call was accepted. The last effect that names the call, apart from cancelled tasks.
    CallDone {
        /// The call.
        call: CallId,
    },
    /// The call cannot be completed. The last effect that names the call, apart from cancelled tasks.
    CallFailed {
        /// The call.
        call: CallId,
        /// Why.
        error: CallError,
    },
    /// Close the connection to this worker. The core has already forgotten it.
    Expel {
        /// The worker.
        worker: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// Send [`crate::Input::Tick`] at this moment at the latest. Replaces what was asked before.
    WakeAt(Moment),
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody held the expert for as long as a call waits.
    #[error("no worker held expert {expert} for {} ms", .waited.as_millis())]
    NoHolder {
        /// The expert.
        expert: ExpertId,
        /// How long the call waited for it.
        waited: Duration,
    },
    /// No worker was connected for as long as a call waits.
    #[error("no worker was connected for {} ms", .waited.as_millis())]
    NoWorkers {
        /// How long the call waited.
        waited: Duration,
    },
    /// Every holder was tried, and the allowed number of attempts is used up.
    #[error("expert {expert} was not answered in {attempts} attempts, {late} of them late")]
    Attempts {
        /// The expert.
        expert: ExpertId,
        /// How many tasks were sent for it.
        attempts: u32,
        /// How many of these passed their deadline.
        late: u32,
    },
    /// The model has no such expert: the caller and the orchestrator disagree about the model.
    #[error("the model has no expert {expert}")]
    UnknownExpert {
        /// The expert asked for.
        expert: ExpertId,
    },
}

impl CallError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::UnknownExpert { .. })
    }

    /// The expert that could not be had, if it was one alone.
    #[must_use]
    pub const fn expert(&self) -> Option<ExpertId> {
        match self {
            Self::NoHolder { expert, .. } | Self::Attempts { expert, .. } | Self::UnknownExpert { expert } => {
                Some(*expert)
            }
            Self::NoWorkers { .. } => None,
        }
    }

    /// Always `None`: a failed call is the failure of several workers, and each fault was already charged to its own.
    #[must_use]
    pub fn blames(&self) -> Option<NodeId> {
        None
    }
}
