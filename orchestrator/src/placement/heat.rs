//! More copies of what is used most.

use neuro_primitives::NodeId;

use super::{Planner, Why};
use crate::registry::CopyState;

impl Planner<'_> {
    /// Gives hot experts the copies that they should have beside the usual ones, the hottest first, where there is room and
    /// everything else has its copies.
    pub(super) fn heat(&mut self, moves: usize) {
        if !self.short().is_empty() {
            return;
        }
        let most = self.registry.worker_count();
        let wanted = |expert: &usize| (self.target() + self.policy.extra[*expert]).min(most);
        let mut hot: Vec<usize> = (0..self.registry.catalogue.len())
            .filter(|expert| self.policy.extra[*expert] > 0 && self.registry.planned(*expert) < wanted(expert))
            .collect();
        hot.sort_by_key(|expert| (std::cmp::Reverse(self.policy.weights[*expert]), *expert));
        for expert in hot.into_iter().take(moves) {
            let Some(id) = self.roomy_worker(expert) else { continue };
            self.set(expert, id, Some(CopyState::Queued));
            self.note(expert, None, Some(id), Why::Hot);
        }
    }

    /// Takes copies of experts that have more than the usual number and are not hot at all any more.
    pub(super) fn cool(&mut self, moves: usize) {
        let cold = |expert: &usize| {
            self.policy.extra[*expert] == 0
                && !self.policy.is_warm(*expert)
                && self.registry.planned(*expert) > self.target()
        };
        let cold: Vec<usize> = (0..self.registry.catalogue.len()).filter(cold).take(moves).collect();
        for expert in cold {
            let Some(id) = self.heaviest_holder(expert) else { continue };
            self.reweigh(expert, id, false);
            self.registry.retire(expert, id);
            self.note(expert, Some(id), None, Why::Cooled);
        }
    }

    /// Of the workers that could do without their copy, the most loaded one.
    fn heaviest_holder(&self, expert: usize) -> Option<NodeId> {
        let spare = |id: &&NodeId| {
            self.registry.state(expert, **id) == Some(CopyState::Ready) && self.registry.is_spare(expert, **id)
        };
        let holders = self.registry.copies(expert).iter().filter(spare);
        holders.copied().max_by_key(|id| (self.loads.get(id).copied().unwrap_or(0), *id))
    }
}
