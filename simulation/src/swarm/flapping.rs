//! How long calls take beside somebody who joins, says that it is ready, is asked, says nothing, drops its link, and joins
//! again.
//!
//! Honest workers answer in log-normal times. Streams ask for call after call. The core is `neuro_orchestrator::Orchestrator`
//! with the settings that the product has, and gets the times alone: all answers are right.

use std::time::Duration;

use neuro_orchestrator::{
    Checks, Effect, ExpertLoad, ExpertSpec, Input, Orchestrator, Redundancy, Settings, Speed, Standing,
};
use neuro_primitives::{CallId, ExpertId, Moment, NodeId, TaskId};

use super::agenda::Agenda;
use super::chance::Chance;
use super::worker::MS;

/// Honest workers.
const HONEST: u64 = 4;

/// Experts of the only layer; a call asks for every second one.
const EXPERTS: u16 = 8;

/// Streams that ask.
const STREAMS: u64 = 4;

/// The median of a task, and the spread of its logarithm.
const MEDIAN_US: f64 = 10_000.0;
const SIGMA: f64 = 0.3;

/// How long the experiment lasts, and how long of it is not measured: the core learns the pace of the fleet first, alone.
const LASTS: u64 = 60_000 * MS;
const WARM_UP: u64 = 2_000 * MS;

/// How long one that is turned away waits before it tries again, and one that dropped its link.
const TURNED_AWAY: u64 = 100 * MS;
const BACK_AFTER: u64 = MS;

/// What the one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flapper {
    /// How long it stays once it was asked.
    pub stays: Duration,
    /// Whether it comes back under another name.
    pub renames: bool,
    /// Of its tasks it answers so many over each connection.
    pub answers: u64,
}

/// One experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experiment {
    /// Who flaps, if anybody does.
    pub flapper: Option<Flapper>,
    /// Which answers are checked.
    pub checks: Checks,
    /// Where its times come from.
    pub seed: u64,
}

/// What an experiment gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTimes {
    /// Calls that were measured.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Their median.
    pub p50: Duration,
    /// Their 99th percentile.
    pub p99: Duration,
    /// The longest.
    pub worst: Duration,
    /// Tasks that the flapper got.
    pub asked: u64,
    /// How often it was turned away.
    pub turned_away: u64,
}

#[derive(Debug)]
enum Event {
    Answer { task: TaskId, worker: NodeId, took: u64 },
    Ready { worker: NodeId, experts: Vec<ExpertId> },
    Join,
    Leave { connection: u64 },
}

#[derive(Debug)]
struct Bench {
    experiment: Experiment,
    core: Orchestrator,
    chance: Chance,
    agenda: Agenda<Event>,
    now: u64,
    wake: Option<u64>,
    last_call: u64,
    /// Calls under way, with when they began.
    open: Vec<(CallId, u64)>,
    times: Vec<u64>,
    failed: u64,
    link: Link,
    asked: u64,
    turned_away: u64,
}

/// The flapper's link.
#[derive(Debug, Default)]
struct Link {
    /// Raised at each connection.
    connection: u64,
    up: bool,
    /// Tasks that came over it.
    tasks: u64,
}

impl Experiment {
    /// Runs it.
    #[must_use]
    pub fn run(self) -> CallTimes {
        let mut bench = Bench::new(self);
        bench.run();
        bench.times.sort_unstable();
        let times = &bench.times;
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        let span = |us: Option<&u64>| Duration::from_micros(us.copied().unwrap_or(0));
        CallTimes {
            calls: times.len() as u64,
            failed: bench.failed,
            p50: span(at(50)),
            p99: span(at(99)),
            worst: span(times.last()),
            asked: bench.asked,
            turned_away: bench.turned_away,
        }
    }
}

fn name(number: u64) -> NodeId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    NodeId(id)
}

impl Bench {
    fn new(experiment: Experiment) -> Self {
        let experts = (0..EXPERTS).map(|expert| ExpertSpec { id: ExpertId { layer: 0, expert }, bytes: 1 });
        let settings = Settings { checks: experiment.checks, ..Settings::new(experts.collect()) };
        Self {
            experiment,
            core: Orchestrator::new(settings),
            chance: Chance::new(experiment.seed),
            agenda: Agenda::default(),
            now: 0,
            wake: None,
            last_call: 0,
            open: Vec::new(),
            times: Vec::new(),
            failed: 0,
            link: Link::default(),
            asked: 0,
            turned_away: 0,
        }
    }

    fn run(&mut self) {
        for number in 0..HONEST {
            let worker = name(number);
            self.step(Input::WorkerJoined { worker, memory_limit_bytes: EXPERTS.into() });
            let standing = Standing { valid: 300.0, streak: 300, timely: 300.0, ..Standing::default() };
            self.step(Input::WorkerKnown { worker, standing });
        }
        self.agenda.enter(WARM_UP, Event::Join);
        (0..STREAMS).for_each(|_| self.call());
        while self.now < LASTS {
            self.next();
        }
    }

    fn call(&mut self) {
        self.last_call += 1;
        let call = CallId(self.last_call);
        self.open.push((call, self.now));
        let odd = self.chance.below(2) as u16;
        let load = |half| ExpertLoad { expert: 2 * half + odd, rows: 1 };
        let experts = (0..EXPERTS / 2).map(load).collect();
        self.step(Input::Call { call, layer: 0, experts, redundancy: Redundancy::One });
    }

    fn next(&mut self) {
        let next = self.agenda.next_at();
        if let Some(wake) = self.wake.filter(|wake| next.is_none_or(|at| *wake < at)) {
            (self.now, self.wake) = (self.now.max(wake), None);
            return self.step(Input::Tick);
        }
        let Some((at, event)) = self.agenda.pop() else { return self.now = LASTS };
        self.now = self.now.max(at);
        match event {
            Event::Answer { task, worker, took } => {
                let compute_us = u32::try_from(took / 2).unwrap_or(u32::MAX);
                self.step(Input::Answered { task, worker, compute_us });
            }
            Event::Ready { worker, experts } => self.step(Input::WorkerReady { worker, experts }),
            Event::Join => self.join(),
            Event::Leave { connection } if self.link.up && self.link.connection == connection => {
                self.link.up = false;
                self.agenda.enter(self.now + BACK_AFTER, Event::Join);
                self.step(Input::WorkerLeft { worker: self.flapper() });
            }
            Event::Leave { .. } => {}
        }
    }

    /// Who the flapper is now.
    fn flapper(&self) -> NodeId {
        let renames = self.experiment.flapper.is_some_and(|flapper| flapper.renames);
        name(HONEST + if renames { self.link.connection } else { 0 })
    }

    /// The flapper joins, and says that it computes in no time.
    fn join(&mut self) {
        if self.experiment.flapper.is_none() {
            return;
        }
        self.link = Link { connection: self.link.connection + 1, up: true, tasks: 0 };
        let worker = self.flapper();
        self.step(Input::WorkerJoined { worker, memory_limit_bytes: EXPERTS.into() });
        if self.link.up {
            self.step(Input::WorkerCalibrated { worker, speeds: vec![Speed { rows: 1, row_ns: 1 }] });
        }
    }

    fn step(&mut self, input: Input) {
        for effect in self.core.step(input, Moment(self.now)) {
            match effect {
                Effect::Hold { worker, experts } => self.hold(worker, experts),
                Effect::SendTask { task, worker, .. } => self.work(task, worker),
                Effect::CallDone { call } => self.ended(call),
                Effect::CallFailed { call, .. } => {
                    self.failed += 1;
                    self.ended(call);
                }
                Effect::Compare { check, .. } => self.step(Input::Compared { check, same: true }),
                Effect::Recompute { check, .. } => self.step(Input::Recomputed { check, wrong: Vec::new() }),
                Effect::Expel { worker, .. } if worker == self.flapper() => {
                    self.link.up = false;
                    self.turned_away += 1;
                    self.agenda.enter(self.now + TURNED_AWAY, Event::Join);
                }
                Effect::WakeAt(at) => self.wake = Some(at.0),
                _ => {}
            }
        }
    }

    fn hold(&mut self, worker: NodeId, experts: Vec<ExpertId>) {
        let loads = if worker == self.flapper() { 0 } else { 5 * MS };
        self.agenda.enter(self.now + loads, Event::Ready { worker, experts });
    }

    fn work(&mut self, task: TaskId, worker: NodeId) {
        if let Some(flapper) = self.experiment.flapper.filter(|_| worker == self.flapper()) {
            self.asked += 1;
            self.link.tasks += 1;
            if self.link.tasks == flapper.answers + 1 {
                let stays = u64::try_from(flapper.stays.as_micros()).unwrap_or(u64::MAX);
                self.agenda.enter(self.now + stays, Event::Leave { connection: self.link.connection });
            }
            if self.link.tasks > flapper.answers {
                return;
            }
        }
        let took = (MEDIAN_US * (SIGMA * self.chance.normal()).exp()) as u64;
        self.agenda.enter(self.now + took, Event::Answer { task, worker, took });
    }

    fn ended(&mut self, call: CallId) {
        let Some(place) = self.open.iter().position(|(open, _)| *open == call) else { return };
        let (_, began) = self.open.swap_remove(place);
        if began >= WARM_UP {
            self.times.push(self.now - began);
        }
        self.call();
    }
}
