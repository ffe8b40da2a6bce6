//! Writes batches to a store, each exactly once.
//!
//! A batch that failed may nevertheless have been applied: the connection can break after the commit. So it is kept as
//! it is and committed again under the same name until the store says that it is there; what changes meanwhile waits for
//! the next one.

use neuro_orchestrator::store::{Batch, BatchId, Store, StoreError};
use neuro_primitives::{ModelId, NodeId};

use super::pending::Pending;

/// The owner of the store.
pub struct Writer {
    store: Box<dyn Store>,
    model: ModelId,
    /// The batch that is next.
    next: BatchId,
    /// A batch of which it is not known whether it was applied.
    unsure: Option<Batch>,
    written: u64,
}

impl Writer {
    /// Goes on where `writer` stopped. `run` is a random number: it tells this run from another with the same key.
    pub fn new(mut store: Box<dyn Store>, writer: NodeId, run: u64, model: ModelId) -> Result<Self, StoreError> {
        let sequence = store.last_batch(writer)?.map_or(0, |last| last.sequence) + 1;
        Ok(Self { store, model, next: BatchId { writer, sequence, run }, unsure: None, written: 0 })
    }

    /// The store, to be read.
    pub fn store(&mut self) -> &mut dyn Store {
        &mut *self.store
    }

    /// The batch that could not be written so far.
    pub const fn unsure(&self) -> Option<&Batch> {
        self.unsure.as_ref()
    }

    /// Batches that were written.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Makes what waits the next batch, unless one is being written still.
    pub fn freeze(&mut self, pending: &mut Pending, at_s: u64) {
        if self.unsure.is_none() && !pending.is_empty() {
            self.unsure = Some(pending.take(self.next, at_s, self.model));
        }
    }

    /// Writes the frozen batch. A voucher that the store refuses would hold up everything: it is left out, and said.
    pub fn write(&mut self) -> Result<(), StoreError> {
        while let Some(batch) = &mut self.unsure {
            match self.store.commit(batch) {
                Ok(()) => {
                    self.unsure = None;
                    self.next.sequence += 1;
                    self.written += 1;
                }
                Err(error) => leave_out(batch, error)?,
            }
        }
        Ok(())
    }
}

/// Takes the voucher out that `error` is about; another error is returned.
fn leave_out(batch: &mut Batch, error: StoreError) -> Result<(), StoreError> {
    let before = batch.vouchers.len();
    batch.vouchers.retain(|voucher| Some(voucher.voucher().worker) != error.refused_voucher());
    if batch.vouchers.len() == before {
        return Err(error);
    }
    tracing::error!(%error, remedy = error.remedy(), "a voucher was refused and is not kept");
    Ok(())
}
