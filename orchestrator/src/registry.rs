//! Who is there and who holds what: workers, copies of experts, and the indices that make a call cheap.
//!
//! The registry keeps accounts and decides nothing. Every change of a copy goes through [`Registry::set`], which keeps
//! bytes, counts and both indices in step.

use std::collections::{BTreeMap, BTreeSet};

use neuro_primitives::{ExpertId, NodeId};

use crate::catalogue::Catalogue;
use crate::views::Coverage;

mod roster;
mod track_record;
mod worker;

pub(crate) use roster::{Roster, Slot};
pub(crate) use track_record::TrackRecord;
pub(crate) use worker::{CopyState, GivenUp, Size, Worker};

/// All live workers and all copies.
///
/// Placement names workers by id, the path of a task by [`Slot`].
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    /// The experts of the model.
    pub(crate) catalogue: Catalogue,
    /// Who is known, live or not.
    pub(crate) roster: Roster,
    /// Live workers by slot.
    workers: Vec<Option<Box<Worker>>>,
    /// By slot: what is known of workers that were here and are not.
    records: BTreeMap<Slot, TrackRecord>,
    /// The slots of live workers.
    live: BTreeMap<NodeId, Slot>,
    /// Per expert: workers with a copy in any state, ascending.
    copies: Vec<Vec<NodeId>>,
    /// Per expert: workers that may be asked, ascending by slot. The hot index.
    serving: Vec<Vec<Slot>>,
    /// Per expert: workers whose copy goes as soon as nothing is in flight there, ascending by slot.
    retiring: Vec<Vec<Slot>>,
    /// Experts that nobody may be asked for.
    unheld: usize,
    /// Per expert: copies that are meant to stay.
    planned: Vec<usize>,
    /// Experts that got a new serving copy since this was last taken.
    woken: Vec<usize>,
    /// Copies that workers must be told to drop.
    drops: BTreeMap<NodeId, BTreeSet<ExpertId>>,
    /// Whether memory became free since this was last taken.
    freed: bool,
}

impl Registry {
    /// No workers yet.
    pub(crate) fn new(catalogue: Catalogue) -> Self {
        let experts = catalogue.len();
        Self {
            catalogue,
            roster: Roster::default(),
            workers: Vec::new(),
            records: BTreeMap::new(),
            live: BTreeMap::new(),
            copies: vec![Vec::new(); experts],
            serving: vec![Vec::new(); experts],
            retiring: vec![Vec::new(); experts],
            unheld: experts,
            planned: vec![0; experts],
            woken: Vec::new(),
            drops: BTreeMap::new(),
            freed: false,
        }
    }

    /// Adds a worker without copies. If it was here before, it goes on with its record.
    pub(crate) fn insert(&mut self, id: NodeId, mut worker: Worker) {
        let slot = self.roster.enter(id);
        if let Some(record) = self.records.remove(&slot) {
            worker.recall(record);
        }
        if self.workers.len() <= slot.place() {
            self.workers.resize_with(slot.place() + 1, || None);
        }
        self.workers[slot.place()] = Some(Box::new(worker));
        if self.live.insert(id, slot).is_none() {
            self.roster.pin(slot);
        }
    }

    /// Forgets a worker's copies and what is in flight there. It stays on the roster, and its record is kept.
    pub(crate) fn remove(&mut self, id: NodeId) -> Option<Worker> {
        let held: Vec<usize> = self.worker(id)?.copies.keys().copied().collect();
        for expert in held {
            self.set(expert, id, None);
        }
        self.drops.remove(&id);
        let slot = self.live.remove(&id)?;
        self.roster.unpin(slot);
        let mut worker = self.workers[slot.place()].take()?;
        let record = worker.take_record();
        if !record.is_blank() {
            self.records.insert(slot, record);
        }
        Some(*worker)
    }

    /// Forgets a worker that is not here: its slot is free.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.records.remove(&slot);
        self.roster.forget(slot);
    }

    /// A live worker.
    pub(crate) fn worker(&self, id: NodeId) -> Option<&Worker> {
        self.at(*self.live.get(&id)?)
    }

    /// A live worker, to change what is not about its copies.
    pub(crate) fn worker_mut(&mut self, id: NodeId) -> Option<&mut Worker> {
        self.at_mut(*self.live.get(&id)?)
    }

    /// The live worker of a slot.
    pub(crate) fn at(&self, slot: Slot) -> Option<&Worker> {
        self.workers.get(slot.place())?.as_deref()
    }

    /// The live worker of a slot, to change what is not about its copies.
    pub(crate) fn at_mut(&mut self, slot: Slot) -> Option<&mut Worker> {
        self.workers.get_mut(slot.place())?.as_deref_mut()
    }

    /// The slot of a live worker.
    pub(crate) fn slot(&self, id: NodeId) -> Option<Slot> {
        self.live.get(&id).copied()
    }

    /// All live workers, ascending by id.
    pub(crate) fn workers(&self) -> impl Iterator<Item = (NodeId, &Worker)> {
        self.live.iter().filter_map(|(id, slot)| Some((*id, self.at(*slot)?)))
    }

    /// How many workers live.
    pub(crate) fn worker_count(&self) -> usize {
        self.live.len()
    }

    /// Whether anybody loads anything.
    pub(crate) fn is_loading(&self) -> bool {
        self.workers().any(|(_, worker)| worker.loading > 0)
    }

    /// Workers with a copy of the expert in any state, ascending.
    pub(crate) fn copies(&self, expert: usize) -> &[NodeId] {
        &self.copies[expert]
    }

    /// Workers that may be asked for the expert, ascending by slot.
    pub(crate) fn serving(&self, expert: usize) -> &[Slot] {
        &self.serving[expert]
    }

    /// Workers whose copy of the expert goes as soon as nothing is in flight there, ascending by slot. They still hold it.
    pub(crate) fn retiring(&self, expert: usize) -> &[Slot] {
        &self.retiring[expert]
    }

    /// Whether a worker loads the expert or shall load it.
    pub(crate) fn is_coming(&self, expert: usize) -> bool {
        let coming = |id: &NodeId| matches!(self.state(expert, *id), Some(CopyState::Queued | CopyState::Loading));
        self.copies[expert].iter().any(coming)
    }

    /// Copies of the expert that are meant to stay.
    pub(crate) fn planned(&self, expert: usize) -> usize {
        self.planned[expert]
    }

    /// The state of the worker's copy.
    pub(crate) fn state(&self, expert: usize, id: NodeId) -> Option<CopyState> {
        self.worker(id)?.copies.get(&expert).map(|copy| copy.state)
    }

    /// Whether the worker's copy can go: the expert is ready, to stay, on another worker, and on a proven one if this one is.
    pub(crate) fn is_spare(&self, expert: usize, id: NodeId) -> bool {
        let needs_proof = self.is_proven(id);
        let ready = |other: &NodeId| self.state(expert, *other) == Some(CopyState::Ready);
        let others = self.copies[expert].iter().filter(|other| **other != id);
        others.filter(|other| ready(other)).any(|other| !needs_proof || self.is_proven(*other))
    }

    /// Whether the worker's copy stays although others replace it: it is proven, and no other proven worker has or gets one.
    pub(crate) fn is_kept(&self, expert: usize, id: NodeId) -> bool {
        let planned = |other: &NodeId| self.state(expert, *other).is_some_and(CopyState::is_planned);
        let others = self.copies[expert].iter().filter(|other| **other != id);
        self.is_proven(id) && !others.filter(|other| planned(other)).any(|other| self.is_proven(*other))
    }

    /// Whether the worker has been here for long and answered right.
    fn is_proven(&self, id: NodeId) -> bool {
        self.worker(id).is_some_and(|worker| worker.proven)
    }

    /// Gives the worker's copy a state, or takes it away. Nothing happens for a worker that is not there.
    pub(crate) fn set(&mut self, expert: usize, id: NodeId, to: Option<CopyState>) {
        let bytes = self.catalogue.bytes(expert);
        let Some(slot) = self.slot(id) else { return };
        let Some(worker) = self.at_mut(slot) else { return };
        let from = worker.set(expert, bytes, to);
        if from == to {
            return;
        }
        let is = |state: Option<CopyState>, test: fn(CopyState) -> bool| state.is_some_and(test);
        self.planned[expert] += usize::from(is(to, CopyState::is_planned));
        self.planned[expert] -= usize::from(is(from, CopyState::is_planned));
        index(&mut self.copies[expert], id, to.is_some());
        let was_unheld = self.serving[expert].is_empty();
        index(&mut self.serving[expert], slot, is(to, CopyState::serves));
        self.unheld += usize::from(self.serving[expert].is_empty());
        self.unheld -= usize::from(was_unheld);
        index(&mut self.retiring[expert], slot, to == Some(CopyState::Retiring));
        if is(to, CopyState::serves) && !is(from, CopyState::serves) {
            self.woken.push(expert);
        }
    }

    /// Takes the worker's copy away: at once when nothing is in flight there, else when the last task has ended.
    pub(crate) fn retire(&mut self, expert: usize, id: NodeId) {
        let Some(copy) = self.worker(id).and_then(|worker| worker.copies.get(&expert)) else { return };
        if copy.in_flight > 0 {
            self.set(expert, id, Some(CopyState::Retiring));
            return;
        }
        self.discard(expert, id);
    }

    /// Takes the worker's copy away at once, whatever is in flight.
    pub(crate) fn discard(&mut self, expert: usize, id: NodeId) {
        let Some(worker) = self.worker_mut(id) else { return };
        let Some(copy) = worker.copies.get(&expert) else { return };
        if copy.state != CopyState::Queued {
            worker.dropped.insert(expert);
            self.drops.entry(id).or_default().insert(self.catalogue.id(expert));
        }
        self.set(expert, id, None);
        self.freed = true;
    }

    /// Notes a task sent to the worker; `work_us` is what it is expected to compute.
    pub(crate) fn task_sent(&mut self, slot: Slot, experts: &[usize], work_us: u64) {
        let Some(worker) = self.at_mut(slot) else { return };
        worker.pending += 1;
        worker.backlog_us += work_us;
        for expert in experts {
            if let Some(copy) = worker.copies.get_mut(expert) {
                copy.in_flight += 1;
            }
        }
    }

    /// Notes that a task is no longer waited for.
    pub(crate) fn task_settled(&mut self, slot: Slot, work_us: u64) {
        if let Some(worker) = self.at_mut(slot) {
            worker.pending = worker.pending.saturating_sub(1);
            worker.backlog_us = worker.backlog_us.saturating_sub(work_us);
        }
    }

    /// Notes that a task is forgotten, so that its experts may be dropped.
    pub(crate) fn task_forgotten(&mut self, slot: Slot, experts: &[usize]) {
        for expert in experts {
            let Some(worker) = self.at_mut(slot) else { return };
            let Some(copy) = worker.copies.get_mut(expert) else { continue };
            copy.in_flight = copy.in_flight.saturating_sub(1);
            if copy.in_flight == 0 && copy.state == CopyState::Retiring {
                self.retire(*expert, self.roster.id(slot));
            }
        }
    }

    /// Experts that got a new serving copy since the last call, ascending.
    pub(crate) fn take_woken(&mut self) -> Vec<usize> {
        let mut woken = std::mem::take(&mut self.woken);
        woken.sort_unstable();
        woken.dedup();
        woken
    }

    /// What workers must be told to drop since the last call.
    pub(crate) fn take_drops(&mut self) -> BTreeMap<NodeId, BTreeSet<ExpertId>> {
        std::mem::take(&mut self.drops)
    }

    /// Whether memory became free since the last call.
    pub(crate) fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// Whether every expert has somebody who may be asked for it.
    pub(crate) fn is_whole(&self) -> bool {
        self.unheld == 0
    }

    /// How much of the model is ready when `wanted` copies are aimed at.
    pub(crate) fn coverage(&self, wanted: usize) -> Coverage {
        let with = |count: usize| self.serving.iter().filter(|holders| holders.len() >= count).count();
        Coverage { experts: self.catalogue.len(), covered: with(1), replicated: with(wanted) }
    }
}

/// Puts `what` into the ascending list, or takes it out.
fn index<T: Ord>(list: &mut Vec<T>, what: T, present: bool) {
    match (list.binary_search(&what), present) {
        (Err(place), true) => list.insert(place, what),
        (Ok(place), false) => {
            list.remove(place);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
