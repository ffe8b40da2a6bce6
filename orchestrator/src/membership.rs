//! Workers come, load, fail to load, and go.

use neuro_primitives::{ExpertId, Moment, NodeId};

use crate::effect::Effect;
use crate::input::Speed;
use crate::orchestrator::{Gathering, Orchestrator};
use crate::placement;
use crate::registry::{CopyState, Slot, Worker};
use crate::reputation::{MAX_STANDINGS, Standing};
use crate::settings::{EXPELLED_FOR, LOAD_RETRY, MAX_EXPELLED, SILENT_FOR};
use crate::timers::Timer;

impl Orchestrator {
    /// Admits a worker, unless it is turned away.
    pub(crate) fn join(&mut self, id: NodeId, memory_limit_bytes: u64, now: Moment) {
        self.expelled.retain(|_, until| *until > now);
        if let Some(until) = self.expelled.get(&id) {
            let reason = format!("turned away for another {} s", until.since(now).as_secs());
            self.outbox.push(Effect::Expel { worker: id, reason });
            return;
        }
        self.forget_worker(id, now);
        self.enter(id);
        self.registry.insert(id, Worker::new(memory_limit_bytes, now));
        self.pending.newcomers.insert(id);
        self.pending.replan = true;
        self.gather(now);
    }

    /// Turns a worker away no more, and forgets its conduct.
    pub(crate) fn pardon(&mut self, id: NodeId) {
        self.expelled.remove(&id);
        let Some(slot) = self.registry.roster.slot(id) else { return };
        if let Some(forgiven) = self.book.standing(slot).map(Standing::forgiven) {
            self.book.know(slot, forgiven);
        }
    }

    /// Believes what a worker says of its speed, until its tasks tell more.
    pub(crate) fn take_calibration(&mut self, id: NodeId, speeds: &[Speed]) {
        let Some(worker) = self.registry.worker_mut(id) else { return };
        worker.estimate.assume(speeds, &self.metering.fleet);
    }

    /// The worker's slot. If it is new and the roster is full, the one of those who are not here that has least to lose is
    /// forgotten.
    pub(crate) fn enter(&mut self, id: NodeId) -> Slot {
        let roster = &self.registry.roster;
        if roster.len() >= MAX_STANDINGS && roster.slot(id).is_none() {
            let valid = |slot: &Slot| self.book.standing(*slot).map_or(0.0, |standing| standing.valid);
            if let Some(lowest) = roster.idle().min_by(|a, b| valid(a).total_cmp(&valid(b))) {
                self.registry.forget(lowest);
                self.book.forget(lowest);
                self.validator.forget_drifts(lowest);
            }
        }
        self.registry.roster.enter(id)
    }

    /// Ends the wait for workers that start together once enough are here, and bounds it from the first one on.
    fn gather(&mut self, now: Moment) {
        let due = match self.gathering {
            Gathering::Over => return,
            Gathering::Waiting => now.after(self.settings.gather_patience),
            Gathering::Until(due) => due,
        };
        if self.registry.worker_count() >= self.settings.gather_workers {
            self.timers.clear(due, Timer::Gathered);
            self.gathering = Gathering::Over;
        } else {
            self.timers.set(due, Timer::Gathered);
            self.gathering = Gathering::Until(due);
        }
    }

    /// Forgets a worker that is gone: its tasks and copies go to others.
    pub(crate) fn forget_worker(&mut self, id: NodeId, now: Moment) {
        let Some(slot) = self.registry.slot(id) else { return };
        if let Some(joined) = self.registry.worker(id).map(Worker::joined) {
            self.book.note_uptime(slot, now.since(joined));
        }
        self.lose_tasks(slot, now);
        self.note_end(id, slot, now);
        self.validator.forget_worker(slot);
        if let Some(due) = self.registry.remove(id).and_then(|worker| worker.loads_due) {
            self.timers.clear(due, Timer::Loads(slot));
        }
        self.pending.newcomers.remove(&id);
        self.pending.early.remove(&id);
        self.pending.hungry.remove(&id);
        self.pending.replan = true;
    }

    /// A worker whose connection ended in silence may come back at once; one that did so before is turned away, twice as
    /// long each time.
    fn note_end(&mut self, id: NodeId, slot: Slot, now: Moment) {
        let longest = self.longest_silence();
        let silences = self.registry.at_mut(slot).and_then(|worker| worker.note_end(longest, now)).unwrap_or(0);
        if let Some(again) = silences.checked_sub(2) {
            let pause = SILENT_FOR.saturating_mul(1u32.checked_shl(again).unwrap_or(u32::MAX)).min(EXPELLED_FOR);
            self.turn_away(id, now.after(pause));
        }
    }

    /// Forgets a worker and has its connection closed; `for_faults` turns it away for a while.
    pub(crate) fn expel(&mut self, id: NodeId, reason: String, for_faults: bool, now: Moment) {
        self.forget_worker(id, now);
        self.metering.counters.expelled += 1;
        self.outbox.push(Effect::Expel { worker: id, reason });
        if for_faults {
            self.turn_away(id, now.after(EXPELLED_FOR));
        }
    }

    /// Does not admit the worker before `until`, or before it was turned away until already.
    fn turn_away(&mut self, id: NodeId, until: Moment) {
        let known = self.expelled.entry(id).or_insert(until);
        *known = until.max(*known);
        if self.expelled.len() > MAX_EXPELLED {
            let first = self.expelled.iter().min_by_key(|(id, until)| (**until, **id)).map(|(id, _)| *id);
            first.and_then(|id| self.expelled.remove(&id));
        }
    }

    /// The worker holds these experts now.
    pub(crate) fn take_ready(&mut self, id: NodeId, experts: &[ExpertId], now: Moment) {
        for expert in experts {
            let Some(index) = self.registry.catalogue.index(*expert) else { continue };
            match self.registry.state(index, id) {
                Some(CopyState::Queued | CopyState::Loading) => self.registry.set(index, id, Some(CopyState::Ready)),
                None => self.adopt(index, id),
                Some(_) => {}
            }
            placement::release(&mut self.registry, index);
        }
        self.note_progress(id, now);
    }

    /// A worker holds an expert that it was not told to hold: a gift when a copy is missing or not yet loading.
    fn adopt(&mut self, expert: usize, id: NodeId) {
        let Some(worker) = self.registry.worker(id) else { return };
        if worker.dropped.contains(&expert) {
            return;
        }
        let queued = |other: &&NodeId| self.registry.state(expert, **other) == Some(CopyState::Queued);
        let replaces = self.registry.copies(expert).iter().find(queued).copied();
        let wanted = self.registry.planned(expert) < self.settings.replicas || replaces.is_some();
        if !wanted || worker.room() < self.registry.catalogue.bytes(expert) {
            let experts = vec![self.registry.catalogue.id(expert)];
            self.outbox.push(Effect::Drop { worker: id, experts });
            return;
        }
        if let Some(other) = replaces.filter(|_| self.registry.planned(expert) >= self.settings.replicas) {
            self.registry.discard(expert, other);
        }
        self.registry.set(expert, id, Some(CopyState::Ready));
    }

    /// The worker could not load the expert, or lost it.
    pub(crate) fn take_load_failure(&mut self, id: NodeId, expert: ExpertId, now: Moment) {
        let Some(index) = self.registry.catalogue.index(expert) else { return };
        if self.registry.state(index, id).is_some() {
            self.registry.set(index, id, None);
            self.refuse(id, index, now);
            self.note_progress(id, now);
        }
    }

    /// The worker loaded nothing for too long: its loads go to others.
    pub(crate) fn take_stalled_loads(&mut self, slot: Slot, now: Moment) {
        let id = self.registry.roster.id(slot);
        let Some(worker) = self.registry.at_mut(slot) else { return };
        worker.loads_due = None;
        let loading = worker.copies.iter().filter(|(_, copy)| copy.state == CopyState::Loading);
        for expert in loading.map(|(expert, _)| *expert).collect::<Vec<_>>() {
            self.registry.discard(expert, id);
            self.refuse(id, expert, now);
        }
    }

    /// The worker is not asked for the expert for a while.
    fn refuse(&mut self, id: NodeId, expert: usize, now: Moment) {
        let until = now.after(LOAD_RETRY);
        if let Some(worker) = self.registry.worker_mut(id) {
            worker.refused.insert(expert, until);
        }
        if self.refusals_due.is_none() {
            self.refusals_due = Some(until);
            self.timers.set(until, Timer::Refusals);
        }
        self.pending.replan = true;
    }

    /// Some workers may be asked again for what they could not load.
    pub(crate) fn take_ended_refusals(&mut self, now: Moment) {
        let ids: Vec<NodeId> = self.registry.workers().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(worker) = self.registry.worker_mut(id) {
                worker.refused.retain(|_, until| *until > now);
            }
        }
        self.refusals_due =
            self.registry.workers().filter_map(|(_, worker)| worker.refused.values().min().copied()).min();
        if let Some(due) = self.refusals_due {
            self.timers.set(due, Timer::Refusals);
        }
        self.pending.replan = true;
    }

    /// The worker denies holding experts that it reported: it is told again, and not asked until it reports them anew.
    pub(crate) fn hold_again(&mut self, id: NodeId, experts: &[usize], now: Moment) {
        let mut again = Vec::new();
        for expert in experts {
            match self.registry.state(*expert, id) {
                Some(CopyState::Ready) => {
                    self.registry.set(*expert, id, Some(CopyState::Loading));
                    again.push(self.registry.catalogue.id(*expert));
                }
                Some(CopyState::Leaving) => self.registry.retire(*expert, id),
                _ => {}
            }
        }
        if !again.is_empty() {
            self.metering.counters.holds += again.len() as u64;
            self.outbox.push(Effect::Hold { worker: id, experts: again });
            self.watch_loads(id, now);
        }
    }

    /// Tells workers what to drop.
    pub(crate) fn tell_drops(&mut self) {
        for (worker, experts) in self.registry.take_drops() {
            self.metering.counters.drops += experts.len() as u64;
            self.outbox.push(Effect::Drop { worker, experts: experts.into_iter().collect() });
        }
    }

    /// Tells the worker what to load next, if it has the capacity.
    pub(crate) fn tell_loads(&mut self, id: NodeId, now: Moment) {
        let next = placement::next_loads(&mut self.registry, id, |expert| self.transitioner.is_waited_for(expert));
        if next.is_empty() {
            return;
        }
        let experts: Vec<ExpertId> = next.iter().map(|expert| self.registry.catalogue.id(*expert)).collect();
        self.metering.counters.holds += experts.len() as u64;
        self.outbox.push(Effect::Hold { worker: id, experts });
        self.watch_loads(id, now);
    }

    /// A load ended: the worker may be told more, and has time again for the rest. After the last one, those who joined
    /// meanwhile get their part.
    fn note_progress(&mut self, id: NodeId, now: Moment) {
        self.pending.hungry.insert(id);
        if !self.pending.early.is_empty() && !self.registry.is_loading() {
            self.pending.newcomers.append(&mut self.pending.early);
            self.pending.replan = true;
        }
        let Some(slot) = self.registry.slot(id) else { return };
        if let Some(due) = self.registry.at_mut(slot).and_then(|worker| worker.loads_due.take()) {
            self.timers.clear(due, Timer::Loads(slot));
        }
        self.watch_loads(id, now);
    }

    /// Sets the timer for the worker's loads, if there are loads and no timer.
    fn watch_loads(&mut self, id: NodeId, now: Moment) {
        let due = now.after(self.settings.load_patience);
        let Some(slot) = self.registry.slot(id) else { return };
        let Some(worker) = self.registry.at_mut(slot) else { return };
        if worker.loading > 0 && worker.loads_due.is_none() {
            worker.loads_due = Some(due);
            self.timers.set(due, Timer::Loads(slot));
        }
    }
}
