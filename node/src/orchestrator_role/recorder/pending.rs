//! Changes that wait to be written: one entry a worker, however much it did.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use neuro_orchestrator::store::{AuditRecord, Batch, BatchId, Earned, ExpertUse, VoucherRecord, WorkerRecord};
use neuro_primitives::{ExpertId, ModelId, NodeId};

/// Audits that wait; of more the oldest is lost, and said to be. An hour of audits at one a second; each has a few KiB
/// of evidence at most, so doubled it is some ten MiB more while a store is down.
const MAX_AUDITS: usize = 4_096;

/// What changed since the last batch. Its size is bounded by the workers and the model, not by the work.
#[derive(Debug, Default)]
pub struct Pending {
    workers: BTreeMap<NodeId, WorkerRecord>,
    micro_units: BTreeMap<NodeId, u64>,
    vouchers: BTreeMap<NodeId, VoucherRecord>,
    audits: VecDeque<AuditRecord>,
    rows: BTreeMap<ExpertId, u64>,
}

impl Pending {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
            && self.micro_units.is_empty()
            && self.vouchers.is_empty()
            && self.audits.is_empty()
            && self.rows.is_empty()
    }

    /// Workers of whom something waits.
    pub fn workers(&self) -> BTreeSet<NodeId> {
        let audited = self.audits.iter().map(|audit| &audit.worker);
        self.workers.keys().chain(self.micro_units.keys()).chain(self.vouchers.keys()).chain(audited).copied().collect()
    }

    /// A worker is like this now.
    pub fn worker(&mut self, record: WorkerRecord) {
        self.workers.insert(record.id, record);
    }

    /// A worker did accepted work.
    pub fn earned(&mut self, worker: NodeId, micro_units: u64) {
        let sum = self.micro_units.entry(worker).or_default();
        *sum = sum.saturating_add(micro_units);
    }

    /// A pair has a later voucher.
    pub fn voucher(&mut self, voucher: VoucherRecord) {
        self.vouchers.insert(voucher.worker, voucher);
    }

    /// A result was checked.
    pub fn audit(&mut self, audit: AuditRecord) {
        self.audits.push_back(audit);
        if self.audits.len() > MAX_AUDITS {
            tracing::warn!("more than {MAX_AUDITS} audits wait for the store; the oldest is lost");
            self.audits.pop_front();
        }
    }

    /// An expert was asked for.
    pub fn expert_use(&mut self, expert: ExpertId, rows: u64) {
        *self.rows.entry(expert).or_default() += rows;
    }

    /// Everything as a batch; nothing waits afterwards.
    pub fn take(&mut self, id: BatchId, at_s: u64, model: ModelId) -> Batch {
        let Self { workers, micro_units, vouchers, audits, rows } = std::mem::take(self);
        Batch {
            id,
            at_s,
            workers: workers.into_values().collect(),
            earned: micro_units.into_iter().map(|(worker, micro_units)| Earned { worker, micro_units }).collect(),
            vouchers: vouchers.into_values().collect(),
            audits: audits.into(),
            expert_use: rows.into_iter().map(|(expert, rows)| ExpertUse { model, expert, rows }).collect(),
        }
    }
}
