//! How long a layer takes when some of its tasks do not come in time, and what backups make of it.
//!
//! Workers are independent: each task takes a log-normal time, whatever else its worker does. A layer is a call of one
//! expert a worker, as many as the fan-out, and takes as long as its slowest task. One stream asks for layer after layer.
//! The core is `neuro_orchestrator::Orchestrator` with the settings of the product, and gets the times alone: all answers are
//! right, and workers are off probation.

use std::collections::BTreeMap;
use std::time::Duration;

use neuro_orchestrator::{
    Counters, Effect, ExpertLoad, ExpertSpec, Input, Orchestrator, Redundancy, Settings, Standing,
};
use neuro_primitives::{CallId, ExpertId, Moment, NodeId, TaskId};

use super::agenda::Agenda;
use super::chance::Chance;

/// The median of a task, in microseconds.
const MEDIAN_US: f64 = 10_000.0;

/// The spread of its logarithm.
const SIGMA: f64 = 0.4;

/// How much longer a straggler takes.
const SLOWER: f64 = 20.0;

/// Layers before anything is measured: the core learns the pace of each worker first.
const WARM_UP: u64 = 2_000;

/// Layers that are measured. Two hundred of them lie beyond the 99th percentile.
const LAYERS: u64 = 20_000;

/// Holders of each expert.
const HOLDERS: u16 = 5;

/// What is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stragglers {
    /// Nothing.
    None,
    /// Of all tasks, so many in a hundred, whoever has them.
    Tasks(u32),
    /// Of the workers, so many in a hundred, always.
    Workers(u32),
}

/// One experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experiment {
    /// Experts, and so tasks, of a layer.
    pub fan_out: u16,
    /// What is slow.
    pub stragglers: Stragglers,
    /// Backup requests for each hundred tasks. With none, tasks are re-issued at their deadline.
    pub backups_percent: u32,
    /// Where its times come from.
    pub seed: u64,
}

/// What an experiment gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerTimes {
    /// The median of a layer.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// Tasks of the measured layers, all included but those of witnesses.
    pub tasks: u64,
    /// Those that were asked of a second worker before their deadline.
    pub backups: u64,
    /// Those that replaced one that was past its deadline.
    pub reissues: u64,
}

impl LayerTimes {
    /// Backups for each task that was needed.
    #[must_use]
    pub fn extra_load(&self) -> f64 {
        self.backups as f64 / (self.tasks - self.backups - self.reissues).max(1) as f64
    }
}

/// How many times longer the 99th percentile of a layer is with stragglers than without, all else equal, and both.
#[must_use]
pub fn p99_ratio(experiment: Experiment) -> (f64, LayerTimes, LayerTimes) {
    let with = experiment.run();
    let without = Experiment { stragglers: Stragglers::None, ..experiment }.run();
    (with.p99.as_secs_f64() / without.p99.as_secs_f64(), with, without)
}

impl Experiment {
    /// Runs it.
    #[must_use]
    pub fn run(self) -> LayerTimes {
        let mut bench = Bench::new(self);
        let _: u64 = (0..WARM_UP).map(|_| bench.layer()).sum();
        let before = bench.core.counters();
        let mut times: Vec<u64> = (0..LAYERS).map(|_| bench.layer()).collect();
        times.sort_unstable();
        let at = |percent: usize| Duration::from_micros(times[(times.len() * percent / 100).min(times.len() - 1)]);
        let (p50, p99, after) = (at(50), at(99), bench.core.counters());
        let grown = |of: fn(&Counters) -> u64| of(&after) - of(&before);
        LayerTimes {
            p50,
            p99,
            tasks: grown(|of| of.tasks - of.witness_tasks),
            backups: grown(|of| of.backups),
            reissues: grown(|of| of.reissues),
        }
    }
}

/// The core, its workers and the clock.
#[derive(Debug)]
struct Bench {
    experiment: Experiment,
    core: Orchestrator,
    chance: Chance,
    agenda: Agenda<(TaskId, NodeId, u64)>,
    now: u64,
    wake: Option<u64>,
    last_call: u64,
    /// Workers, and how much slower each is.
    slower: BTreeMap<NodeId, f64>,
}

impl Bench {
    fn new(experiment: Experiment) -> Self {
        let experts = (0..experiment.fan_out).map(|expert| ExpertId { layer: 0, expert });
        let settings = Settings {
            replicas: HOLDERS.into(),
            backups_percent: experiment.backups_percent,
            ..Settings::new(experts.map(|id| ExpertSpec { id, bytes: 1 }).collect())
        };
        let mut bench = Self {
            experiment,
            core: Orchestrator::new(settings),
            chance: Chance::new(experiment.seed),
            agenda: Agenda::default(),
            now: 0,
            wake: None,
            last_call: 0,
            slower: BTreeMap::new(),
        };
        bench.populate();
        bench
    }

    /// As many workers as there are copies, each with room for one.
    fn populate(&mut self) {
        let count = u64::from(self.experiment.fan_out * HOLDERS);
        let slow = match self.experiment.stragglers {
            Stragglers::Workers(percent) => (count * u64::from(percent)).div_ceil(100),
            _ => 0,
        };
        for number in 0..count {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            self.slower.insert(NodeId(id), if number < slow { SLOWER } else { 1.0 });
            self.step(Input::WorkerJoined { worker: NodeId(id), memory_limit_bytes: 1 });
            let standing = Standing { valid: 300.0, streak: 300, timely: 300.0, ..Standing::default() };
            self.step(Input::WorkerKnown { worker: NodeId(id), standing });
        }
    }

    /// One layer, from the call to its last answer, in microseconds.
    fn layer(&mut self) -> u64 {
        self.last_call += 1;
        let (call, started) = (CallId(self.last_call), self.now);
        let experts = (0..self.experiment.fan_out).map(|expert| ExpertLoad { expert, rows: 1 }).collect();
        let mut done = self.step(Input::Call { call, layer: 0, experts, redundancy: Redundancy::One });
        while !done {
            done = self.next();
        }
        self.now - started
    }

    /// The next thing that happens; whether it ends the layer.
    fn next(&mut self) -> bool {
        let answer = self.agenda.next_at();
        match self.wake.filter(|wake| answer.is_none_or(|at| *wake < at)) {
            Some(wake) => {
                (self.now, self.wake) = (self.now.max(wake), None);
                self.step(Input::Tick)
            }
            None => {
                let Some((at, (task, worker, took))) = self.agenda.pop() else { return true };
                self.now = self.now.max(at);
                self.step(Input::Answered { task, worker, compute_us: u32::try_from(took / 2).unwrap_or(u32::MAX) })
            }
        }
    }

    fn step(&mut self, input: Input) -> bool {
        let mut done = false;
        for effect in self.core.step(input, Moment(self.now)) {
            match effect {
                Effect::Hold { worker, experts } => done |= self.step(Input::WorkerReady { worker, experts }),
                Effect::SendTask { task, worker, .. } => self.work(task, worker),
                Effect::Compare { check, .. } => done |= self.step(Input::Compared { check, same: true }),
                Effect::Recompute { check, .. } => done |= self.step(Input::Recomputed { check, wrong: Vec::new() }),
                Effect::CallDone { .. } | Effect::CallFailed { .. } => done = true,
                Effect::WakeAt(at) => self.wake = Some(at.0),
                _ => {}
            }
        }
        done
    }

    fn work(&mut self, task: TaskId, worker: NodeId) {
        let unlucky = match self.experiment.stragglers {
            Stragglers::Tasks(percent) if self.chance.percent(percent.into()) => SLOWER,
            _ => 1.0,
        };
        let slower = self.slower.get(&worker).copied().unwrap_or(1.0) * unlucky;
        let took = (MEDIAN_US * (SIGMA * self.chance.normal()).exp() * slower) as u64;
        self.agenda.enter(self.now + took, (task, worker, took));
    }
}
