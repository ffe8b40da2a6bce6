//! Which worker holds which expert.
//!
//! - Every expert is wanted on `replicas` workers, or on all of them when there are fewer. One copy of everything comes
//!   before second copies: when memory is short, second copies give way.
//! - A copy goes to the worker with the least load that has room; among about equal ones to the one with the fewest
//!   experts of that layer, so that the experts of one token compute in parallel. Load is the share of bytes plus the
//!   share of recent use.
//! - A join moves what balances the load onto the newcomer: it is given copies, and the old ones go once the new ones are
//!   ready. A leave re-places what was lost and moves nothing else.
//! - What a worker was not told to load yet moves freely. Copies on their way out are taken back before anything is
//!   loaded anew.
//!
//! Everything is decided in integers and in a fixed order: the same inputs place the same way.

use std::collections::{BTreeMap, BTreeSet};

use neuro_primitives::{Moment, NodeId};

use crate::registry::{CopyState, Registry};

mod balancing;
mod loads;
mod room;

pub(crate) use loads::next_loads;

/// Shares of bytes and use are in parts per billion.
const WHOLE: u128 = 1_000_000_000;

/// Workers of about equal load that are compared by layer. More would spread a layer better and cost time with a
/// thousand idle workers.
const COMPARED: usize = 16;

/// Places what is missing and gives `newcomers` their part. Returns whether copies are still missing.
pub(crate) fn plan(registry: &mut Registry, policy: &Policy, newcomers: &BTreeSet<NodeId>, now: Moment) -> bool {
    let mut planner = Planner::new(registry, policy, now);
    planner.fill();
    for newcomer in newcomers {
        planner.balance_onto(*newcomer);
    }
    !planner.short().is_empty()
}

/// Moves a few experts from the most to the least loaded workers, if the load is badly spread.
pub(crate) fn rebalance(registry: &mut Registry, policy: &Policy, moves: usize, now: Moment) {
    Planner::new(registry, policy, now).level(moves);
}

/// Lets copies go whose replacements are all ready.
pub(crate) fn release(registry: &mut Registry, expert: usize) {
    let states: Vec<(NodeId, CopyState)> =
        registry.copies(expert).iter().filter_map(|id| Some((*id, registry.state(expert, *id)?))).collect();
    let settled = states.iter().all(|(_, state)| !state.is_planned() || *state == CopyState::Ready);
    if !settled || registry.planned(expert) == 0 {
        return;
    }
    for (id, state) in states {
        if state == CopyState::Leaving {
            registry.retire(expert, id);
        }
    }
}

/// What placement aims at.
#[derive(Debug)]
pub(crate) struct Policy {
    /// Copies wanted of each expert.
    pub(crate) replicas: usize,
    /// Load of one copy by expert index: its share of all bytes plus its share of recent use, at least 1.
    pub(crate) weights: Vec<u64>,
}

impl Policy {
    /// Weighs the experts by bytes and by `rows` of recent use.
    pub(crate) fn new(replicas: usize, registry: &Registry, rows: &[u64]) -> Self {
        let bytes: Vec<u64> = (0..registry.catalogue.len()).map(|expert| registry.catalogue.bytes(expert)).collect();
        let (by_bytes, by_use) = (shares(&bytes), shares(rows));
        let weights = by_bytes.iter().zip(by_use).map(|(bytes, rows)| (bytes + rows).max(1)).collect();
        Self { replicas: replicas.max(1), weights }
    }
}

/// The share of each part in the sum.
fn shares(parts: &[u64]) -> Vec<u64> {
    let total = parts.iter().map(|part| u128::from(*part)).sum::<u128>().max(1);
    parts.iter().map(|part| u64::try_from(u128::from(*part) * WHOLE / total).unwrap_or(u64::MAX)).collect()
}

/// One look at the whole placement.
struct Planner<'a> {
    registry: &'a mut Registry,
    policy: &'a Policy,
    now: Moment,
    /// Weight of each worker's planned copies.
    loads: BTreeMap<NodeId, u64>,
    /// The same, lightest first.
    order: BTreeSet<(u64, NodeId)>,
    /// Bytes that will become free at a worker and are meant for an expert already.
    promised: BTreeMap<NodeId, u64>,
}

impl<'a> Planner<'a> {
    fn new(registry: &'a mut Registry, policy: &'a Policy, now: Moment) -> Self {
        let weigh = |copies: &mut dyn Iterator<Item = usize>| copies.map(|expert| policy.weights[expert]).sum::<u64>();
        let loads: BTreeMap<NodeId, u64> = registry
            .workers()
            .map(|(id, worker)| {
                let mut planned =
                    worker.copies.iter().filter(|(_, copy)| copy.state.is_planned()).map(|(expert, _)| *expert);
                (id, weigh(&mut planned))
            })
            .collect();
        let order = loads.iter().map(|(id, load)| (*load, *id)).collect();
        Self { registry, policy, now, loads, order, promised: BTreeMap::new() }
    }

    /// Brings every expert to as many planned copies as memory allows, first copies first.
    fn fill(&mut self) {
        let mut short = self.short();
        let catalogue = &self.registry.catalogue;
        short.sort_by_key(|expert| (std::cmp::Reverse(catalogue.bytes(*expert)), catalogue.across_layers(*expert)));
        let smallest = short.last().map_or(0, |expert| self.registry.catalogue.bytes(*expert));
        for round in 0..self.target() {
            let full = self.registry.workers().all(|(_, worker)| worker.room() < smallest);
            if full && round > 0 && !self.has_going_copies(&short) {
                return;
            }
            for expert in &short {
                if self.registry.planned(*expert) == round {
                    self.add_copy(*expert, round);
                }
            }
        }
    }

    /// Copies wanted of each expert with the workers there are.
    fn target(&self) -> usize {
        self.policy.replicas.min(self.registry.worker_count())
    }

    /// Experts with fewer planned copies than wanted.
    fn short(&self) -> Vec<usize> {
        (0..self.registry.catalogue.len()).filter(|expert| self.registry.planned(*expert) < self.target()).collect()
    }

    /// Whether any of the experts has a copy that could be taken back.
    fn has_going_copies(&self, experts: &[usize]) -> bool {
        experts.iter().any(|expert| self.registry.copies(*expert).len() > self.registry.planned(*expert))
    }

    /// One more copy of an expert that has `round` of them.
    fn add_copy(&mut self, expert: usize, round: usize) {
        if self.take_back(expert) {
            return;
        }
        match self.roomy_worker(expert) {
            Some(id) => self.set(expert, id, Some(CopyState::Queued)),
            None if round == 0 => self.evict_for(expert),
            None => self.shift_for(expert),
        }
    }

    /// Keeps a copy that was on its way out: nothing needs to be loaded.
    fn take_back(&mut self, expert: usize) -> bool {
        let going =
            |id: &&NodeId| matches!(self.registry.state(expert, **id), Some(CopyState::Leaving | CopyState::Retiring));
        let Some(id) = self.registry.copies(expert).iter().find(going).copied() else { return false };
        self.set(expert, id, Some(CopyState::Ready));
        true
    }

    /// The worker that should get a copy: has room, holds none, did not refuse lately.
    fn roomy_worker(&self, expert: usize) -> Option<NodeId> {
        let layer = self.registry.catalogue.layer(self.registry.catalogue.id(expert).layer);
        let mut eligible = self.order.iter().filter(|(_, id)| self.may_get(expert, *id) && self.fits(expert, *id));
        let lightest = *eligible.next()?;
        let limit = lightest.0 + self.policy.weights[expert];
        let near = eligible.take(COMPARED).take_while(|(load, _)| *load <= limit);
        std::iter::once(&lightest)
            .chain(near)
            .min_by_key(|(load, id)| (self.of_layer(*id, layer.clone()), *load, *id))
            .map(|(_, id)| *id)
    }

    /// Planned copies at the worker among the experts of a range.
    fn of_layer(&self, id: NodeId, layer: std::ops::Range<usize>) -> usize {
        let Some(worker) = self.registry.worker(id) else { return 0 };
        worker.copies.range(layer).filter(|(_, copy)| copy.state.is_planned()).count()
    }

    /// Whether the worker has no copy and did not refuse it lately.
    fn may_get(&self, expert: usize, id: NodeId) -> bool {
        let free = |worker: &crate::registry::Worker| {
            !worker.copies.contains_key(&expert) && worker.refused.get(&expert).is_none_or(|until| *until <= self.now)
        };
        self.registry.worker(id).is_some_and(free)
    }

    fn fits(&self, expert: usize, id: NodeId) -> bool {
        self.registry.worker(id).is_some_and(|worker| worker.room() >= self.registry.catalogue.bytes(expert))
    }

    /// Changes a copy and keeps the loads in step.
    fn set(&mut self, expert: usize, id: NodeId, to: Option<CopyState>) {
        self.registry.set(expert, id, to);
        self.reweigh(expert, id, to.is_some_and(CopyState::is_planned));
    }

    /// Adds or takes the weight of one copy. Called with every change between planned and not planned.
    fn reweigh(&mut self, expert: usize, id: NodeId, more: bool) {
        let (weight, Some(load)) = (self.policy.weights[expert], self.loads.get_mut(&id)) else { return };
        self.order.remove(&(*load, id));
        *load = if more { *load + weight } else { load.saturating_sub(weight) };
        self.order.insert((*load, id));
    }
}

#[cfg(test)]
mod tests;
