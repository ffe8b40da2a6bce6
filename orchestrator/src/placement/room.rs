//! Making room when memory is short.

use neuro_primitives::NodeId;

use super::{Planner, Why};
use crate::registry::CopyState;

impl Planner<'_> {
    /// Copies of experts that have more than `least` give way to one of `expert`, at the worker with the highest load
    /// where that suffices. Whether there is room now, or will be.
    pub(super) fn evict_for(&mut self, expert: usize, least: usize) -> bool {
        if self.await_room(expert) {
            return true;
        }
        let bytes = self.registry.catalogue.bytes(expert);
        let workers: Vec<NodeId> = self.order.iter().rev().map(|(_, id)| *id).collect();
        for id in workers.into_iter().filter(|id| self.may_get(expert, *id)).collect::<Vec<_>>() {
            let spare = self.spare_copies(id, least);
            let gain: u64 = spare.iter().map(|other| self.registry.catalogue.bytes(*other)).sum();
            if self.coming_room(id) + gain >= bytes {
                self.evict(id, &spare, bytes, expert);
                self.use_room(expert, id);
                return true;
            }
        }
        false
    }

    /// Drops as many of the copies as `bytes` need; those in use go when their tasks have ended.
    fn evict(&mut self, id: NodeId, spare: &[usize], bytes: u64, expert: usize) {
        for other in spare {
            if self.coming_room(id) >= bytes {
                return;
            }
            self.reweigh(*other, id, false);
            self.registry.retire(*other, id);
            self.note(*other, Some(id), None, Why::Room { expert: self.registry.catalogue.id(expert) });
        }
    }

    /// Copies at the worker of experts with more than `least`, that others can stand in for: least load first.
    fn spare_copies(&self, id: NodeId, least: usize) -> Vec<usize> {
        let Some(worker) = self.registry.worker(id) else { return Vec::new() };
        let spare = |expert: usize, state: CopyState| match state {
            CopyState::Queued => self.registry.planned(expert) > least,
            CopyState::Ready => {
                self.registry.is_spare(expert, id) && (least == 1 || self.registry.planned(expert) > least)
            }
            _ => false,
        };
        let mut copies: Vec<usize> = worker
            .copies
            .iter()
            .filter(|(expert, copy)| spare(**expert, copy.state))
            .map(|(expert, _)| *expert)
            .collect();
        copies.sort_by_key(|expert| (self.policy.weights[*expert], *expert));
        copies
    }

    /// A second copy of `expert` fits nowhere as it is: moves another expert from a worker without it to one with room
    /// that holds `expert` already.
    pub(super) fn shift_for(&mut self, expert: usize) {
        let roomy: Vec<NodeId> = self
            .registry
            .workers()
            .filter(|(_, worker)| worker.room() > 0 && worker.copies.contains_key(&expert))
            .map(|(id, _)| id)
            .collect();
        if roomy.is_empty() || self.await_room(expert) {
            return;
        }
        if let Some((other, from, to)) = self.find_shift(expert, &roomy) {
            self.shift(other, from, to);
            self.note(other, Some(from), Some(to), Why::Room { expert: self.registry.catalogue.id(expert) });
            self.use_room(expert, from);
        }
    }

    /// `(other expert, from, to)`: moving it makes room for `expert` at `from`.
    fn find_shift(&self, expert: usize, roomy: &[NodeId]) -> Option<(usize, NodeId, NodeId)> {
        let bytes = self.registry.catalogue.bytes(expert);
        let sources = self.order.iter().rev().map(|(_, id)| *id).filter(|id| self.may_get(expert, *id));
        for from in sources {
            let needed = bytes.saturating_sub(self.coming_room(from));
            for other in self.movable(from) {
                let open = |to: &&NodeId| self.may_get(other, **to) && self.fits(other, **to);
                if self.registry.catalogue.bytes(other) < needed {
                    continue;
                }
                if let Some(to) = roomy.iter().find(open) {
                    return Some((other, from, *to));
                }
            }
        }
        None
    }

    /// Takes the room at the worker now, or notes that it is meant for the expert when it comes.
    fn use_room(&mut self, expert: usize, id: NodeId) {
        if self.fits(expert, id) {
            self.set(expert, id, Some(CopyState::Queued));
            self.note(expert, None, Some(id), Why::FewCopies);
        } else {
            *self.promised.entry(id).or_default() += self.registry.catalogue.bytes(expert);
        }
    }

    /// Whether a worker that may get the expert will have room for it anyway; notes it there.
    fn await_room(&mut self, expert: usize) -> bool {
        let bytes = self.registry.catalogue.bytes(expert);
        let waits = |id: &NodeId| self.may_get(expert, *id) && self.coming_room(*id) >= bytes;
        let Some(id) = self.registry.workers().map(|(id, _)| id).find(waits) else { return false };
        *self.promised.entry(id).or_default() += bytes;
        true
    }

    /// Bytes free at the worker now or once copies on their way out are gone, without what is promised.
    fn coming_room(&self, id: NodeId) -> u64 {
        let Some(worker) = self.registry.worker(id) else { return 0 };
        let goes = |expert: usize, state: CopyState| match state {
            CopyState::Leaving => !self.registry.is_kept(expert, id),
            state => state == CopyState::Retiring,
        };
        let going = worker.copies.iter().filter(|(expert, copy)| goes(**expert, copy.state));
        let coming: u64 = going.map(|(expert, _)| self.registry.catalogue.bytes(*expert)).sum();
        (worker.room() + coming).saturating_sub(self.promised.get(&id).copied().unwrap_or(0))
    }
}
