//! Changes that wait to be written: one entry a worker, however much it did.

use std::collections::{BTreeMap, BTreeSet};

use neuro_orchestrator::store::{Batch, BatchId, Earned, ExpertUse, WorkerRecord};
use neuro_primitives::receipt::SignedVoucher;
use neuro_primitives::{ExpertId, ModelId, NodeId};

/// What changed since the last batch. Its size is bounded by the workers and the model, not by the work.
#[derive(Debug, Default)]
pub struct Pending {
    pardoned: BTreeSet<NodeId>,
    workers: BTreeMap<NodeId, WorkerRecord>,
    micro_units: BTreeMap<NodeId, u64>,
    vouchers: BTreeMap<NodeId, SignedVoucher>,
    rows: BTreeMap<ExpertId, u64>,
}

impl Pending {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        let nobody = self.pardoned.is_empty() && self.workers.is_empty();
        nobody && self.micro_units.is_empty() && self.vouchers.is_empty() && self.rows.is_empty()
    }

    /// Workers of whom something waits.
    pub fn workers(&self) -> BTreeSet<NodeId> {
        let changed = self.workers.keys().chain(self.micro_units.keys()).chain(self.vouchers.keys());
        changed.chain(&self.pardoned).copied().collect()
    }

    /// A worker is like this now.
    pub fn worker(&mut self, record: WorkerRecord) {
        self.workers.insert(record.id, record);
    }

    /// A worker is excluded no more.
    pub fn pardoned(&mut self, worker: NodeId) {
        self.pardoned.insert(worker);
    }

    /// A worker did accepted work.
    pub fn earned(&mut self, worker: NodeId, micro_units: u64) {
        let sum = self.micro_units.entry(worker).or_default();
        *sum = sum.saturating_add(micro_units);
    }

    /// A pair has a later voucher.
    pub fn voucher(&mut self, voucher: SignedVoucher) {
        self.vouchers.insert(voucher.voucher().worker, voucher);
    }

    /// An expert was asked for.
    pub fn expert_use(&mut self, expert: ExpertId, rows: u64) {
        *self.rows.entry(expert).or_default() += rows;
    }

    /// Everything as a batch; nothing waits afterwards.
    pub fn take(&mut self, id: BatchId, at_s: u64, model: ModelId) -> Batch {
        let Self { pardoned, workers, micro_units, vouchers, rows } = std::mem::take(self);
        Batch {
            id,
            at_s,
            pardoned: pardoned.into_iter().collect(),
            workers: workers.into_values().collect(),
            earned: micro_units.into_iter().map(|(worker, micro_units)| Earned { worker, micro_units }).collect(),
            vouchers: vouchers.into_values().collect(),
            expert_use: rows.into_iter().map(|(expert, rows)| ExpertUse { model, expert, rows }).collect(),
        }
    }
}
