//! The swarm: who is there, what is on its way, and what befalls it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use neuro_orchestrator::{ExpertSpec, Input, Orchestrator, Settings, Standing};
use neuro_primitives::{CallId, ExpertId, NodeId, TaskId};

use super::agenda::Agenda;
use super::chance::Chance;
use super::client::{End, Request};
use super::driver::Books;
use super::faults::{Conduct, Liar, Mishap};
use super::invariants::Invariant;
use super::report::{Broken, Policy, Tally};
use super::story::Story;
use super::worker::{MS, Said, Worker};

/// Layers of the model.
pub(crate) const LAYERS: u16 = 3;
/// Experts of a layer.
pub(crate) const EXPERTS: u16 = 6;
/// Bytes of one.
pub(crate) const EXPERT_BYTES: u64 = 10;

/// Things that befall a swarm before it comes to rest.
const THINGS: u64 = 300;

/// The longest pause between two of them, in microseconds.
const PAUSE: u64 = 10 * MS;

/// Calls in which liars that fooled a check must be found once they lie in every answer.
const CALLS_TO_FIND_LIARS: usize = 600;

/// What is on its way.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something from a worker, over one of its connections.
    Said { worker: NodeId, epoch: u64, said: Said },
    /// A comparison or a recomputation of one of the orchestrators.
    Settled { incarnation: u64, input: Input },
    /// The driver notices that a link carries nothing.
    Noticed { worker: NodeId, epoch: u64 },
    /// A worker connects.
    Return(NodeId),
}

/// One swarm.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) policy: Policy,
    pub(crate) core: Orchestrator,
    /// Which orchestrator this is: one more after each restart.
    pub(crate) incarnation: u64,
    pub(crate) now: u64,
    pub(crate) chance: Chance,
    pub(crate) agenda: Agenda<Event>,
    pub(crate) wake: Option<u64>,
    pub(crate) workers: BTreeMap<NodeId, Worker>,
    pub(crate) requests: BTreeMap<CallId, Request>,
    pub(crate) open_calls: usize,
    pub(crate) last_call: u64,
    pub(crate) books: Books,
    /// What the store has: conduct of workers, for the next orchestrator.
    pub(crate) standings: BTreeMap<NodeId, Standing>,
    /// What the store has: workers that must not be admitted.
    pub(crate) convicted: BTreeSet<NodeId>,
    /// Wrong answers that were used, by worker.
    pub(crate) wrong_used: BTreeMap<NodeId, u64>,
    /// Workers whose wrong answer passed a comparison.
    pub(crate) fooling: BTreeSet<NodeId>,
    pub(crate) tally: Tally,
    pub(crate) story: Story,
    pub(crate) broken: Option<(Invariant, String)>,
}

impl World {
    /// The swarm of a seed, before anybody has joined.
    pub(crate) fn new(policy: Policy, seed: u64, told: bool) -> Self {
        let mut world = Self {
            seed,
            policy,
            core: Orchestrator::new(settings(policy, seed)),
            incarnation: 0,
            now: 0,
            chance: Chance::new(seed),
            agenda: Agenda::default(),
            wake: None,
            workers: BTreeMap::new(),
            requests: BTreeMap::new(),
            open_calls: 0,
            last_call: 0,
            books: Books::default(),
            standings: BTreeMap::new(),
            convicted: BTreeSet::new(),
            wrong_used: BTreeMap::new(),
            fooling: BTreeSet::new(),
            tally: Tally::default(),
            story: Story::new(told),
            broken: None,
        };
        world.populate();
        world
    }

    /// Two to eight workers; in most swarms one means ill, in some there is a pact.
    fn populate(&mut self) {
        let count = 2 + self.chance.below(7);
        let pact = self.chance.percent(25);
        for number in 1..=count {
            let conduct = match (number, self.chance.below(6)) {
                (1..=2, _) if pact && count > 3 => Conduct::colluding(&mut self.chance),
                (_, 0) => Conduct::ill(&mut self.chance),
                _ => Conduct::passing(&mut self.chance),
            };
            let limit = Self::all_bytes() * (5 + self.chance.below(12)) / 10;
            let id = NodeId([number as u8; 32]);
            self.story.tell(0, || format!("worker {number} is {}, with room for {limit} bytes", conduct.name()));
            self.workers.insert(id, Worker::new(id, limit, conduct));
        }
    }

    /// Every expert of the model.
    pub(crate) fn experts() -> impl Iterator<Item = ExpertId> {
        (0..LAYERS).flat_map(|layer| (0..EXPERTS).map(move |expert| ExpertId { layer, expert }))
    }

    /// What all of them take.
    pub(crate) fn all_bytes() -> u64 {
        u64::from(LAYERS) * u64::from(EXPERTS) * EXPERT_BYTES
    }

    /// Many things happen, then everybody comes to rest; the counts, or what did not hold.
    pub(crate) fn run(mut self) -> (Result<Tally, Broken>, Vec<String>) {
        for _ in 0..THINGS {
            let (next, pause) = (Mishap::next(&mut self.chance), self.chance.below(PAUSE));
            self.befall(next);
            self.run_until(self.now + pause);
        }
        self.come_to_rest();
        self.tally.count(self.core.counters());
        let Self { seed, policy, tally, story, broken, .. } = self;
        let story = story.into_lines();
        let result = match broken {
            None => Ok(tally),
            Some((invariant, detail)) => Err(Broken { seed, policy, invariant, detail, story: story.clone() }),
        };
        (result, story)
    }

    fn befall(&mut self, mishap: Mishap) {
        if self.broken.is_some() {
            return;
        }
        if mishap != Mishap::Call {
            self.story.tell(self.now, || format!("* {mishap:?}"));
        }
        let Some(id) = self.anybody() else { return };
        match mishap {
            Mishap::Crash => self.leave(id),
            Mishap::Return => self.join(id),
            Mishap::Change => self.change(id),
            Mishap::Disk => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.bad_disk = !worker.bad_disk;
                }
            }
            Mishap::Partition => self.partition(),
            Mishap::Restart => self.restart(),
            Mishap::Flood => self.flood(),
            Mishap::Cancel => self.cancel_one(),
            Mishap::Stranger => {
                let task = TaskId(self.chance.below(1 + self.books.tasks.len() as u64 * 2));
                if self.books.tasks.get(&task).is_none_or(|sent| sent.worker != id) {
                    self.step(Input::Answered { task, worker: id, compute_us: 1 }, None);
                }
            }
            Mishap::Call => self.call(),
        }
    }

    fn anybody(&mut self) -> Option<NodeId> {
        let ids: Vec<NodeId> = self.workers.keys().copied().collect();
        self.chance.pick(&ids)
    }

    /// A worker takes up another conduct. One that means ill keeps to it.
    fn change(&mut self, id: NodeId) {
        let (now, conduct) = (self.now, Conduct::passing(&mut self.chance));
        if let Some(worker) = self.workers.get_mut(&id).filter(|worker| !worker.conduct.is_ill()) {
            worker.take_up(conduct, now);
            self.story.tell(now, || format!("{} is {} now", super::worker::name(id), conduct.name()));
        }
    }

    /// Half of the workers lose their links. The driver notices one after the other; they come back with what they hold.
    fn partition(&mut self) {
        let ids: Vec<NodeId> = self.workers.keys().copied().collect();
        for id in ids {
            let (cut, noticed) = (self.chance.percent(50), self.now + self.chance.below(30 * MS));
            let back = noticed + self.chance.below(200 * MS);
            let Some(worker) = self.workers.get_mut(&id).filter(|worker| cut && worker.connected) else { continue };
            (worker.cut, worker.good_since) = (true, self.now);
            let epoch = worker.epoch;
            self.agenda.enter(noticed, Event::Noticed { worker: id, epoch });
            self.agenda.enter(back, Event::Return(id));
        }
    }

    /// The orchestrator is killed: calls end with an error, and workers connect to the next one within five seconds.
    fn restart(&mut self) {
        self.tally.restarts += 1;
        self.tally.count(self.core.counters());
        self.standings.extend(self.core.standings().map(|(id, standing)| (id, standing.clone())));
        let open: Vec<CallId> =
            self.requests.iter().filter(|(_, call)| call.end.is_none()).map(|(id, _)| *id).collect();
        open.into_iter().for_each(|call| self.end(call, End::Lost));
        let ids: Vec<NodeId> = self.workers.keys().copied().collect();
        for id in ids {
            let back = self.now + self.chance.below(5_000 * MS);
            if self.workers.get(&id).is_some_and(|worker| worker.connected) {
                self.disconnect(id);
                self.agenda.enter(back, Event::Return(id));
            }
        }
        self.incarnation += 1;
        (self.books, self.wake) = (Books::default(), None);
        self.core = Orchestrator::new(settings(self.policy, self.seed ^ self.incarnation));
    }

    /// Something from a worker, if its link carries it.
    pub(crate) fn later(&mut self, delay: u64, worker: NodeId, said: Said) {
        let Some(epoch) = self.workers.get(&worker).filter(|worker| !worker.cut).map(|worker| worker.epoch) else {
            return;
        };
        self.agenda.enter(self.now + delay, Event::Said { worker, epoch, said });
    }

    /// Lets everything happen that is due up to `until`.
    pub(crate) fn run_until(&mut self, until: u64) {
        while self.broken.is_none() {
            let event = self.agenda.next_at().filter(|at| *at <= until);
            let wake = self.wake.filter(|wake| *wake <= until && event.is_none_or(|at| *wake < at));
            if let Some(wake) = wake {
                (self.now, self.wake) = (wake.max(self.now), None);
                self.step(Input::Tick, None);
            } else if event.is_some() {
                self.happen();
            } else {
                break;
            }
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self) {
        let Some((at, event)) = self.agenda.pop() else { return };
        self.now = at.max(self.now);
        match event {
            Event::Said { worker, epoch, said } => {
                let carried = |worker: &Worker| worker.connected && worker.epoch == epoch && !worker.cut;
                if self.workers.get(&worker).is_some_and(carried) {
                    self.hear(worker, said);
                }
            }
            Event::Settled { incarnation, input } => self.settled(incarnation, input),
            Event::Noticed { worker, epoch } => {
                if self.workers.get(&worker).is_some_and(|worker| worker.epoch == epoch) {
                    self.leave(worker);
                }
            }
            Event::Return(worker) => self.join(worker),
        }
    }

    /// Those who do not mean ill are good from now on and all come back; liars lie in every answer; all work is finished.
    fn come_to_rest(&mut self) {
        self.run_until(self.now + 700_000 * MS);
        let now = self.now;
        for worker in self.workers.values_mut() {
            worker.bad_disk = false;
            match &mut worker.conduct {
                Conduct::Lying(Liar { percent, after, .. }) => (*percent, *after) = (100, 0),
                Conduct::Replaying => {}
                _ => worker.take_up(Conduct::Honest, now),
            }
        }
        let ids: Vec<NodeId> = self.workers.keys().copied().collect();
        ids.iter().for_each(|id| self.join(*id));
        self.run_until(self.now + 100_000 * MS);
        for _ in 0..50 {
            self.call();
            self.run_until(self.now + MS);
        }
        self.find_liars();
        self.run_until(self.now + 100_000 * MS);
        if self.broken.is_none() {
            self.liars_are_found();
            self.at_rest();
        }
    }

    fn find_liars(&mut self) {
        for _ in 0..CALLS_TO_FIND_LIARS {
            if self.unfound().is_empty() || self.broken.is_some() {
                return;
            }
            self.call();
            self.run_until(self.now + 1_000 * MS);
        }
    }

    /// Liars whose answers passed a comparison, and who are here.
    pub(crate) fn unfound(&self) -> Vec<NodeId> {
        if self.policy != Policy::Verified {
            return Vec::new();
        }
        self.fooling.difference(&self.convicted).copied().collect()
    }
}

fn settings(policy: Policy, secret: u64) -> Settings {
    let specs = World::experts().map(|id| ExpertSpec { id, bytes: EXPERT_BYTES }).collect();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&secret.to_le_bytes());
    Settings {
        task_deadline: Duration::from_millis(50),
        shortest_deadline: Duration::from_millis(5),
        call_patience: Duration::from_millis(400),
        max_attempts: 3,
        max_faults: 4,
        checks: policy.checks(),
        secret: bytes,
        load_patience: Duration::from_secs(5),
        proven_after: Duration::from_secs(1),
        ..Settings::new(specs)
    }
}
