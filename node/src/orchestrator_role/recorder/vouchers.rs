//! The orchestrator's vouchers: in memory as they are now, in the store with the next batch.
//!
//! What a crash takes, the last 200 ms, the worker has on disk: it signs after it has written. So nobody waits for the
//! store here either.

use std::io;

use neuro_primitives::NodeId;
use neuro_primitives::receipt::SignedVoucher;

use super::Recorder;
use crate::vouchers::VoucherStore;

impl VoucherStore for Recorder {
    fn last(&self, worker: NodeId) -> Option<SignedVoucher> {
        let voucher = self.lock().vouchers.get(&worker).copied()?;
        let verified = voucher.verify().map(|()| voucher);
        verified.inspect_err(|error| tracing::warn!(worker = %worker.short(), %error, "a stored voucher is none")).ok()
    }

    fn keep(&self, worker: NodeId, voucher: &SignedVoucher) -> io::Result<()> {
        self.record(|state| {
            let last = state.vouchers.get(&worker).map(|last| last.voucher().sequence);
            if last.is_none_or(|last| last < voucher.voucher().sequence) {
                state.vouchers.insert(worker, *voucher);
                state.pending.voucher(*voucher);
            }
        });
        Ok(())
    }
}
