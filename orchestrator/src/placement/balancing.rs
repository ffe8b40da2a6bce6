//! Moving copies from loaded workers to light ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use neuro_primitives::NodeId;

use super::{COMPARED, Planner, Why};
use crate::registry::CopyState;

/// A worker is too loaded when it has more than 5/4 of the mean: less is not worth a transfer.
const TOO_LOADED: (u128, u128) = (5, 4);

impl Planner<'_> {
    /// Moves copies onto the worker, from the most loaded first, while each move narrows the gap.
    pub(super) fn balance_onto(&mut self, to: NodeId) {
        let mut sources: BinaryHeap<(u64, Reverse<NodeId>)> =
            self.loads.iter().filter(|(id, _)| **id != to).map(|(id, load)| (*load, Reverse(*id))).collect();
        let mut offers: BTreeMap<NodeId, Offer> = BTreeMap::new();
        let mut taken: BTreeMap<u16, usize> = BTreeMap::new();
        for expert in self.movable(to) {
            *taken.entry(self.registry.catalogue.id(expert).layer).or_default() += 1;
        }
        while let Some((_, Reverse(from))) = sources.pop() {
            if !self.is_above(from, to) {
                return;
            }
            let offer = offers.entry(from).or_insert_with(|| self.offer(from));
            let next = std::iter::from_fn(|| offer.take_next(&taken)).find(|expert| self.can_move(*expert, from, to));
            let Some(expert) = next else { continue };
            *taken.entry(self.registry.catalogue.id(expert).layer).or_default() += 1;
            self.shift(expert, from, to);
            self.note(expert, Some(from), Some(to), Why::Newcomer);
            sources.push((self.load(from), Reverse(from)));
        }
    }

    /// Narrows the widest gaps, if there are workers with far more than the mean.
    pub(super) fn level(&mut self, moves: usize) {
        for _ in 0..moves {
            let (Some((_, to)), Some((most, from))) = (self.order.first().copied(), self.order.last().copied()) else {
                return;
            };
            let total: u128 = self.loads.values().map(|load| u128::from(*load)).sum();
            if u128::from(most) * TOO_LOADED.1 * self.loads.len() as u128 <= total * TOO_LOADED.0 {
                return;
            }
            let Some(expert) = self.best_move(from, to) else { return };
            let percent = |load: u64| {
                u64::try_from(u128::from(load) * 100 * self.loads.len() as u128 / total.max(1)).unwrap_or(u64::MAX)
            };
            let why = Why::Balance { from_percent: percent(most), to_percent: percent(self.load(to)) };
            self.shift(expert, from, to);
            self.note(expert, Some(from), Some(to), why);
        }
    }

    /// The heaviest copy that can move, since each costs a transfer; among the first few the one that is used least with
    /// what stays and most with what it comes to, where that matters.
    fn best_move(&self, from: NodeId, to: NodeId) -> Option<usize> {
        let movable = self.movable(from).into_iter().filter(|expert| self.can_move(*expert, from, to));
        let gain = |expert: usize| self.affinity(expert, to) as i64 - self.affinity(expert, from) as i64;
        movable
            .take(COMPARED)
            .enumerate()
            .max_by_key(|(place, expert)| (gain(*expert), Reverse(*place)))
            .map(|(_, expert)| expert)
    }

    /// What the worker has to offer, by layer.
    fn offer(&self, id: NodeId) -> Offer {
        let mut offer = Offer::default();
        for expert in self.movable(id).into_iter().rev() {
            offer.0.entry(self.registry.catalogue.id(expert).layer).or_default().push(expert);
        }
        offer
    }

    /// Copies at the worker that can go elsewhere: those it was not told about first, then the heaviest.
    pub(super) fn movable(&self, id: NodeId) -> Vec<usize> {
        let Some(worker) = self.registry.worker(id) else { return Vec::new() };
        let movable =
            worker.copies.iter().filter(|(_, copy)| matches!(copy.state, CopyState::Queued | CopyState::Ready));
        let mut copies: Vec<_> = movable
            .map(|(expert, copy)| (copy.state == CopyState::Ready, Reverse(self.policy.weights[*expert]), *expert))
            .collect();
        copies.sort_unstable();
        copies.into_iter().map(|(.., expert)| expert).collect()
    }

    /// Moves a planned copy: at once when the worker was not told of it, else it stays until the new one is ready.
    pub(super) fn shift(&mut self, expert: usize, from: NodeId, to: NodeId) {
        let told = self.registry.state(expert, from) == Some(CopyState::Ready);
        self.set(expert, from, told.then_some(CopyState::Leaving));
        self.set(expert, to, Some(CopyState::Queued));
    }

    fn can_move(&self, expert: usize, from: NodeId, to: NodeId) -> bool {
        self.narrows(expert, from, to) && self.may_get(expert, to) && self.fits(expert, to)
    }

    /// Whether a move of this copy leaves both with clearly less than `from` has now. Such moves come to an end.
    fn narrows(&self, expert: usize, from: NodeId, to: NodeId) -> bool {
        let weight = self.weight_at(expert, to);
        self.load(from) > self.load(to).saturating_add(weight).saturating_add(weight / 4)
    }

    /// Whether `from` has more than `to` at all.
    fn is_above(&self, from: NodeId, to: NodeId) -> bool {
        self.load(from) > self.load(to)
    }

    fn load(&self, id: NodeId) -> u64 {
        self.loads.get(&id).copied().unwrap_or(0)
    }
}

/// Copies that a worker can give away, by layer; of each layer the best one last.
#[derive(Debug, Default)]
struct Offer(BTreeMap<u16, Vec<usize>>);

impl Offer {
    /// Takes the best copy of the layer that is spread worst: many here, few at the receiver, who has `taken` so many.
    fn take_next(&mut self, taken: &BTreeMap<u16, usize>) -> Option<usize> {
        let excess = |layer: u16, here: usize| here as i64 - taken.get(&layer).copied().unwrap_or(0) as i64;
        let open = self.0.iter().filter(|(_, copies)| !copies.is_empty());
        let layer = *open.max_by_key(|(layer, copies)| (excess(**layer, copies.len()), Reverse(**layer)))?.0;
        self.0.get_mut(&layer)?.pop()
    }
}
