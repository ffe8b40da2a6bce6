//! Moving copies from loaded workers to light ones.

use std::collections::{BTreeMap, BinaryHeap};

use neuro_primitives::NodeId;

use super::Planner;
use crate::registry::CopyState;

/// A worker is too loaded when it has more than 5/4 of the mean: less is not worth a transfer.
const TOO_LOADED: (u128, u128) = (5, 4);

impl Planner<'_> {
    /// Moves copies onto the worker, from the most loaded first, while each move narrows the gap; at most `limit`.
    /// Returns how many moved.
    pub(super) fn balance_onto(&mut self, to: NodeId, limit: usize) -> usize {
        let mut sources: BinaryHeap<(u64, std::cmp::Reverse<NodeId>)> =
            self.loads.iter().filter(|(id, _)| **id != to).map(|(id, load)| (*load, std::cmp::Reverse(*id))).collect();
        let mut movable: BTreeMap<NodeId, std::vec::IntoIter<usize>> = BTreeMap::new();
        let mut moved = 0;
        while moved < limit {
            let Some((_, std::cmp::Reverse(from))) = sources.pop() else { break };
            if !self.narrows(from, to, 0) {
                break;
            }
            let left = movable.entry(from).or_insert_with(|| self.movable(from).into_iter());
            let Some(expert) = left.find(|expert| self.can_move(*expert, from, to)) else { continue };
            self.shift(expert, from, to);
            moved += 1;
            sources.push((self.load(from), std::cmp::Reverse(from)));
        }
        moved
    }

    /// Narrows the widest gaps, if there are workers with far more than the mean.
    pub(super) fn level(&mut self, mut moves: usize) {
        while moves > 0 {
            let (Some(lightest), Some(heaviest)) = (self.order.first().copied(), self.order.last().copied()) else { return };
            let total: u128 = self.loads.values().map(|load| u128::from(*load)).sum();
            if u128::from(heaviest.0) * TOO_LOADED.1 * self.loads.len() as u128 <= total * TOO_LOADED.0 {
                return;
            }
            if self.balance_onto(lightest.1, 1) == 0 {
                return;
            }
            moves -= 1;
        }
    }

    /// Copies at the worker that can go elsewhere: those it was not told about first, then the heaviest, spread over the
    /// layers.
    pub(super) fn movable(&self, id: NodeId) -> Vec<usize> {
        let Some(worker) = self.registry.worker(id) else { return Vec::new() };
        let mut of_layer: BTreeMap<u16, usize> = BTreeMap::new();
        let mut copies = Vec::new();
        for (expert, copy) in &worker.copies {
            if matches!(copy.state, CopyState::Queued | CopyState::Ready) {
                let layer = self.registry.catalogue.id(*expert).layer;
                let rank = of_layer.entry(layer).and_modify(|rank| *rank += 1).or_insert(0);
                let weight = std::cmp::Reverse(self.policy.weights[*expert]);
                copies.push((copy.state == CopyState::Ready, weight, *rank, layer, *expert));
            }
        }
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
        self.narrows(from, to, self.policy.weights[expert]) && self.may_get(expert, to) && self.fits(expert, to)
    }

    /// Whether `from` still has at least as much as `to` after a move of this weight.
    fn narrows(&self, from: NodeId, to: NodeId, weight: u64) -> bool {
        self.load(from) >= self.load(to).saturating_add(weight.saturating_mul(2)) && self.load(from) > self.load(to)
    }

    fn load(&self, id: NodeId) -> u64 {
        self.loads.get(&id).copied().unwrap_or(0)
    }
}
