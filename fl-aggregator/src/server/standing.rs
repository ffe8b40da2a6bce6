//! Where a task stands: what comes next, and whether anything does.

use super::{RoundKind, TaskEffect, TaskEnd, TaskServer};
use crate::shards::LEAST_SHARDS;

impl TaskServer {
    /// What the next round is for.
    #[must_use]
    pub fn next_kind(&self) -> RoundKind {
        if self.at.evaluation_due {
            RoundKind::Evaluate
        } else if self.at.applied < self.setup.plan.rounds {
            RoundKind::Train
        } else {
            RoundKind::Router
        }
    }

    /// Why no further round is called by itself, if so. It follows from what is kept, so a restored server knows it too.
    #[must_use]
    pub fn over(&self) -> Option<TaskEnd> {
        let plan = &self.setup.plan;
        let router = plan.router.as_ref().map_or(0, |router| router.rounds);
        if let Some(watch) = self.at.early_stop.as_ref().filter(|watch| watch.is_over()) {
            return Some(TaskEnd::EarlyStop { best: watch.best().unwrap_or_default() });
        }
        if self.at.failures >= plan.failures {
            return Some(TaskEnd::Failing { rounds: self.at.failures });
        }
        let all = self.at.applied >= plan.rounds && self.at.router_applied >= router && !self.at.evaluation_due;
        all.then_some(TaskEnd::Done)
    }

    /// What the cohorts of the round under way are called, in their order.
    #[must_use]
    pub fn called(&self) -> Vec<String> {
        let cohorts = self.under_way.iter().flat_map(|round| round.cohorts.values());
        cohorts.map(|cohort| cohort.name.clone()).collect()
    }

    /// How many cohorts of the round under way must have a sum for any of their sums to be of use: a robust rule refuses fewer.
    #[must_use]
    pub fn least_sums(&self) -> usize {
        let robust = self.setup.plan.robust.is_some();
        let shards = self.under_way.as_ref().filter(|round| robust && round.kind == RoundKind::Train);
        shards.map_or(0, |_| LEAST_SHARDS)
    }

    pub(super) fn withdraw(&mut self) -> Vec<TaskEffect> {
        match self.under_way.take() {
            None => vec![TaskEffect::Ignored("no round is under way")],
            Some(_) => vec![TaskEffect::Keep(self.at.clone()), TaskEffect::Next(self.next_kind())],
        }
    }
}
