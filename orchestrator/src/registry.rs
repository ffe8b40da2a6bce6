//! Who is there and who holds what: workers, copies of experts, and the indices that make a call cheap.
//!
//! The registry keeps accounts and decides nothing. Every change of a copy goes through [`Registry::set`], which keeps
//! bytes, counts and both indices in step.

use std::collections::{BTreeMap, BTreeSet};

use neuro_primitives::{ExpertId, NodeId};

use crate::catalogue::Catalogue;
use crate::views::Coverage;

mod worker;

pub(crate) use worker::{CopyState, Worker};

/// All live workers and all copies.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    /// The experts of the model.
    pub(crate) catalogue: Catalogue,
    workers: BTreeMap<NodeId, Worker>,
    /// Per expert: workers with a copy in any state, ascending.
    copies: Vec<Vec<NodeId>>,
    /// Per expert: workers that may be asked, ascending. The hot index.
    serving: Vec<Vec<NodeId>>,
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
            workers: BTreeMap::new(),
            copies: vec![Vec::new(); experts],
            serving: vec![Vec::new(); experts],
            planned: vec![0; experts],
            woken: Vec::new(),
            drops: BTreeMap::new(),
            freed: false,
        }
    }

    /// Adds a worker without copies.
    pub(crate) fn insert(&mut self, id: NodeId, worker: Worker) {
        self.workers.insert(id, worker);
    }

    /// Forgets a worker and all its copies.
    pub(crate) fn remove(&mut self, id: NodeId) -> Option<Worker> {
        let held: Vec<usize> = self.workers.get(&id)?.copies.keys().copied().collect();
        for expert in held {
            self.set(expert, id, None);
        }
        self.drops.remove(&id);
        self.workers.remove(&id)
    }

    /// A live worker.
    pub(crate) fn worker(&self, id: NodeId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// A live worker, to change what is not about its copies.
    pub(crate) fn worker_mut(&mut self, id: NodeId) -> Option<&mut Worker> {
        self.workers.get_mut(&id)
    }

    /// All live workers, ascending by id.
    pub(crate) fn workers(&self) -> impl Iterator<Item = (NodeId, &Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    /// How many workers live.
    pub(crate) fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// Whether anybody loads anything.
    pub(crate) fn is_loading(&self) -> bool {
        self.workers.values().any(|worker| worker.loading > 0)
    }

    /// Workers with a copy of the expert in any state, ascending.
    pub(crate) fn copies(&self, expert: usize) -> &[NodeId] {
        &self.copies[expert]
    }

    /// Workers that may be asked for the expert, ascending.
    pub(crate) fn serving(&self, expert: usize) -> &[NodeId] {
        &self.serving[expert]
    }

    /// Workers whose copy of the expert goes as soon as nothing is in flight there, ascending. They still hold it.
    pub(crate) fn retiring(&self, expert: usize) -> Vec<NodeId> {
        if self.copies[expert].len() == self.serving[expert].len() {
            return Vec::new();
        }
        let retiring = |id: &NodeId| self.state(expert, *id) == Some(CopyState::Retiring);
        self.copies[expert].iter().copied().filter(retiring).collect()
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
        self.workers.get(&id)?.copies.get(&expert).map(|copy| copy.state)
    }

    /// Whether the expert is ready, to stay, on a worker other than `id`.
    pub(crate) fn ready_elsewhere(&self, expert: usize, id: NodeId) -> bool {
        self.serving[expert].iter().any(|other| *other != id && self.state(expert, *other) == Some(CopyState::Ready))
    }

    /// Gives the worker's copy a state, or takes it away. Nothing happens for a worker that is not there.
    pub(crate) fn set(&mut self, expert: usize, id: NodeId, to: Option<CopyState>) {
        let bytes = self.catalogue.bytes(expert);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let from = worker.set(expert, bytes, to);
        if from == to {
            return;
        }
        let is = |state: Option<CopyState>, test: fn(CopyState) -> bool| state.is_some_and(test);
        self.planned[expert] += usize::from(is(to, CopyState::is_planned));
        self.planned[expert] -= usize::from(is(from, CopyState::is_planned));
        index(&mut self.copies[expert], id, to.is_some());
        index(&mut self.serving[expert], id, is(to, CopyState::serves));
        if is(to, CopyState::serves) && !is(from, CopyState::serves) {
            self.woken.push(expert);
        }
    }

    /// Takes the worker's copy away: at once when nothing is in flight there, else when the last task has ended.
    pub(crate) fn retire(&mut self, expert: usize, id: NodeId) {
        let Some(copy) = self.workers.get(&id).and_then(|worker| worker.copies.get(&expert)) else { return };
        if copy.in_flight > 0 {
            self.set(expert, id, Some(CopyState::Retiring));
            return;
        }
        self.discard(expert, id);
    }

    /// Takes the worker's copy away at once, whatever is in flight.
    pub(crate) fn discard(&mut self, expert: usize, id: NodeId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some(copy) = worker.copies.get(&expert) else { return };
        if copy.state != CopyState::Queued {
            worker.dropped.insert(expert);
            self.drops.entry(id).or_default().insert(self.catalogue.id(expert));
        }
        self.set(expert, id, None);
        self.freed = true;
    }

    /// Notes a task sent to the worker; `work_us` is what it is expected to compute.
    pub(crate) fn task_sent(&mut self, id: NodeId, experts: &[usize], work_us: u64) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.pending += 1;
        worker.backlog_us += work_us;
        for expert in experts {
            if let Some(copy) = worker.copies.get_mut(expert) {
                copy.in_flight += 1;
            }
        }
    }

    /// Notes that a task is no longer waited for.
    pub(crate) fn task_settled(&mut self, id: NodeId, work_us: u64) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.pending = worker.pending.saturating_sub(1);
            worker.backlog_us = worker.backlog_us.saturating_sub(work_us);
        }
    }

    /// Notes that a task is forgotten, so that its experts may be dropped.
    pub(crate) fn task_forgotten(&mut self, id: NodeId, experts: &[usize]) {
        for expert in experts {
            let Some(worker) = self.workers.get_mut(&id) else { return };
            let Some(copy) = worker.copies.get_mut(expert) else { continue };
            copy.in_flight = copy.in_flight.saturating_sub(1);
            if copy.in_flight == 0 && copy.state == CopyState::Retiring {
                self.retire(*expert, id);
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

    /// How much of the model is ready when `wanted` copies are aimed at.
    pub(crate) fn coverage(&self, wanted: usize) -> Coverage {
        let with = |count: usize| self.serving.iter().filter(|holders| holders.len() >= count).count();
        Coverage { experts: self.catalogue.len(), covered: with(1), replicated: with(wanted) }
    }
}

/// Puts `id` into the ascending list, or takes it out.
fn index(list: &mut Vec<NodeId>, id: NodeId, present: bool) {
    match (list.binary_search(&id), present) {
        (Err(place), true) => list.insert(place, id),
        (Ok(place), false) => {
            list.remove(place);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
