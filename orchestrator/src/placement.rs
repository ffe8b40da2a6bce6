//! Which worker holds which expert.
//!
//! - Every expert is wanted on `replicas` workers, or on all of them when there are fewer. One copy of everything comes
//!   before second copies: when memory is short, second copies give way.
//! - A copy goes to the worker with the least load that has room; among about equal ones to the one with the fewest
//!   experts of that layer, so that the experts of one token compute in parallel; where messages cost far more than
//!   computing, to the one that holds what is used together with it. Load is the share of bytes plus the share of recent
//!   use, times the worker's *handicap*: slow, far and unreliable workers get less.
//! - An expert that is used far more than the mean gets more copies than usual, where memory is free, and loses them when it
//!   has cooled or the memory is needed.
//! - A join moves what balances the load onto the newcomer: it is given copies, and the old ones go once the new ones are
//!   ready. A leave re-places what was lost and moves nothing else.
//! - Every move has a reason that people can read ([`Why`]).
//! - Newcomers are many, or one under many names: the last copy at a *proven* worker stays until another proven one has one.
//! - What a worker was not told to load yet moves freely. Copies on their way out are taken back before anything is
//!   loaded anew.
//!
//! Everything is decided in integers and in a fixed order: the same inputs place the same way.

use std::collections::{BTreeMap, BTreeSet};

use neuro_primitives::{Moment, NodeId};

use crate::registry::{CopyState, Registry};

mod balancing;
mod handicap;
mod heat;
mod history;
mod loads;
mod policy;
mod room;

pub(crate) use handicap::Handicap;
pub(crate) use history::History;
pub use history::{Move, Why};
pub(crate) use loads::next_loads;
pub(crate) use policy::Policy;

/// Workers of about equal load that are compared by layer. More would spread a layer better and cost time with a
/// thousand idle workers.
const COMPARED: usize = 16;

/// Places what is missing and gives `newcomers` their part. Returns whether copies are still missing, and what moves.
pub(crate) fn plan(
    registry: &mut Registry,
    policy: &Policy<'_>,
    newcomers: &BTreeSet<NodeId>,
    now: Moment,
) -> (bool, Vec<Move>) {
    let mut planner = Planner::new(registry, policy, now);
    planner.fill();
    for newcomer in newcomers {
        planner.balance_onto(*newcomer);
    }
    (!planner.short().is_empty(), planner.moves)
}

/// Looks at what changed with use: experts that became hot or cooled, and a few moves from the most to the least loaded
/// workers, if the load is badly spread. Returns what moves.
pub(crate) fn rebalance(registry: &mut Registry, policy: &Policy<'_>, moves: usize, now: Moment) -> Vec<Move> {
    let mut planner = Planner::new(registry, policy, now);
    planner.cool(moves);
    planner.heat(moves);
    planner.level(moves);
    planner.moves
}

/// Lets copies go whose replacements are all ready. The last one at a proven worker stays and serves, beside those at
/// workers of whom little is known: they may leave together.
pub(crate) fn release(registry: &mut Registry, expert: usize) {
    let states: Vec<(NodeId, CopyState)> =
        registry.copies(expert).iter().filter_map(|id| Some((*id, registry.state(expert, *id)?))).collect();
    let settled = states.iter().all(|(_, state)| !state.is_planned() || *state == CopyState::Ready);
    if !settled || registry.planned(expert) == 0 {
        return;
    }
    for (id, state) in states {
        if state == CopyState::Leaving && !registry.is_kept(expert, id) {
            registry.retire(expert, id);
        }
    }
}

/// One look at the whole placement.
struct Planner<'a> {
    registry: &'a mut Registry,
    policy: &'a Policy<'a>,
    now: Moment,
    /// Weight of each worker's planned copies, times its handicap.
    loads: BTreeMap<NodeId, u64>,
    /// The same, lightest first.
    order: BTreeSet<(u64, NodeId)>,
    /// Bytes that will become free at a worker and are meant for an expert already.
    promised: BTreeMap<NodeId, u64>,
    /// What was decided.
    moves: Vec<Move>,
}

impl<'a> Planner<'a> {
    fn new(registry: &'a mut Registry, policy: &'a Policy<'a>, now: Moment) -> Self {
        let loads: BTreeMap<NodeId, u64> =
            registry.workers().map(|(id, worker)| (id, worker.load(&policy.weights))).collect();
        let order = loads.iter().map(|(id, load)| (*load, *id)).collect();
        Self { registry, policy, now, loads, order, promised: BTreeMap::new(), moves: Vec::new() }
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
            Some(id) => {
                self.set(expert, id, Some(CopyState::Queued));
                self.note(expert, None, Some(id), if round == 0 { Why::Uncovered } else { Why::FewCopies });
            }
            None if round == 0 => drop(self.evict_for(expert, 1)),
            None => {
                if !self.evict_for(expert, self.target()) {
                    self.shift_for(expert);
                }
            }
        }
    }

    /// Keeps a copy that was on its way out: nothing needs to be loaded.
    fn take_back(&mut self, expert: usize) -> bool {
        let going =
            |id: &&NodeId| matches!(self.registry.state(expert, **id), Some(CopyState::Leaving | CopyState::Retiring));
        let Some(id) = self.registry.copies(expert).iter().find(going).copied() else { return false };
        self.set(expert, id, Some(CopyState::Ready));
        self.note(expert, None, Some(id), Why::TakenBack);
        true
    }

    /// The worker that should get a copy: has room, holds none, did not refuse lately.
    fn roomy_worker(&self, expert: usize) -> Option<NodeId> {
        let layer = self.registry.catalogue.layer(self.registry.catalogue.id(expert).layer);
        let mut eligible = self.order.iter().filter(|(_, id)| self.may_get(expert, *id) && self.fits(expert, *id));
        let lightest = *eligible.next()?;
        let limit = lightest.0 + self.weight_at(expert, lightest.1);
        let near = eligible.take(COMPARED).take_while(|(load, _)| *load <= limit);
        let apart = |id: NodeId| (std::cmp::Reverse(self.affinity(expert, id)), self.of_layer(id, layer.clone()));
        std::iter::once(&lightest).chain(near).min_by_key(|(load, id)| (apart(*id), *load, *id)).map(|(_, id)| *id)
    }

    /// How often the expert is used together with what the worker holds; 0 where holding together is of no use.
    fn affinity(&self, expert: usize, id: NodeId) -> u64 {
        let (Some(uses), Some(worker)) = (self.policy.together, self.registry.worker(id)) else { return 0 };
        let layer = self.registry.catalogue.layer(self.registry.catalogue.id(expert).layer);
        let planned = worker.copies.range(layer).filter(|(_, copy)| copy.state.is_planned());
        planned.map(|(other, _)| u64::from(uses.of(expert, *other))).sum()
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

    /// What the copy adds to the worker's load.
    fn weight_at(&self, expert: usize, id: NodeId) -> u64 {
        let weight = self.policy.weights[expert];
        self.registry.worker(id).map_or(weight, |worker| worker.handicap.times(weight))
    }

    /// Notes a decision.
    fn note(&mut self, expert: usize, from: Option<NodeId>, to: Option<NodeId>, why: Why) {
        let (bytes, expert) = (self.registry.catalogue.bytes(expert), self.registry.catalogue.id(expert));
        self.moves.push(Move { expert, bytes, from, to, why });
    }

    /// Adds or takes the weight of one copy. Called with every change between planned and not planned.
    fn reweigh(&mut self, expert: usize, id: NodeId, more: bool) {
        let weight = self.weight_at(expert, id);
        let Some(load) = self.loads.get_mut(&id) else { return };
        self.order.remove(&(*load, id));
        *load = if more { *load + weight } else { load.saturating_sub(weight) };
        self.order.insert((*load, id));
    }
}

#[cfg(test)]
mod tests;
