//! A fleet that becomes slow as a whole, for a while: deadlines must not make it slower.
//!
//! Workers serve one task after the other, so each task that is asked twice takes time from others. Calls come at fixed times.
//! The fleet keeps up while it is slow, but not if most tasks are asked twice.

use std::collections::BTreeMap;
use std::time::Duration;

use neuro_orchestrator::{Effect, ExpertLoad, ExpertSpec, Input, Orchestrator, Redundancy, Settings, Standing};
use neuro_primitives::{CallId, ExpertId, Moment, NodeId, TaskId};

use super::agenda::Agenda;
use super::chance::Chance;
use super::worker::MS;

const WORKERS: u8 = 8;
const EXPERTS: u16 = 8;
/// Experts of a call.
const FAN_OUT: u16 = 4;
/// Between two calls.
const EVERY: u64 = 4 * MS;
/// The median of computing one, and the spread of its logarithm: four tenths of the fleet's time.
const MEDIAN_US: f64 = 3_000.0;
const SIGMA: f64 = 0.3;
/// There and back.
const ROUND_TRIP: u64 = MS;
/// When the fleet is slow.
const SLOW: std::ops::Range<u64> = 10_000 * MS..14_000 * MS;
/// When it must be well again.
const WELL: u64 = SLOW.end + 1_000 * MS;
const END: u64 = WELL + 4_000 * MS;

/// What a slowdown costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowdown {
    /// The longest call that began a second after it, or later.
    pub worst_after: Duration,
    /// The 99th percentile of the calls that began in its time.
    pub p99: Duration,
    /// Calls that failed.
    pub failed: u64,
    /// Tasks that the calls of its time needed, and those that were sent beyond these.
    pub needed: u64,
    /// See `needed`.
    pub extra: u64,
}

enum Event {
    Call,
    Answer { task: TaskId, worker: NodeId, compute_us: u32 },
}

struct Bench {
    core: Orchestrator,
    chance: Chance,
    agenda: Agenda<Event>,
    now: u64,
    wake: Option<u64>,
    /// Until when each worker is busy.
    busy: BTreeMap<NodeId, u64>,
    slower: f64,
    calls: u64,
    began: BTreeMap<CallId, u64>,
    /// What calls took that began while the fleet was slow.
    times: Vec<u64>,
    result: Slowdown,
}

/// Runs it: everything takes `slower` times as long for four seconds.
#[must_use]
pub fn run(slower: f64, shortest_deadline: Duration, seed: u64) -> Slowdown {
    let experts = (0..EXPERTS).map(|expert| ExpertSpec { id: ExpertId { layer: 0, expert }, bytes: 1 });
    let settings = Settings { shortest_deadline, ..Settings::new(experts.collect()) };
    let nothing = Duration::ZERO;
    let mut bench = Bench {
        core: Orchestrator::new(settings),
        chance: Chance::new(seed),
        agenda: Agenda::default(),
        now: 0,
        wake: None,
        busy: BTreeMap::new(),
        slower,
        calls: 0,
        began: BTreeMap::new(),
        times: Vec::new(),
        result: Slowdown { worst_after: nothing, p99: nothing, failed: 0, needed: 0, extra: 0 },
    };
    for number in 1..=WORKERS {
        let worker = NodeId([number; 32]);
        bench.step(Input::WorkerJoined { worker, memory_limit_bytes: EXPERTS.into() });
        let standing = Standing { valid: 300.0, streak: 300, timely: 300.0, ..Standing::default() };
        bench.step(Input::WorkerKnown { worker, standing });
    }
    bench.agenda.enter(0, Event::Call);
    while bench.now < END {
        bench.next();
    }
    bench.times.sort_unstable();
    let p99 = bench.times.get(bench.times.len() * 99 / 100).copied().unwrap_or(0);
    Slowdown { p99: Duration::from_micros(p99), ..bench.result }
}

impl Bench {
    fn next(&mut self) {
        let next = self.agenda.next_at();
        if let Some(wake) = self.wake.filter(|wake| next.is_none_or(|at| *wake < at)) {
            (self.now, self.wake) = (self.now.max(wake), None);
            return self.step(Input::Tick);
        }
        let Some((at, event)) = self.agenda.pop() else { return self.now = END };
        self.now = self.now.max(at);
        match event {
            Event::Call => self.call(),
            Event::Answer { task, worker, compute_us } => self.step(Input::Answered { task, worker, compute_us }),
        }
    }

    fn call(&mut self) {
        self.calls += 1;
        let (call, first) = (CallId(self.calls), self.chance.below(EXPERTS.into()) as u16);
        let load = |step| ExpertLoad { expert: (first + step) % EXPERTS, rows: 1 };
        self.began.insert(call, self.now);
        self.agenda.enter(self.now + EVERY, Event::Call);
        self.step(Input::Call {
            call,
            layer: 0,
            experts: (0..FAN_OUT).map(load).collect(),
            redundancy: Redundancy::One,
        });
    }

    fn step(&mut self, input: Input) {
        let first = matches!(input, Input::Call { .. });
        for effect in self.core.step(input, Moment(self.now)) {
            match effect {
                Effect::Hold { worker, experts } => self.step(Input::WorkerReady { worker, experts }),
                Effect::SendTask { task, worker, experts, .. } => {
                    if SLOW.contains(&self.now) {
                        *(if first { &mut self.result.needed } else { &mut self.result.extra }) += 1;
                    }
                    self.work(task, worker, experts.len());
                }
                Effect::Compare { check, .. } => self.step(Input::Compared { check, same: true }),
                Effect::Recompute { check, .. } => self.step(Input::Recomputed { check, wrong: Vec::new() }),
                Effect::CallDone { call } => self.ended(call),
                Effect::CallFailed { call, .. } => {
                    self.result.failed += 1;
                    self.ended(call);
                }
                Effect::WakeAt(at) => self.wake = Some(at.0),
                _ => {}
            }
        }
    }

    fn work(&mut self, task: TaskId, worker: NodeId, experts: usize) {
        let slower = if SLOW.contains(&self.now) { self.slower } else { 1.0 };
        let took = (MEDIAN_US * experts as f64 * (SIGMA * self.chance.normal()).exp() * slower) as u64;
        let free = self.busy.entry(worker).or_default();
        *free = self.now.max(*free) + took;
        let compute_us = u32::try_from(took).unwrap_or(u32::MAX);
        self.agenda.enter(*free + ROUND_TRIP, Event::Answer { task, worker, compute_us });
    }

    fn ended(&mut self, call: CallId) {
        let Some(began) = self.began.remove(&call) else { return };
        let took = self.now - began;
        if SLOW.contains(&began) {
            self.times.push(took);
        }
        if began >= WELL {
            self.result.worst_after = self.result.worst_after.max(Duration::from_micros(took));
        }
    }
}
