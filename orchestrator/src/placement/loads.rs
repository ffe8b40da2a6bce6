//! Which queued copies a worker is told to load next.

use neuro_primitives::NodeId;

use crate::registry::{CopyState, Registry};
use crate::settings::LOADS_AT_ONCE;

/// Marks the most urgent queued copies as loading and returns them: those that calls wait for, then those with the
/// fewest copies ready or loading elsewhere. Tells a worker nothing while more than half of its loads are outstanding,
/// so that the queue is not searched for every expert that becomes ready.
pub(crate) fn next_loads(registry: &mut Registry, id: NodeId, is_waited_for: impl Fn(usize) -> bool) -> Vec<usize> {
    let Some(worker) = registry.worker(id) else { return Vec::new() };
    if worker.queued == 0 || worker.loading > LOADS_AT_ONCE / 2 {
        return Vec::new();
    }
    let queued = worker.copies.iter().filter(|(_, copy)| copy.state == CopyState::Queued).map(|(expert, _)| *expert);
    let mut urgent: Vec<_> = queued
        .map(|expert| {
            (!is_waited_for(expert), under_way(registry, expert), registry.catalogue.across_layers(expert), expert)
        })
        .collect();
    urgent.sort_unstable();
    urgent.truncate(LOADS_AT_ONCE - worker.loading);
    let experts: Vec<usize> = urgent.into_iter().map(|(.., expert)| expert).collect();
    for expert in &experts {
        if let Some(worker) = registry.worker_mut(id) {
            worker.dropped.remove(expert);
        }
        registry.set(*expert, id, Some(CopyState::Loading));
    }
    experts
}

/// Copies that serve or are being loaded.
fn under_way(registry: &Registry, expert: usize) -> usize {
    let counts = |id: &&NodeId| matches!(registry.state(expert, **id), Some(CopyState::Loading | CopyState::Ready));
    registry.copies(expert).iter().filter(counts).count()
}
