//! The worker's receipts: what it answered, and the vouchers that it signs for it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use neuro_orchestrator::receipts::{Answered, MAX_RECORDS, Pair, Payee};
use neuro_primitives::receipt::{AnswerTree, Offer, SignedVoucher};
use neuro_primitives::{NodeId, NodeKey, TaskId, UnixMillis};
use neuro_protocol::control::{LastVoucher, VoucherOffer, VoucherRefusal, VoucherReply, voucher_reply};
use neuro_protocol::frame::{Answer, MicroTask};

use crate::vouchers::VoucherStore;

/// The account with one orchestrator. Used by the compute thread and by the control conversation.
pub struct Receipts {
    key: NodeKey,
    orchestrator: NodeId,
    store: Box<dyn VoucherStore>,
    /// Held while a voucher is written down.
    payee: Mutex<Payee>,
    /// What was answered and is not in the account yet, oldest first; as many as the account holds at most. Never held
    /// while anything is waited for, and taken after the account where both are.
    fresh: Mutex<VecDeque<Answered>>,
}

impl Receipts {
    /// Goes on from the last voucher in `store`.
    #[must_use]
    pub fn new(key: NodeKey, orchestrator: NodeId, store: Box<dyn VoucherStore>) -> Self {
        let pair = Pair { orchestrator, worker: key.node_id() };
        let payee = Mutex::new(Payee::new(pair, store.last(orchestrator)));
        Self { key, orchestrator, store, payee, fresh: Mutex::default() }
    }

    /// Remembers an answer, before it is sent. Does not wait for a disk.
    pub fn answered(&self, task: &MicroTask, answer: &Answer) {
        let asked = (&task.hidden, &task.routes);
        let tree = AnswerTree::new(task.model, task.layer, task.task, asked, (&answer.digests, &answer.sums));
        let leaf = tree.leaf();
        let mut fresh = self.fresh();
        fresh.push_back(Answered { task: leaf.task, leaf: leaf.hash(), units: leaf.entries });
        if fresh.len() > MAX_RECORDS {
            fresh.pop_front();
        }
    }

    /// What the orchestrator is told first. Waits for a file that is being written: not for a thread that must not wait.
    #[must_use]
    pub fn last(&self) -> LastVoucher {
        LastVoucher { voucher: self.payee().last().map(SignedVoucher::encode).unwrap_or_default() }
    }

    /// Signs what was offered, once it is on disk, or says why not. Writes a file: not for a thread that must not wait.
    #[must_use]
    pub fn reply(&self, offered: &VoucherOffer, wall: UnixMillis) -> VoucherReply {
        let reply = match self.sign(offered, wall) {
            Ok(signed) => voucher_reply::Reply::Signed(signed.encode()),
            Err(refusal) => {
                tracing::warn!(reason = refusal.reason, "a voucher was not signed");
                voucher_reply::Reply::Refused(refusal)
            }
        };
        VoucherReply { reply: Some(reply) }
    }

    /// Takes over a newer voucher that both signed. Writes a file.
    pub fn told(&self, told: &LastVoucher) {
        let Ok(voucher) = SignedVoucher::decode(&told.voucher) else { return };
        match self.payee().adopt(voucher) {
            Ok(true) => {
                drop(self.store.keep(self.orchestrator, &voucher).inspect_err(
                    |error| tracing::warn!(%error, "cannot write a voucher down; the orchestrator has it"),
                ))
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the orchestrator told a voucher that is none"),
        }
    }

    /// Puts what was answered until now into the account. An answer is fresh before it is sent, so nothing can be offered
    /// for it that is judged without it.
    fn count(&self, payee: &mut Payee) {
        let fresh = std::mem::take(&mut *self.fresh());
        for answered in fresh {
            payee.answered(answered);
        }
    }

    /// The account stays locked while the file is written: no second voucher may be signed meanwhile.
    fn sign(&self, offered: &VoucherOffer, wall: UnixMillis) -> Result<SignedVoucher, VoucherRefusal> {
        let refused =
            |sequence, reason: &dyn std::fmt::Display| VoucherRefusal { sequence, reason: reason.to_string() };
        let offer = Offer::decode(&offered.offer).map_err(|error| refused(0, &error))?;
        let refused = |reason: &dyn std::fmt::Display| refused(offer.voucher.sequence, reason);
        let tasks: Vec<TaskId> = offered.tasks.iter().copied().map(TaskId).collect();
        let mut payee = self.payee();
        self.count(&mut payee);
        let signed = payee.check(offer, &tasks, &self.key, wall).map_err(|error| refused(&error))?;
        self.store.keep(self.orchestrator, &signed).map_err(|error| refused(&error))?;
        payee.keep(signed, &tasks);
        Ok(signed)
    }

    fn fresh(&self) -> MutexGuard<'_, VecDeque<Answered>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No change to the account can panic half way, so a poisoned lock guards a whole one.
    fn payee(&self) -> MutexGuard<'_, Payee> {
        self.payee.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
