//! What the core is told once, and the bounds that it sets itself.

use std::time::Duration;

use neuro_primitives::ExpertId;

use crate::tolerance::ToleranceTable;

/// The model's experts and the policy. Start from [`Settings::new`] and change what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Every expert of the model. The order does not matter; of equal ids the first counts.
    pub experts: Vec<ExpertSpec>,
    /// On how many workers each expert should be ready. At least 1.
    pub replicas: usize,
    /// How long a task may take before somebody else is asked. Tasks that are expected to compute long get more, up to
    /// [`DEADLINE_STRETCH`] times as much.
    pub task_deadline: Duration,
    /// The least that a task gets, however fast its worker usually is: a hiccup of its machine or its link is not held against
    /// it. Five times as long, and a layer of tasks of ten milliseconds waits for a straggler six times as long as it should.
    pub shortest_deadline: Duration,
    /// How long a call waits for an expert that nobody holds.
    pub call_patience: Duration,
    /// How many tasks are sent for one expert of a call before it fails. Holders that were not yet tried come on top:
    /// a call does not fail while there is one.
    pub max_attempts: u32,
    /// How many faults expel a worker, over all its connections; half of them are forgotten every hour. One that is
    /// asked and stays silent for this many task deadlines is expelled too.
    pub max_faults: u32,
    /// Which answers are checked.
    pub checks: Checks,
    /// What draws are made from: random, and known to no worker.
    pub secret: [u8; 32],
    /// How far results of engines that are not exact may differ.
    pub tolerances: ToleranceTable,
    /// Backup requests for each hundred tasks.
    pub backups_percent: u32,
    /// How long a worker may load without reporting one more expert ready before its loads are given to others.
    pub load_patience: Duration,
    /// How long a worker off probation must have been connected, all its connections together, to count as *proven*: the
    /// last copy at a proven worker is not given up for copies at others. Shorter, and identities made for the purpose
    /// get there; with `Trusting`, nobody does.
    pub proven_after: Duration,
    /// The first placement waits until this many workers have joined, so that workers started together share the model
    /// from the start and the first one does not fetch all of it. 0 and 1 place at once.
    pub gather_workers: usize,
    /// How long the first placement waits after the first worker joined.
    pub gather_patience: Duration,
}

/// Which answers are checked, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// None: all workers are one's own.
    Trusting,
    /// Each before it is used.
    Verified,
    /// Those of workers on probation before they are used; of others some, by chance, after they were.
    Sampled {
        /// Of the best worker, one in so many.
        at_least_one_in: u32,
        /// Results of a worker that are used while one of its earlier ones is being checked.
        meanwhile: u32,
    },
}

impl Checks {
    /// One in fifty, sixteen meanwhile: more than 700 wrong results of one identity are used with a chance below 10^-6, since
    /// `(1 - 1/50)^684 < 10^-6`. If it lies about few rows of many, 1,250: 7/16 of the checks may look at rows of nobody's
    /// alone, and `(1 - 9/16/50)^1234 < 10^-6`.
    pub const SAMPLED: Self = Self::Sampled { at_least_one_in: 50, meanwhile: 16 };
}

/// One expert as placement sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertSpec {
    /// Its name.
    pub id: ExpertId,
    /// What it takes of a worker's memory limit, in bytes.
    pub bytes: u64,
}

impl Settings {
    /// The default policy for a model with these experts.
    #[must_use]
    pub fn new(experts: Vec<ExpertSpec>) -> Self {
        Self {
            experts,
            replicas: 2,
            task_deadline: Duration::from_secs(2),
            shortest_deadline: Duration::from_millis(20),
            call_patience: Duration::from_secs(30),
            max_attempts: 4,
            max_faults: 5,
            checks: Checks::SAMPLED,
            secret: [0; 32],
            tolerances: ToleranceTable::default(),
            backups_percent: 10,
            load_patience: Duration::from_secs(120),
            proven_after: Duration::from_secs(600),
            gather_workers: 0,
            gather_patience: Duration::from_secs(5),
        }
    }
}

/// Experts that a worker is told to load at a time. Enough to keep its link and disk busy; what is not yet told can be
/// given to a worker that joins meanwhile, without a byte moved. Twice as many would double what a join cannot move.
pub const LOADS_AT_ONCE: usize = 32;

/// How long a worker that failed to load an expert is not asked for it again. Shorter, and a worker with a full disk
/// is asked all the time; longer, and a model without spare workers stays incomplete.
pub const LOAD_RETRY: Duration = Duration::from_secs(30);

/// How much longer than [`Settings::task_deadline`] a task that is expected to compute long may take. Bounds what one
/// stalled worker can cost a call.
pub const DEADLINE_STRETCH: u32 = 8;

/// How long to wait before the only holder of an expert is asked again after it refused. Twice as long after each
/// further refusal.
pub const REFUSAL_PAUSE: Duration = Duration::from_millis(20);

/// How long a worker that was expelled for faults is turned away, and a silent one at most.
pub const EXPELLED_FOR: Duration = Duration::from_secs(600);

/// How long a worker is turned away after the second of its connections that ended in silence; after the first one it may
/// come back at once, after each further one it waits twice as long. A worker that crashed twice misses a few seconds.
pub const SILENT_FOR: Duration = Duration::from_secs(5);

/// How many expelled workers are remembered; the one whose time ends first is forgotten when there are more.
pub const MAX_EXPELLED: usize = 4096;

/// Round trips kept per worker for quantiles. 256 give the 95th percentile from a dozen samples above it.
pub const LATENCY_WINDOW: usize = 256;

/// Tasks per worker that were given up and may still be answered: such an answer shows that the worker lives and how
/// slow it is. Older ones are forgotten.
pub const GIVEN_UP_WINDOW: usize = 64;

/// Serial cost of one more message to the sender, in microseconds: building, encrypting and writing it, and reading its
/// answer. Splitting work over one more worker must save more than this.
pub const MESSAGE_US: u64 = 50;

/// After this many calls the use of experts is looked at again, and a few experts move if it is badly spread.
pub const REBALANCE_CALLS: u64 = 4096;

/// Experts that move at such a look: few, since a move costs a transfer and the next look comes soon.
pub const REBALANCE_MOVES: usize = 8;
