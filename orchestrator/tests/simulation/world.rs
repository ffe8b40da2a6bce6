//! The world around the core, and what must hold in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use neuro_orchestrator::{Checks, Effect, ExpertLoad, ExpertSpec, Fault, InFlight, Input, Orchestrator, Settings};
use neuro_primitives::{CallId, ExpertId, Moment, NodeId, TaskId};

const MS: u64 = 1_000;
const LAYERS: u16 = 3;
const EXPERTS: u16 = 6;
const EXPERT_BYTES: u64 = 10;
const ALL_BYTES: u64 = LAYERS as u64 * EXPERTS as u64 * EXPERT_BYTES;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Good,
    Slow,
    Silent,
    Wrong,
    Overloaded,
}

#[derive(Debug)]
struct Worker {
    connected: bool,
    /// Raised at each connection: what an earlier connection sent does not arrive.
    epoch: u64,
    limit: u64,
    manner: Manner,
    /// Since when it answers every task in time.
    good_since: u64,
    /// Told to hold and not told to drop.
    told: BTreeSet<ExpertId>,
    /// Reported ready and not told to drop, with the moment of the report.
    reported: BTreeMap<ExpertId, u64>,
}

#[derive(Debug)]
struct Call {
    layer: u16,
    started: u64,
    missing: BTreeSet<u16>,
    accepted: BTreeSet<u16>,
    tried: BTreeMap<u16, BTreeSet<NodeId>>,
}

#[derive(Debug, Clone)]
struct Task {
    call: CallId,
    worker: NodeId,
    experts: Vec<u16>,
}

/// A worker and which of its connections.
type Connection = (NodeId, u64);

pub struct World {
    pub core: Orchestrator,
    /// Every effect, if somebody wants to compare.
    pub log: Option<Vec<String>>,
    now: u64,
    random: u64,
    sequence: u64,
    /// What happens when: (moment, order) to the event and the connection that it comes over.
    events: BTreeMap<(u64, u64), (Input, Connection)>,
    wake: Option<u64>,
    workers: BTreeMap<NodeId, Worker>,
    calls: BTreeMap<CallId, Call>,
    tasks: BTreeMap<TaskId, Task>,
    next_call: u64,
    healed: bool,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let experts = (0..LAYERS).flat_map(|layer| (0..EXPERTS).map(move |expert| ExpertId { layer, expert }));
        let specs = experts.map(|id| ExpertSpec { id, bytes: EXPERT_BYTES }).collect();
        let settings = Settings {
            task_deadline: Duration::from_millis(50),
            call_patience: Duration::from_millis(400),
            max_attempts: 3,
            max_faults: 4,
            checks: Checks::Trusting,
            shortest_deadline: Duration::from_millis(5),
            load_patience: Duration::from_secs(5),
            ..Settings::new(specs)
        };
        let mut world = Self {
            core: Orchestrator::new(settings),
            log: None,
            now: 0,
            random: seed,
            sequence: 0,
            events: BTreeMap::new(),
            wake: None,
            workers: BTreeMap::new(),
            calls: BTreeMap::new(),
            tasks: BTreeMap::new(),
            next_call: 0,
            healed: false,
        };
        for index in 0..2 + world.below(6) {
            let limit = ALL_BYTES * (5 + world.below(12)) / 10;
            let (id, manner) = (NodeId([u8::try_from(index).unwrap() + 1; 32]), world.manner());
            let worker = Worker {
                connected: false,
                epoch: 0,
                limit,
                manner,
                good_since: 0,
                told: BTreeSet::new(),
                reported: BTreeMap::new(),
            };
            world.workers.insert(id, worker);
        }
        world
    }

    /// SplitMix64.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn manner(&mut self) -> Manner {
        match self.below(10) {
            0 => Manner::Slow,
            1 => Manner::Silent,
            2 => Manner::Wrong,
            3 => Manner::Overloaded,
            _ => Manner::Good,
        }
    }

    /// Many things happen, good and bad.
    pub fn run_wild(&mut self, things: u64) {
        for _ in 0..things {
            self.something();
            let until = self.now + self.below(10 * MS);
            self.run_until(until);
        }
    }

    fn something(&mut self) {
        let ids: Vec<NodeId> = self.workers.keys().copied().collect();
        let id = ids[usize::try_from(self.below(ids.len() as u64)).unwrap()];
        match self.below(40) {
            0 => self.leave(id),
            1..=4 => self.join(id),
            5 => {
                let (manner, now) = (self.manner(), self.now);
                let worker = self.workers.get_mut(&id).unwrap();
                if worker.manner != manner {
                    (worker.manner, worker.good_since) = (manner, now);
                }
            }
            6 => {
                let call = CallId(self.below(self.next_call + 1));
                self.calls.remove(&call);
                self.step(Input::CallCancelled { call });
            }
            7 => self.step(Input::Answered { task: TaskId(7), worker: id, compute_us: 1 }),
            _ => self.call(),
        }
    }

    fn call(&mut self) {
        self.next_call += 1;
        let (id, layer) = (CallId(self.next_call), u16::try_from(self.below(u64::from(LAYERS))).unwrap());
        let mut experts = Vec::new();
        for expert in 0..EXPERTS {
            if self.below(3) == 0 {
                let rows = 1 + u32::try_from(self.below(8)).unwrap();
                experts.push(ExpertLoad { expert, rows });
            }
        }
        let missing = experts.iter().map(|load| load.expert).collect();
        let call = Call { layer, started: self.now, missing, accepted: BTreeSet::new(), tried: BTreeMap::new() };
        self.calls.insert(id, call);
        self.step(Input::Call { call: id, layer, experts });
    }

    fn join(&mut self, id: NodeId) {
        let worker = self.workers.get_mut(&id).unwrap();
        if worker.connected {
            return;
        }
        (worker.connected, worker.epoch, worker.good_since) = (true, worker.epoch + 1, self.now);
        let memory_limit_bytes = worker.limit;
        self.step(Input::WorkerJoined { worker: id, memory_limit_bytes });
    }

    fn disconnect(&mut self, id: NodeId) {
        let worker = self.workers.get_mut(&id).unwrap();
        worker.connected = false;
        worker.told.clear();
        worker.reported.clear();
        self.tasks.retain(|_, task| task.worker != id);
    }

    fn leave(&mut self, id: NodeId) {
        if self.workers[&id].connected {
            self.disconnect(id);
            self.step(Input::WorkerLeft { worker: id });
        }
    }

    fn later(&mut self, delay: u64, input: Input, from: NodeId) {
        self.sequence += 1;
        let epoch = self.workers[&from].epoch;
        self.events.insert((self.now + delay, self.sequence), (input, (from, epoch)));
    }

    /// Carries out everything that is due up to `until`.
    fn run_until(&mut self, until: u64) {
        loop {
            let event = self.events.first_key_value().map(|(key, _)| *key).filter(|key| key.0 <= until);
            let wake = self.wake.filter(|wake| *wake <= until);
            match (event, wake) {
                (Some(key), wake) if wake.is_none_or(|wake| key.0 <= wake) => self.happen(key),
                (_, Some(wake)) => {
                    (self.now, self.wake) = (wake.max(self.now), None);
                    self.step(Input::Tick);
                }
                _ => break,
            }
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, key: (u64, u64)) {
        let (input, (id, epoch)) = self.events.remove(&key).unwrap();
        self.now = key.0.max(self.now);
        let worker = self.workers.get_mut(&id).unwrap();
        if !worker.connected || worker.epoch != epoch {
            return;
        }
        if let Input::WorkerReady { experts, .. } = &input {
            let told: Vec<ExpertId> = experts.iter().copied().filter(|expert| worker.told.contains(expert)).collect();
            worker.reported.extend(told.into_iter().map(|expert| (expert, key.0)));
        }
        if let Input::ExpertFailed { expert, .. } = &input {
            worker.told.remove(expert);
        }
        self.step(input);
    }

    fn step(&mut self, input: Input) {
        let answered = match &input {
            Input::Answered { task, worker, .. } => {
                Some(*task).filter(|task| self.tasks.get(task).is_some_and(|sent| sent.worker == *worker))
            }
            _ => None,
        };
        if let Input::Faulty { task, .. } = &input {
            self.tasks.remove(task);
        }
        let effects = self.core.step(input, Moment(self.now));
        for effect in effects {
            let now = self.now;
            if let Some(log) = &mut self.log {
                log.push(format!("{now} {effect:?}"));
            }
            self.carry_out(effect, answered);
        }
        if let Some(task) = answered {
            self.tasks.remove(&task);
        }
    }

    fn carry_out(&mut self, effect: Effect, answered: Option<TaskId>) {
        match effect {
            Effect::Hold { worker, experts } => self.hold(worker, experts),
            Effect::Drop { worker, experts } => self.drop_experts(worker, &experts, answered),
            Effect::SendTask { task, call, worker, experts, .. } => self.send(task, Task { call, worker, experts }),
            Effect::CancelTask { task, worker } => {
                assert!(self.workers[&worker].connected, "a task is cancelled at a worker that left");
                self.tasks.remove(&task);
            }
            Effect::AcceptAnswer { task, call, experts } => {
                assert_eq!(Some(task), answered, "an answer is accepted in the step that reports it");
                assert_eq!((&self.tasks[&task].experts, self.tasks[&task].call), (&experts, call), "whole answers");
                let call = self.calls.get_mut(&call).expect("a live call");
                for expert in experts {
                    assert!(call.missing.remove(&expert) && call.accepted.insert(expert), "accepted exactly once");
                }
            }
            Effect::CallDone { call } => {
                let call = self.calls.remove(&call).expect("a call ends once");
                assert!(call.missing.is_empty(), "done with {:?} missing", call.missing);
            }
            Effect::CallFailed { call, error } => {
                let call = self.calls.remove(&call).expect("a call ends once");
                let helpless = call.missing.iter().any(|expert| !self.good_holder(&call, *expert));
                assert!(helpless, "failed with {error}, but good holders of everything lived all the time: {call:?}");
            }
            Effect::Expel { worker, .. } => self.disconnect(worker),
            Effect::WakeAt(at) => self.wake = Some(at.0),
            other => panic!("nothing is checked here, yet {other:?}"),
        }
    }

    /// Whether somebody held the expert and answered well since before the call.
    fn good_holder(&self, call: &Call, expert: u16) -> bool {
        let id = ExpertId { layer: call.layer, expert };
        self.workers.values().any(|worker| {
            let since = worker.reported.get(&id).map(|at| worker.good_since.max(*at));
            worker.connected && worker.manner == Manner::Good && since.is_some_and(|since| since < call.started)
        })
    }

    fn hold(&mut self, id: NodeId, experts: Vec<ExpertId>) {
        assert!(self.workers[&id].connected, "told to hold after it left");
        for expert in experts {
            let fails = !self.healed && self.below(15) == 0;
            let stuck = !self.healed && self.below(100) == 0;
            let worker = self.workers.get_mut(&id).unwrap();
            worker.told.insert(expert);
            worker.reported.remove(&expert);
            assert!(worker.told.len() as u64 * EXPERT_BYTES <= worker.limit, "memory limit");
            let delay = self.below(30 * MS);
            if fails {
                self.later(delay, Input::ExpertFailed { worker: id, expert, reason: "disk full".into() }, id);
            } else if !stuck {
                self.later(delay, Input::WorkerReady { worker: id, experts: vec![expert] }, id);
            }
        }
    }

    fn drop_experts(&mut self, id: NodeId, experts: &[ExpertId], answered: Option<TaskId>) {
        assert!(self.workers[&id].connected, "told to drop after it left");
        for expert in experts {
            let worker = self.workers.get_mut(&id).unwrap();
            worker.told.remove(expert);
            if worker.reported.remove(expert).is_none() {
                continue;
            }
            let others = self.workers.values().filter(|other| other.reported.contains_key(expert)).count();
            assert!(others > 0, "the last ready copy of {expert} was dropped");
            let uses = |(id_of_task, task): &(&TaskId, &Task)| {
                let layer = self.calls.get(&task.call).map(|call| call.layer);
                Some(**id_of_task) != answered
                    && task.worker == id
                    && layer == Some(expert.layer)
                    && task.experts.contains(&expert.expert)
            };
            assert!(self.tasks.iter().find(uses).is_none(), "{expert} was dropped with a task in flight");
        }
    }

    fn send(&mut self, id: TaskId, task: Task) {
        let call = self.calls.get_mut(&task.call).expect("a task for a live call");
        assert!(!task.experts.is_empty() && task.experts.is_sorted());
        for expert in &task.experts {
            let name = ExpertId { layer: call.layer, expert: *expert };
            assert!(call.missing.contains(expert), "{name} was sent after it was accepted");
            let holders: Vec<NodeId> = self
                .workers
                .iter()
                .filter(|(_, worker)| worker.reported.contains_key(&name))
                .map(|(id, _)| *id)
                .collect();
            assert!(holders.contains(&task.worker), "{name} was sent to a worker that does not hold it");
            let tried = call.tried.entry(*expert).or_default();
            let untried = holders.iter().any(|holder| !tried.contains(holder));
            assert!(!untried || !tried.contains(&task.worker), "{name} was sent again to the same worker");
            tried.insert(task.worker);
        }
        let (worker, manner) = (task.worker, self.workers[&task.worker].manner);
        self.tasks.insert(id, task);
        let good = 200 + self.below(5 * MS);
        let answer = Input::Answered { task: id, worker, compute_us: 150 };
        match manner {
            Manner::Good => self.later(good, answer, worker),
            Manner::Slow => self.later(good * 40, answer, worker),
            Manner::Silent => {}
            Manner::Wrong => self.later(good, Input::Faulty { task: id, worker, fault: Fault::BadValue }, worker),
            Manner::Overloaded => {
                self.later(good, Input::Faulty { task: id, worker, fault: Fault::Overloaded }, worker)
            }
        }
    }

    /// Everybody is good from now on, comes back, and all work is finished.
    pub fn heal(&mut self) {
        self.healed = true;
        self.run_until(self.now + 700_000 * MS);
        let ids: Vec<NodeId> = self.workers.keys().copied().collect();
        for id in &ids {
            let worker = self.workers.get_mut(id).unwrap();
            (worker.manner, worker.good_since) = (Manner::Good, self.now);
        }
        for id in ids {
            self.join(id);
        }
        self.run_until(self.now + 100_000 * MS);
        for _ in 0..50 {
            self.call();
            self.run_until(self.now + MS);
        }
        self.run_until(self.now + 100_000 * MS);
    }

    pub fn check_at_rest(&self) {
        assert!(self.calls.is_empty(), "calls without an end: {:?}", self.calls);
        assert_eq!(self.core.in_flight(), InFlight::default(), "something leaked");
        let capacity: u64 =
            self.workers.values().map(|worker| worker.limit.min(ALL_BYTES) / EXPERT_BYTES * EXPERT_BYTES).sum();
        for view in self.core.workers() {
            assert!(view.assigned_bytes <= view.memory_limit_bytes, "memory limit");
            assert_eq!(view.in_flight, 0, "a task leaked");
        }
        let wanted = usize::from(capacity >= ALL_BYTES) + usize::from(capacity >= 2 * ALL_BYTES);
        for layer in 0..LAYERS {
            for expert in 0..EXPERTS {
                let id = ExpertId { layer, expert };
                let holders: Vec<NodeId> = self
                    .workers
                    .iter()
                    .filter(|(_, worker)| worker.reported.contains_key(&id))
                    .map(|(id, _)| *id)
                    .collect();
                assert_eq!(holders, self.core.holders_of(id), "{id}");
                assert!(holders.len() >= wanted, "{id} is on {} of {wanted} workers", holders.len());
            }
        }
    }
}
