//! When placement is looked at, what comes of it, and what would come of it now.

use neuro_primitives::{ExpertId, Moment};

use crate::metering::Metering;
use crate::orchestrator::{Gathering, Orchestrator};
use crate::placement::{self, Policy};
use crate::registry::Registry;
use crate::settings::REBALANCE_MOVES;
use crate::views::{LoadView, PlacementView};

/// Rows of earlier runs that count. It fades by half at each look at the balance: after ten of them it is noise.
const REMEMBERED_ROWS: u64 = 1 << 20;

impl Orchestrator {
    /// Does the placement work that piled up, and tells the workers.
    pub(crate) fn place(&mut self, now: Moment) {
        if self.gathering != Gathering::Over {
            return;
        }
        let freed = self.registry.take_freed();
        let work = &mut self.pending;
        let (plan, level) =
            (std::mem::take(&mut work.replan) || (freed && work.short), std::mem::take(&mut work.level));
        if plan || level {
            self.weigh_workers(now);
            let far_flung = self.is_far_flung(now);
            let policy = policy(self.settings.replicas, &self.registry, &self.metering, far_flung);
            if plan {
                let newcomers = std::mem::take(&mut self.pending.newcomers);
                if self.registry.is_loading() {
                    self.pending.early.extend(&newcomers);
                }
                let (short, moves) = placement::plan(&mut self.registry, &policy, &newcomers, now);
                self.pending.short = short;
                self.history.extend(moves);
            }
            if level {
                self.history.extend(placement::rebalance(&mut self.registry, &policy, REBALANCE_MOVES, now));
                self.metering.fade();
            }
            self.pending.hungry.extend(self.registry.workers().map(|(id, _)| id));
        }
        self.tell_drops();
        for id in std::mem::take(&mut self.pending.hungry) {
            self.tell_loads(id, now);
        }
    }

    /// Takes over how much experts were used in runs before: in proportion, since a long history must not outweigh what
    /// is used now.
    pub fn remember_use(&mut self, rows: &[(ExpertId, u64)]) {
        let total = rows.iter().map(|(_, rows)| u128::from(*rows)).sum::<u128>().max(1);
        for (expert, rows) in rows {
            if let Some(index) = self.registry.catalogue.index(*expert) {
                let part = u128::from(*rows) * u128::from(REMEMBERED_ROWS).min(total) / total;
                self.metering.remember(index, u64::try_from(part).unwrap_or(REMEMBERED_ROWS));
            }
        }
    }

    /// Rows that went to experts since this was last asked, for those that keep count over runs.
    pub fn take_use(&mut self) -> Vec<(ExpertId, u64)> {
        let id = |(index, rows)| (self.registry.catalogue.id(index), rows);
        self.metering.take_use().into_iter().map(id).collect()
    }

    /// Who has how much to do, what was moved lately and why, and what a look at the balance would move now.
    #[must_use]
    pub fn placement(&self, now: Moment) -> PlacementView {
        let together = self.is_far_flung(now);
        let policy = policy(self.settings.replicas, &self.registry, &self.metering, together);
        let mut trial = self.registry.clone();
        let newcomers = self.pending.newcomers.union(&self.pending.early).copied().collect();
        let (_, mut next) = placement::plan(&mut trial, &policy, &newcomers, now);
        next.extend(placement::rebalance(&mut trial, &policy, REBALANCE_MOVES, now));
        let hot = (0..self.registry.catalogue.len()).filter(|expert| policy.extra[*expert] > 0);
        PlacementView {
            workers: loads(&self.registry, &policy),
            hot: hot.map(|expert| self.registry.catalogue.id(expert)).collect(),
            together,
            recent: self.history.moves(),
            next,
        }
    }
}

fn policy<'a>(replicas: usize, registry: &Registry, metering: &'a Metering, together: bool) -> Policy<'a> {
    let policy = Policy::new(replicas, registry, metering.recent());
    if together { policy.holding_together(&metering.together) } else { policy }
}

/// The load of each worker beside the mean, ascending by id.
fn loads(registry: &Registry, policy: &Policy<'_>) -> Vec<LoadView> {
    let weights: Vec<_> = registry.workers().map(|(id, worker)| (id, worker, worker.load(&policy.weights))).collect();
    let total = weights.iter().map(|(.., weight)| u128::from(*weight)).sum::<u128>().max(1);
    let percent = |weight: u64| u128::from(weight) * 100 * weights.len() as u128 / total;
    let view = |(id, worker, weight): &(_, &crate::registry::Worker, u64)| LoadView {
        id: *id,
        load_percent: u64::try_from(percent(*weight)).unwrap_or(u64::MAX),
        handicap_percent: worker.handicap.percent(),
        experts: worker.copies.len(),
        assigned_bytes: worker.assigned_bytes,
        memory_limit_bytes: worker.memory_limit_bytes,
    };
    weights.iter().map(view).collect()
}
