//! Whom a round can call, and how many it does.

use neuro_fl_aggregator::BatchInfo;
use neuro_primitives::NodeId;
use neuro_secagg::config::SignedConfig;
use neuro_secagg::roster::{Registry, Roster};

/// The roster's batches, ascending, with how many of their members attend.
pub(super) fn batches(roster: &Roster, attending: &[NodeId]) -> Vec<BatchInfo> {
    let mut members: Vec<(u16, bool)> = roster
        .fields()
        .members
        .iter()
        .map(|member| (member.batch, attending.binary_search(&member.node).is_ok()))
        .collect();
    members.sort_unstable();
    let groups = members.chunk_by(|a, b| a.0 == b.0);
    let batch = |group: &[(u16, bool)]| BatchInfo {
        batch: group[0].0,
        members: group.len() as u32,
        present: group.iter().filter(|(_, present)| *present).count() as u32,
        capability: 0,
    };
    groups.map(batch).collect()
}

/// How many members the batches of a round list together.
pub(super) fn rostered(configs: &[SignedConfig], roster: &Roster) -> u32 {
    let mut batches: Vec<u16> = configs.iter().flat_map(|config| config.config().batches.clone()).collect();
    batches.sort_unstable();
    batches.dedup();
    roster.rostered(&batches)
}
