//! The orchestrator's receipts: what each worker is owed, and the vouchers that it is offered.
//!
//! Whoever takes answers calls [`Receipts::answered`] with an answer that fits its task and that the core says came in time, and
//! [`Receipts::disputed`] when it is found wrong. A worker's attendance does the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use neuro_orchestrator::receipts::{Answered, Pair, Payer, ReceiptFault, ReceiptSettings};
use neuro_primitives::receipt::{AnswerLeaf, Offer, Proof, SignedVoucher, Totals};
use neuro_primitives::{Moment, NodeId, NodeKey, TaskId, UnixMillis};
use neuro_protocol::control::{LastVoucher, VoucherOffer, VoucherReply, instruction, voucher_reply};

use crate::vouchers::VoucherStore;

/// Accounts that are kept open of workers that left: for answers that were not offered yet and for late disputes. Of
/// more, the one that left first is closed: its last voucher is in the store, and what no offer named is lost. One takes
/// 2 MB where a thousand answers came a second.
const AWAY_KEPT: usize = 64;

/// The accounts with the workers that attend, and with the latest that left.
pub struct Receipts {
    key: NodeKey,
    settings: ReceiptSettings,
    store: Arc<dyn VoucherStore>,
    accounts: Mutex<Accounts>,
}

type Accounts = BTreeMap<NodeId, Account>;

/// What is known of one worker's receipts.
struct Account {
    payer: Payer,
    /// When the worker left, if it did.
    away: Option<Moment>,
}

/// What is to be told to a worker.
type Instructions = Vec<instruction::Instruction>;

impl Receipts {
    /// Accounts that go on from the last vouchers in `store`.
    #[must_use]
    pub fn new(key: NodeKey, settings: ReceiptSettings, store: Arc<dyn VoucherStore>) -> Self {
        Self { key, settings, store, accounts: Mutex::default() }
    }

    /// How often a worker is to be asked for with [`Receipts::due`].
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.settings.interval
    }

    /// `worker` answered in time, and the answer fits its task.
    pub fn answered(&self, worker: NodeId, leaf: &AnswerLeaf, now: Moment) {
        let answered = Answered { task: leaf.task, leaf: leaf.hash(), units: leaf.entries };
        self.with(worker, now, |payer| payer.answered(answered, now));
    }

    /// The answer of `worker` to `task` was found wrong.
    pub fn disputed(&self, worker: NodeId, task: TaskId) {
        if let Some(account) = self.accounts().get_mut(&worker) {
            account.payer.disputed(task);
        }
    }

    /// A check of the answer of `worker` to `task` begins: it is not paid before [`Receipts::check_ended`].
    pub fn check_began(&self, worker: NodeId, task: TaskId) {
        if let Some(account) = self.accounts().get_mut(&worker) {
            account.payer.check_began(task);
        }
    }

    /// The check has ended; what it found was said before.
    pub fn check_ended(&self, worker: NodeId, task: TaskId) {
        if let Some(account) = self.accounts().get_mut(&worker) {
            account.payer.check_ended(task);
        }
    }

    /// `worker` attends no more.
    pub fn left(&self, worker: NodeId, now: Moment) {
        let mut accounts = self.accounts();
        if let Some(account) = accounts.get_mut(&worker) {
            account.away = Some(now);
        }
        let away = accounts.iter().filter_map(|(worker, account)| Some((account.away?, *worker)));
        let away: Vec<(Moment, NodeId)> = away.collect();
        if away.len() > AWAY_KEPT {
            away.iter().min().and_then(|(_, first)| accounts.remove(first));
        }
    }

    /// The voucher that covers the answer to `task`, and the way to its root, while it may have to be shown.
    #[must_use]
    pub fn proof(&self, worker: NodeId, task: TaskId) -> Option<(SignedVoucher, Proof)> {
        self.accounts().get(&worker)?.payer.proof(task)
    }

    /// The totals that `worker` signed last, while its account is open.
    #[must_use]
    pub fn totals(&self, worker: NodeId) -> Option<Totals> {
        self.accounts().get(&worker).map(|account| account.payer.totals())
    }

    /// `worker` attends and tells its last voucher. Returns what it is to be told. Checks signatures: not for a thread that
    /// must not wait.
    ///
    /// # Errors
    /// When what it tells is no voucher of the two.
    pub fn attached(&self, worker: NodeId, last: &LastVoucher, now: Moment) -> Result<Instructions, ReceiptFault> {
        let theirs = match last.voucher.as_slice() {
            [] => None,
            bytes => Some(SignedVoucher::decode(bytes)?),
        };
        let resumption = self.with(worker, now, |payer| payer.attached(theirs, now))?;
        self.accounts().entry(worker).and_modify(|account| account.away = None);
        resumption.adopted.inspect(|voucher| self.keep(worker, voucher));
        let tell = resumption.tell.map(|voucher| LastVoucher { voucher: voucher.encode() });
        let again = resumption.again.map(|(offer, tasks)| offered(&offer, &tasks));
        Ok(tell.map(instruction::Instruction::LastVoucher).into_iter().chain(again).collect())
    }

    /// The next voucher for `worker`, which attends, if one is due. Gives up one that waits for too long.
    #[must_use]
    pub fn due(&self, worker: NodeId, now: Moment, wall: UnixMillis) -> Option<instruction::Instruction> {
        self.with(worker, now, |payer| {
            if payer.overdue(now) {
                tracing::warn!(worker = %worker.short(), "a worker does not sign its voucher and forfeits it");
            }
            payer.offer(&self.key, now, wall).map(|(offer, tasks)| offered(&offer, &tasks))
        })
    }

    /// As [`Self::due`], before the interval is over: what `worker` answered last is to be signed for now.
    #[must_use]
    pub fn due_at_once(&self, worker: NodeId, now: Moment, wall: UnixMillis) -> Option<instruction::Instruction> {
        self.with(worker, now, Payer::hurry);
        self.due(worker, now, wall)
    }

    /// How long a worker may take to sign.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.settings.patience
    }

    /// `worker` signed a voucher, or refused to. Checks signatures.
    ///
    /// # Errors
    /// When what it sent is not a voucher that it was offered.
    pub fn replied(&self, worker: NodeId, reply: &VoucherReply, now: Moment) -> Result<(), ReceiptFault> {
        match &reply.reply {
            Some(voucher_reply::Reply::Signed(bytes)) => {
                let signed = SignedVoucher::decode(bytes)?;
                let signed = self.with(worker, now, |payer| payer.countersigned(signed, now))?;
                self.keep(worker, &signed);
            }
            Some(voucher_reply::Reply::Refused(refusal)) => {
                let forfeited = self.with(worker, now, |payer| payer.refused(refusal.sequence));
                let (worker, reason) = (worker.short(), refusal.reason.escape_debug());
                tracing::warn!(%worker, %reason, forfeited, "a worker refused a voucher");
            }
            None => {}
        }
        Ok(())
    }

    /// The worker has the voucher too, so a store that fails loses nothing.
    fn keep(&self, worker: NodeId, voucher: &SignedVoucher) {
        if let Err(error) = self.store.keep(worker, voucher) {
            tracing::warn!(worker = %worker.short(), %error, "cannot write a voucher down");
        }
    }

    fn with<T>(&self, worker: NodeId, now: Moment, change: impl FnOnce(&mut Payer) -> T) -> T {
        let pair = Pair { orchestrator: self.key.node_id(), worker };
        let mut accounts = self.accounts();
        let open = || Payer::new(pair, self.settings, self.store.last(worker), now);
        let account = accounts.entry(worker).or_insert_with(|| Account { payer: open(), away: None });
        change(&mut account.payer)
    }

    /// No change to an account can panic half way, so a poisoned lock guards whole ones.
    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn offered(offer: &Offer, tasks: &[TaskId]) -> instruction::Instruction {
    let tasks = tasks.iter().map(|task| task.0).collect();
    instruction::Instruction::Voucher(VoucherOffer { offer: offer.encode(), tasks })
}

#[cfg(test)]
mod tests;
