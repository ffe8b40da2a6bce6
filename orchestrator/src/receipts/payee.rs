//! The worker's side: what it answered, and which offers say so.

use std::collections::{HashMap, HashSet, VecDeque};

use neuro_primitives::receipt::{Offer, SignedVoucher, Totals, Voucher, VoucherError, root};
use neuro_primitives::{Hash, NodeKey, TaskId, UnixMillis};

use super::{Answered, MAX_ANSWERS, MAX_RECORDS, Pair};

/// What a worker knows of its vouchers with one orchestrator.
#[derive(Debug)]
pub struct Payee {
    pair: Pair,
    last: Option<SignedVoucher>,
    /// Answered and not covered.
    records: HashMap<TaskId, Answered>,
    /// The same in the order they were sent; with some that were covered since.
    order: VecDeque<TaskId>,
}

/// Why a worker does not sign. What is offered is then never owed, except where the offer was not for this worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The offer is not signed, or its totals contradict each other.
    #[error(transparent)]
    Voucher(#[from] VoucherError),
    /// It belongs to other nodes.
    #[error("the voucher belongs to the orchestrator {} and the worker {}", .0.orchestrator.short(), .0.worker.short())]
    OtherPair(Pair),
    /// Its sequence number was used before.
    #[error("expected a sequence above {last}, got {got}")]
    Sequence {
        /// The last voucher's.
        last: u64,
        /// The offer's.
        got: u64,
    },
    /// It does not follow the last voucher that this worker signed.
    #[error("the voucher follows {got}, expected {expected}")]
    Previous {
        /// The hash of the last voucher.
        expected: Hash,
        /// What the offer names.
        got: Hash,
    },
    /// Its time is over.
    #[error("the voucher expired at {expired}")]
    Expired {
        /// When.
        expired: UnixMillis,
    },
    /// The list of tasks is too long, has one twice, or is not as long as the voucher says.
    #[error("the voucher has {answers} answers, its list {listed}")]
    Tasks {
        /// What the voucher says.
        answers: u32,
        /// How many different ones are listed.
        listed: usize,
    },
    /// A task was not answered here, or is covered already, or was forgotten.
    #[error("task {} was not answered, or is covered already", .0.0)]
    UnknownTask(TaskId),
    /// Totals that fall, or that do not grow by the work listed.
    #[error("expected {expected} units covered and no total to fall, got {got:?}")]
    Totals {
        /// Covered units by this worker's record.
        expected: u64,
        /// What the offer says.
        got: Totals,
    },
    /// The answers' root is another one.
    #[error("expected the root {expected}, got {got}")]
    Root {
        /// By this worker's record.
        expected: Hash,
        /// What the offer says.
        got: Hash,
    },
}

impl Refusal {
    /// Always false: the same offer is refused again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

impl Payee {
    /// Goes on from `last`, the voucher that was written down last.
    #[must_use]
    pub fn new(pair: Pair, last: Option<SignedVoucher>) -> Self {
        Self { pair, last, records: HashMap::new(), order: VecDeque::new() }
    }

    /// The last voucher that both signed. What the payer is told when the two meet.
    #[must_use]
    pub const fn last(&self) -> Option<&SignedVoucher> {
        self.last.as_ref()
    }

    /// Units that were answered and that no voucher covers yet.
    #[must_use]
    pub fn uncovered_units(&self) -> u64 {
        self.records.values().map(|record| u64::from(record.units)).sum()
    }

    /// Remembers an answer, to be called before it is sent. Of a task that was answered twice, the last counts: a payer
    /// that restarts numbers its tasks anew, and has forgotten what no voucher covers.
    pub fn answered(&mut self, answered: Answered) {
        if self.records.insert(answered.task, answered).is_none() {
            self.order.push_back(answered.task);
        }
        while self.order.len() > MAX_RECORDS {
            self.order.pop_front().map(|oldest| self.records.remove(&oldest));
        }
    }

    /// Compares `offer` over `tasks` (in the order of its tree) with this worker's own record and signs it. Changes
    /// nothing: the voucher counts from [`Payee::keep`] on, before which it is to be written down, and after which it may
    /// be sent. The offer that was signed last is signed once more.
    ///
    /// # Errors
    /// Why it is not signed.
    pub fn check(
        &self,
        offer: Offer,
        tasks: &[TaskId],
        key: &NodeKey,
        wall: UnixMillis,
    ) -> Result<SignedVoucher, Refusal> {
        let Voucher { orchestrator, worker, expires, .. } = offer.voucher;
        if !self.pair.owns(&offer.voucher) {
            return Err(Refusal::OtherPair(Pair { orchestrator, worker }));
        }
        offer.verify()?;
        if let Some(last) = self.last.filter(|last| *last.voucher() == offer.voucher) {
            return Ok(last);
        }
        self.check_order(&offer.voucher)?;
        if expires <= wall {
            return Err(Refusal::Expired { expired: expires });
        }
        self.check_work(&offer.voucher, tasks)?;
        Ok(offer.countersign(key))
    }

    /// Goes on from `voucher`, which [`Payee::check`] made and which was written down, over `tasks`.
    pub fn keep(&mut self, voucher: SignedVoucher, tasks: &[TaskId]) {
        for task in tasks {
            self.records.remove(task);
        }
        while self.order.front().is_some_and(|task| !self.records.contains_key(task)) {
            self.order.pop_front();
        }
        self.last = Some(voucher);
    }

    /// Takes over a voucher that the payer presents and that both signed, if it is newer than the last one here: what was
    /// signed before a crash that lost it. Whether it was.
    ///
    /// # Errors
    /// When it is not signed by both, or belongs to others.
    pub fn adopt(&mut self, voucher: SignedVoucher) -> Result<bool, Refusal> {
        let Voucher { orchestrator, worker, sequence, .. } = *voucher.voucher();
        if !self.pair.owns(voucher.voucher()) {
            return Err(Refusal::OtherPair(Pair { orchestrator, worker }));
        }
        voucher.verify()?;
        let newer = self.last.is_none_or(|last| last.voucher().sequence < sequence);
        if newer {
            self.last = Some(voucher);
        }
        Ok(newer)
    }

    fn check_order(&self, offered: &Voucher) -> Result<(), Refusal> {
        let last = self.last.as_ref().map(SignedVoucher::voucher);
        let (sequence, expected) = last.map_or((0, Hash([0; 32])), |last| (last.sequence, last.hash()));
        if offered.sequence <= sequence {
            return Err(Refusal::Sequence { last: sequence, got: offered.sequence });
        }
        let got = offered.previous;
        if got == expected { Ok(()) } else { Err(Refusal::Previous { expected, got }) }
    }

    fn check_work(&self, offered: &Voucher, tasks: &[TaskId]) -> Result<(), Refusal> {
        let listed = tasks.iter().collect::<HashSet<_>>().len();
        if tasks.len() > MAX_ANSWERS || listed != tasks.len() || listed != offered.answers as usize {
            return Err(Refusal::Tasks { answers: offered.answers, listed });
        }
        let known = |task: &TaskId| self.records.get(task).ok_or(Refusal::UnknownTask(*task));
        let records = tasks.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let last = self.last.map_or(Totals::default(), |last| last.voucher().totals);
        let units: u64 = records.iter().map(|record| u64::from(record.units)).sum();
        let (expected, got) = (last.covered.saturating_add(units), offered.totals);
        if got.covered != expected || !got.follows(&last) {
            return Err(Refusal::Totals { expected, got });
        }
        let leaves: Vec<Hash> = records.iter().map(|record| record.leaf).collect();
        let (expected, got) = (root(&leaves), offered.root);
        if got == expected { Ok(()) } else { Err(Refusal::Root { expected, got }) }
    }
}
