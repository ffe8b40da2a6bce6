//! Whom a round can call, and how many it does.

use std::collections::BTreeMap;

use neuro_fl_aggregator::BatchInfo;
use neuro_primitives::NodeId;
use neuro_secagg::config::SignedConfig;
use neuro_secagg::roster::{Registry, Roster};

/// The roster's batches, ascending, with how many of their members attend, and what the least able of those declared.
pub(super) fn batches(roster: &Roster, attending: &[NodeId], capabilities: &BTreeMap<NodeId, u64>) -> Vec<BatchInfo> {
    let mut batches = BTreeMap::<u16, BatchInfo>::new();
    for member in &roster.fields().members {
        let new = BatchInfo { batch: member.batch, members: 0, present: 0, capability: u64::MAX };
        let batch = batches.entry(member.batch).or_insert(new);
        batch.members += 1;
        if attending.binary_search(&member.node).is_ok() {
            batch.present += 1;
            batch.capability = batch.capability.min(capabilities.get(&member.node).copied().unwrap_or(0));
        }
    }
    // Nobody of it has declared anything.
    batches.values_mut().filter(|batch| batch.present == 0).for_each(|batch| batch.capability = 0);
    batches.into_values().collect()
}

/// How many members the batches of a round list together.
pub(super) fn rostered(configs: &[SignedConfig], roster: &Roster) -> u32 {
    let mut batches: Vec<u16> = configs.iter().flat_map(|config| config.config().batches.clone()).collect();
    batches.sort_unstable();
    batches.dedup();
    roster.rostered(&batches)
}
