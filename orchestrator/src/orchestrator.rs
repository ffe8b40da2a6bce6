//! The face of the core: one step per event, and what may be read between steps.

use std::collections::{BTreeMap, BTreeSet};

use neuro_primitives::{ExpertId, Moment, NodeId};

use crate::catalogue::Catalogue;
use crate::effect::Effect;
use crate::input::Input;
use crate::metering::Metering;
use crate::placement::History;
use crate::registry::{Registry, Slot};
use crate::reputation::{Book, Standing};
use crate::settings::{Checks, REBALANCE_CALLS, Settings};
use crate::timers::{Timer, Timers};
use crate::transitioner::{Budget, Transitioner};
use crate::validator::Validator;
use crate::views::{Counters, Coverage, InFlight, WorkerView};

/// Looks at placement and calls in turn before a step ends. One is the rule; a call that fails may free memory that lets
/// an expert be placed, which takes two.
const MAX_LOOKS: usize = 8;

/// The core. One owner calls [`Orchestrator::step`] with everything that happens, in order.
#[derive(Debug)]
pub struct Orchestrator {
    pub(crate) settings: Settings,
    pub(crate) registry: Registry,
    pub(crate) metering: Metering,
    pub(crate) transitioner: Transitioner,
    pub(crate) timers: Timers,
    pub(crate) validator: Validator,
    pub(crate) book: Book,
    pub(crate) backups: Budget,
    pub(crate) pending: PlacementWork,
    /// Workers turned away, and until when.
    pub(crate) expelled: BTreeMap<NodeId, Moment>,
    /// When to look again at workers that missed a deadline before they answered anything. No timer is set for them: while
    /// nobody asks, they may stay.
    pub(crate) watched: BTreeSet<(Moment, Slot)>,
    /// When the next refusal to load an expert ends, if a timer is set.
    pub(crate) refusals_due: Option<Moment>,
    pub(crate) gathering: Gathering,
    pub(crate) wholeness: Wholeness,
    pub(crate) history: History,
    pub(crate) outbox: Vec<Effect>,
}

/// Whether the first placement still waits for workers that start together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gathering {
    /// Nobody has joined.
    Waiting,
    /// Somebody has; the others have until then.
    Until(Moment),
    /// Workers are given experts as they come.
    Over,
}

/// Whether every expert has a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wholeness {
    /// It has not been so yet.
    Never,
    /// It is so.
    Whole,
    /// It was so until then.
    GapSince(Moment),
}

/// What placement has to do before the step ends.
#[derive(Debug, Default)]
pub(crate) struct PlacementWork {
    /// Copies were lost or workers came or left.
    pub(crate) replan: bool,
    /// Copies are missing for want of memory: memory that becomes free is a reason to plan again.
    pub(crate) short: bool,
    /// Workers that joined and have not got their part.
    pub(crate) newcomers: BTreeSet<NodeId>,
    /// Workers that joined while others loaded: what is being loaded cannot move yet, so their part may be too small.
    pub(crate) early: BTreeSet<NodeId>,
    /// Workers that may be told to load more.
    pub(crate) hungry: BTreeSet<NodeId>,
    /// Enough calls passed to look at the balance.
    pub(crate) level: bool,
}

impl Orchestrator {
    /// A core without workers.
    #[must_use]
    pub fn new(mut settings: Settings) -> Self {
        let catalogue = Catalogue::new(std::mem::take(&mut settings.experts));
        let validator = Validator::new(settings.secret);
        Self {
            settings,
            metering: Metering::new(&catalogue),
            registry: Registry::new(catalogue),
            transitioner: Transitioner::default(),
            timers: Timers::default(),
            validator,
            book: Book::default(),
            backups: Budget::default(),
            pending: PlacementWork::default(),
            expelled: BTreeMap::new(),
            watched: BTreeSet::new(),
            refusals_due: None,
            gathering: Gathering::Waiting,
            wholeness: Wholeness::Never,
            history: History::default(),
            outbox: Vec::new(),
        }
    }

    /// Takes one event at `now` and returns what to do, in order. `now` never goes back.
    pub fn step(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        self.take(input, now);
        self.expel_who_never_answered(now);
        while let Some(timer) = self.timers.pop_due(now) {
            self.fire(timer, now);
        }
        for _ in 0..MAX_LOOKS {
            self.place(now);
            for expert in self.registry.take_woken() {
                self.transitioner.wake(expert);
            }
            if !self.dispatch_dirty(now) {
                break;
            }
        }
        self.watch_settlements(now);
        self.wholeness = match self.wholeness {
            _ if self.registry.is_whole() => Wholeness::Whole,
            Wholeness::Whole => Wholeness::GapSince(now),
            before => before,
        };
        self.outbox.extend(self.timers.announce(now).map(Effect::WakeAt));
        std::mem::take(&mut self.outbox)
    }

    fn take(&mut self, input: Input, now: Moment) {
        match input {
            Input::WorkerJoined { worker, memory_limit_bytes } => self.join(worker, memory_limit_bytes, now),
            Input::WorkerPardoned { worker } => self.pardon(worker),
            Input::WorkerCalibrated { worker, speeds } => self.take_calibration(worker, &speeds),
            Input::WorkerReady { worker, experts } => self.take_ready(worker, &experts, now),
            Input::ExpertFailed { worker, expert, reason: _ } => self.take_load_failure(worker, expert, now),
            Input::WorkerLeft { worker } => self.forget_worker(worker, now),
            Input::Call { call, layer, experts, redundancy } => {
                self.take_call(call, layer, &experts, redundancy);
                self.pending.level |= self.metering.counters.calls.is_multiple_of(REBALANCE_CALLS);
            }
            Input::Answered { task, worker, compute_us } => self.take_answer(task, worker, compute_us, now),
            Input::Faulty { task, worker, fault } => self.take_fault(task, worker, fault, now),
            Input::CallCancelled { call } => self.cancel_call(call),
            Input::WorkerKnown { worker, standing } => {
                if let Some(worker) = self.registry.worker_mut(worker).filter(|_| standing.is_tardy()) {
                    worker.estimate.expect_nothing();
                }
                let slot = self.enter(worker);
                self.book.know(slot, standing);
            }
            Input::Compared { check, same } => self.take_comparison(check, same, now),
            Input::Deviated { check, class, deviation } => self.take_deviation(check, class, &deviation, now),
            Input::Measured { check, answers } => self.take_measurement(check, &answers, now),
            Input::Recomputed { check, wrong } => self.take_recomputation(check, &wrong, now),
            Input::NotRecomputed { check } => self.take_failed_recomputation(check, now),
            Input::Tick => {}
        }
    }

    fn fire(&mut self, timer: Timer, now: Moment) {
        match timer {
            Timer::Task(task) => self.take_deadline(task, now),
            Timer::Backup(task) => self.take_backup_time(task, now),
            Timer::Call(call) => self.take_call_timer(call),
            Timer::Loads(worker) => self.take_stalled_loads(worker, now),
            Timer::Check(check) => self.take_check_timer(check, now),
            Timer::Refusals => self.take_ended_refusals(now),
            Timer::Gathered => self.gathering = Gathering::Over,
        }
    }
}

/// What may be read between steps.
impl Orchestrator {
    /// Which answers are checked.
    #[must_use]
    pub const fn checks(&self) -> Checks {
        self.settings.checks
    }

    /// Every live worker, ascending by id.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerView> {
        self.registry.workers().map(|(id, worker)| worker.view(id)).collect()
    }

    /// Ready holders of each expert of the layer, by expert number.
    #[must_use]
    pub fn holders(&self, layer: u16) -> Vec<u32> {
        self.by_number(layer, |index| u32::try_from(self.registry.serving(index).len()).unwrap_or(u32::MAX))
    }

    /// The ready holders of one expert, ascending. Empty for an expert that the model does not have.
    #[must_use]
    pub fn holders_of(&self, expert: ExpertId) -> Vec<NodeId> {
        let serving = self.registry.catalogue.index(expert).map_or(&[][..], |index| self.registry.serving(index));
        let mut holders: Vec<NodeId> = serving.iter().map(|slot| self.registry.roster.id(*slot)).collect();
        holders.sort_unstable();
        holders
    }

    /// Rows that went to each expert of the layer since the start, by expert number.
    #[must_use]
    pub fn expert_use(&self, layer: u16) -> Vec<u64> {
        self.by_number(layer, |index| self.metering.rows()[index])
    }

    /// What is known of a worker's conduct; `None` for one that nobody has seen.
    #[must_use]
    pub fn standing(&self, worker: NodeId) -> Option<&Standing> {
        self.book.standing(self.registry.roster.slot(worker)?)
    }

    /// All standings, ascending by worker, those of workers that left included.
    pub fn standings(&self) -> impl Iterator<Item = (NodeId, &Standing)> {
        self.registry.roster.all().filter_map(|(id, slot)| Some((id, self.book.standing(slot)?)))
    }

    /// Running totals.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.metering.counters
    }

    /// What is going on now.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        InFlight {
            calls: self.transitioner.call_count(),
            tasks: self.transitioner.task_count(),
            waiting: self.transitioner.waiting_count(),
            loading: self.registry.workers().map(|(_, worker)| worker.loading).sum(),
            timers: self.timers.len(),
            checks: self.validator.count(),
        }
    }

    /// How much of the model is ready.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.registry.coverage(self.settings.replicas.min(self.registry.worker_count()).max(1))
    }

    /// Whether a request that comes now is worth taking: every expert has a holder, or lost its last one so recently that
    /// calls still wait for the next.
    #[must_use]
    pub fn admits_requests(&self, now: Moment) -> bool {
        match self.wholeness {
            Wholeness::Never => false,
            Wholeness::Whole => true,
            Wholeness::GapSince(since) => since.after(self.settings.call_patience) > now,
        }
    }

    fn by_number<T: Clone + Default>(&self, layer: u16, value: impl Fn(usize) -> T) -> Vec<T> {
        let mut values = Vec::new();
        for index in self.registry.catalogue.layer(layer) {
            values.resize(usize::from(self.registry.catalogue.id(index).expert), T::default());
            values.push(value(index));
        }
        values
    }
}

#[cfg(test)]
mod tests;
