//! Read-only values for status pages.

use std::time::Duration;

use neuro_primitives::{ExpertId, Moment, NodeId};

use crate::placement::Move;

/// How far a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkerState {
    /// Admitted, nothing to hold yet.
    Joining,
    /// Told to hold experts that are not all ready.
    Loading,
    /// Everything it was told to hold is ready.
    Ready,
}

/// One worker as the core sees it. Workers that left are not shown.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerView {
    /// The worker.
    pub id: NodeId,
    /// How far it is.
    pub state: WorkerState,
    /// Experts that it is ready to answer for.
    pub experts_ready: usize,
    /// Experts that it holds or shall hold.
    pub experts_assigned: usize,
    /// Bytes of the experts that it holds or shall hold.
    pub assigned_bytes: u64,
    /// The most bytes it may be given.
    pub memory_limit_bytes: u64,
    /// Median round trip of its recent answers; unknown before the first.
    pub latency_p50: Option<Duration>,
    /// 95th percentile of the round trips of its recent answers; unknown before the first.
    pub latency_p95: Option<Duration>,
    /// Estimated computation for one row at one expert in decode; unknown before the first such answer.
    pub row_expert_time: Option<Duration>,
    /// Estimated cost of one message there and back, without computation; unknown before the first answer.
    pub overhead: Option<Duration>,
    /// Tasks sent to it and not yet answered or given up.
    pub in_flight: usize,
    /// Tasks whose answer was accepted.
    pub tasks_done: u64,
    /// Tasks that passed their deadline.
    pub tasks_late: u64,
    /// Faults held against it.
    pub faults: u32,
    /// When it joined.
    pub joined: Moment,
}

/// Who holds how much, and what moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementView {
    /// Every live worker, ascending by id.
    pub workers: Vec<LoadView>,
    /// Experts that are used so much that more workers than usual should hold them, ascending.
    pub hot: Vec<ExpertId>,
    /// Whether experts that are used together are held together: messages cost far more than computing.
    pub together: bool,
    /// The last moves, the latest last.
    pub recent: Vec<Move>,
    /// What would move if placement were looked at now.
    pub next: Vec<Move>,
}

/// One worker's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadView {
    /// The worker.
    pub id: NodeId,
    /// Its load in per cent of the mean.
    pub load_percent: u64,
    /// What a copy counts there, in per cent of what it counts at the median worker: more where it is slow, far or
    /// unreliable.
    pub handicap_percent: u64,
    /// Experts that it holds or shall hold.
    pub experts: usize,
    /// Their bytes.
    pub assigned_bytes: u64,
    /// The most bytes it may be given.
    pub memory_limit_bytes: u64,
}

/// Running totals since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Calls asked.
    pub calls: u64,
    /// Calls completed.
    pub calls_done: u64,
    /// Calls failed.
    pub calls_failed: u64,
    /// Calls that the caller gave up.
    pub calls_cancelled: u64,
    /// Tasks sent, re-issues included.
    pub tasks: u64,
    /// Tasks sent because an earlier one for the same experts was late, faulty or lost.
    pub reissues: u64,
    /// Tasks that passed their deadline.
    pub late: u64,
    /// Answers accepted.
    pub accepted: u64,
    /// Answers accepted although their deadline had passed.
    pub accepted_late: u64,
    /// Answers that came too late to be of use.
    pub ignored: u64,
    /// Faults reported, whether held against the worker or not.
    pub faults: u64,
    /// Workers expelled.
    pub expelled: u64,
    /// Tasks sent because an earlier one was slower than its worker usually is.
    pub backups: u64,
    /// Tasks for whose experts a second worker was asked from the start.
    pub doubled: u64,
    /// Checks begun.
    pub checks: u64,
    /// Tasks sent to witnesses of checks.
    pub witness_tasks: u64,
    /// Checks in which answers differed.
    pub disputes: u64,
    /// Checks that were settled from the checkpoint.
    pub recomputed: u64,
    /// Results beyond the tolerance of their engines.
    pub beyond_tolerance: u64,
    /// Times that a worker's results drifted: each tolerated, and too many on one side or too far off.
    pub drifts: u64,
    /// Workers whose result was proved wrong.
    pub liars: u64,
    /// Calls for which a wrong result had been accepted.
    pub retracted: u64,
    /// Experts that workers were told to hold.
    pub holds: u64,
    /// Experts that workers were told to drop.
    pub drops: u64,
}

/// What is going on at this moment. All zero when the core is at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    /// Calls not yet done or failed.
    pub calls: usize,
    /// Tasks not yet answered, given up ones of running calls included.
    pub tasks: usize,
    /// Experts of calls that wait for a holder or for a pause to end.
    pub waiting: usize,
    /// Copies that workers are told to load.
    pub loading: usize,
    /// Timers set.
    pub timers: usize,
    /// Checks under way.
    pub checks: usize,
}

/// How much of the model is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Experts of the model.
    pub experts: usize,
    /// Experts with at least one ready holder.
    pub covered: usize,
    /// Experts with as many ready holders as wanted.
    pub replicated: usize,
}

impl Coverage {
    /// Whether every expert has a ready holder, so that calls can be answered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.covered == self.experts
    }
}
