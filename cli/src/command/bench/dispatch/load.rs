//! Calls for the core, and workers that answer at once: what scheduler, transitioner and validator cost by themselves.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use neuro_orchestrator::{Checks, Effect, ExpertLoad, ExpertSpec, Input, Orchestrator, Redundancy, Settings, Standing};
use neuro_primitives::{CallId, ExpertId, Moment, NodeId, TaskId};

/// Experts of a call: what a token is routed to.
const ROUTED: u64 = 8;
/// What a worker needs for a task, in microseconds of the made-up clock.
const ANSWER_US: u64 = 300;
/// Calls that are under way together, as of so many sequences.
const TOGETHER: u64 = 32;

/// A swarm that answers at once.
pub struct Load {
    core: Orchestrator,
    layers: u16,
    experts: u16,
    now: u64,
    random: u64,
    calls: u64,
    tasks: u64,
    /// Tasks that are not answered yet.
    open: VecDeque<Open>,
}

/// A task under way.
struct Open {
    task: TaskId,
    worker: NodeId,
    /// Its share of the time that sending took.
    sending: Duration,
}

/// What a run took.
pub struct Cost {
    /// Micro-tasks that were sent.
    pub tasks: u64,
    /// Time in the core.
    pub core: Duration,
    /// Time in the core of each micro-task: its share of sending, and its answer. Ascending.
    pub per_task: Vec<Duration>,
}

impl Load {
    /// `workers` workers off probation that hold `replicas` copies of `layers` × `experts` experts.
    pub fn new(workers: u64, layers: u16, experts: u16, replicas: usize) -> Self {
        let ids = (0..layers).flat_map(|layer| (0..experts).map(move |expert| ExpertId { layer, expert }));
        let specs = ids.map(|id| ExpertSpec { id, bytes: 1 }).collect();
        let settings =
            Settings { replicas, checks: Checks::SAMPLED, gather_workers: workers as usize, ..Settings::new(specs) };
        let core = Orchestrator::new(settings);
        let mut load = Self { core, layers, experts, now: 1, random: 1, calls: 0, tasks: 0, open: VecDeque::new() };
        for number in 0..workers {
            let worker = load.worker(number);
            load.feed(Input::WorkerJoined { worker, memory_limit_bytes: u64::from(layers) * u64::from(experts) });
            let standing = Standing { valid: 500.0, streak: 500, timely: 500.0, ..Standing::default() };
            load.feed(Input::WorkerKnown { worker, standing });
        }
        load
    }

    /// Copies that workers hold.
    pub fn pairs(&self) -> u64 {
        self.core.workers().iter().map(|worker| worker.experts_ready as u64).sum()
    }

    /// Runs calls until `span` has passed.
    pub fn run(&mut self, span: Duration) -> Cost {
        let (began, before) = (Instant::now(), self.tasks);
        let mut per_task = Vec::new();
        while began.elapsed() < span {
            self.round(&mut per_task);
        }
        let core = per_task.iter().sum();
        per_task.sort_unstable();
        Cost { tasks: self.tasks - before, core, per_task }
    }

    /// A round of calls and their answers.
    fn round(&mut self, per_task: &mut Vec<Duration>) {
        for _ in 0..TOGETHER {
            self.calls += 1;
            let (call, layer) = (CallId(self.calls), u16::try_from(self.below(self.layers.into())).unwrap_or(0));
            let experts = self.routes();
            let first = self.open.len();
            let spent = self.feed(Input::Call { call, layer, experts, redundancy: Redundancy::One });
            let sent = u32::try_from(self.open.len() - first).unwrap_or(u32::MAX);
            let sending = spent.checked_div(sent).unwrap_or_default();
            self.open.range_mut(first..).for_each(|open| open.sending = sending);
        }
        self.now += ANSWER_US;
        while let Some(Open { task, worker, sending }) = self.open.pop_front() {
            self.now += 1;
            per_task.push(sending + self.feed(Input::Answered { task, worker, compute_us: 100 }));
        }
    }

    fn routes(&mut self) -> Vec<ExpertLoad> {
        let first = self.below(self.experts.into());
        let step = 1 + self.below(u64::from(self.experts) / ROUTED);
        let numbers = (0..ROUTED).map(|place| (first + place * step) % u64::from(self.experts));
        numbers.map(|expert| ExpertLoad { expert: u16::try_from(expert).unwrap_or(0), rows: 1 }).collect()
    }

    /// Feeds an input and what follows from it; the time in the core.
    fn feed(&mut self, input: Input) -> Duration {
        let mut inputs = VecDeque::from([input]);
        let mut spent = Duration::ZERO;
        while let Some(input) = inputs.pop_front() {
            let began = Instant::now();
            let effects = self.core.step(input, Moment(self.now));
            spent += began.elapsed();
            inputs.extend(effects.into_iter().filter_map(|effect| self.perform(effect)));
        }
        spent
    }

    fn perform(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Hold { worker, experts } => Some(Input::WorkerReady { worker, experts }),
            Effect::SendTask { task, worker, .. } => {
                self.tasks += 1;
                self.open.push_back(Open { task, worker, sending: Duration::ZERO });
                None
            }
            Effect::Compare { check, .. } => Some(Input::Compared { check, same: true }),
            Effect::Recompute { check, .. } => Some(Input::Recomputed { check, wrong: Vec::new() }),
            _ => None,
        }
    }

    #[allow(clippy::unused_self, reason = "names are made in one place")]
    fn worker(&self, number: u64) -> NodeId {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        NodeId(id)
    }

    /// `SplitMix64`.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
