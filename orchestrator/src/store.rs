//! What an orchestrator keeps across restarts, and the trait of whatever keeps it.
//!
//! No I/O happens here. Whoever implements [`Store`] brings a place; these are the rules that every place keeps:
//!
//! - A [`Batch`] is committed whole or not at all.
//! - A batch is applied once. Its [`BatchId`] is stored with it, so that a writer that does not know whether a commit
//!   went through commits the same batch again ([`BatchId::admit`]).
//! - A voucher of a pair is replaced by a later one only ([`admits`]): nothing is paid twice.
//! - Work and expert use are sums: batches say what came on top.
//! - An exclusion stays, whatever later records of the worker say, until a pardon lifts it: another orchestrator on the
//!   same place writes records that know nothing of it.
//! - Workers, credit and teams may be shared by several orchestrators; vouchers and batch numbers are each one's own.

mod records;

pub use records::{Earned, ExpertUse, Hardware, RankedWorker, TeamCredit, WorkerRecord};

use neuro_primitives::receipt::SignedVoucher;
use neuro_primitives::{ModelId, NodeId};

/// A place that keeps an orchestrator's records. Calls may block for as long as the place takes.
pub trait Store: Send {
    /// Applies all changes of `batch`, or none. A batch that was applied already changes nothing.
    ///
    /// # Errors
    /// When the place cannot be written, or the batch breaks a rule of this module.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// The last batch of a writer, if it ever committed one.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn last_batch(&mut self, writer: NodeId) -> Result<Option<BatchId>, StoreError>;

    /// All workers, by id.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn workers(&mut self) -> Result<Vec<WorkerRecord>, StoreError>;

    /// The `limit` workers with the highest totals, of equal ones the lower id first.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn top_workers(&mut self, limit: usize) -> Result<Vec<RankedWorker>, StoreError>;

    /// The `limit` teams with the highest sums of their members' totals, of equal ones by name.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn top_teams(&mut self, limit: usize) -> Result<Vec<TeamCredit>, StoreError>;

    /// The members of a team that have credit, at most `limit`, highest totals first.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn team(&mut self, name: &str, limit: usize) -> Result<Vec<RankedWorker>, StoreError>;

    /// One worker's credit and rank, if it has earned anything.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn credit(&mut self, worker: NodeId) -> Result<Option<RankedWorker>, StoreError>;

    /// The last voucher of each worker with this orchestrator, by worker.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn vouchers(&mut self, orchestrator: NodeId) -> Result<Vec<SignedVoucher>, StoreError>;

    /// How many rows each expert of a model was asked for, by expert.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn expert_use(&mut self, model: ModelId) -> Result<Vec<ExpertUse>, StoreError>;
}

/// Changes that are committed together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Which batch this is.
    pub id: BatchId,
    /// When the changes happened, in seconds since the Unix epoch: the time of recent averages.
    pub at_s: u64,
    /// Workers whose exclusion ends, before their records are written.
    pub pardoned: Vec<NodeId>,
    /// Workers as they are now. The earlier `first_seen_s` stays, and so does the earlier exclusion.
    pub workers: Vec<WorkerRecord>,
    /// Work to be added.
    pub earned: Vec<Earned>,
    /// Later vouchers.
    pub vouchers: Vec<SignedVoucher>,
    /// Rows to be added.
    pub expert_use: Vec<ExpertUse>,
}

impl Batch {
    /// A batch without changes.
    #[must_use]
    pub fn empty(id: BatchId, at_s: u64) -> Self {
        let (pardoned, workers, earned, vouchers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { id, at_s, pardoned, workers, earned, vouchers, expert_use: Vec::new() }
    }
}

/// The name of a batch: committing one twice applies it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId {
    /// The orchestrator that writes.
    pub writer: NodeId,
    /// One more than that of the writer's batch before; the first has 1.
    pub sequence: u64,
    /// A random number of the writer's run: tells two runs that write at the same time from each other.
    pub run: u64,
}

impl BatchId {
    /// Whether a batch is to be applied, given its writer's last one. `false`: it was applied before.
    ///
    /// # Errors
    /// [`StoreError::OutOfTurn`] when it is neither the next one nor the last one again.
    pub fn admit(&self, last: Option<&Self>) -> Result<bool, StoreError> {
        let expected = last.map_or(0, |last| last.sequence) + 1;
        if last == Some(self) || self.sequence == expected {
            return Ok(last != Some(self));
        }
        Err(StoreError::OutOfTurn { writer: self.writer, expected, got: self.sequence })
    }
}

/// Whether `voucher` is to be written over the pair's stored one. `false`: it is there already.
///
/// It is when its sequence is higher and no total falls.
///
/// # Errors
/// [`StoreError::Voucher`] otherwise.
pub fn admits(voucher: &SignedVoucher, stored: Option<&SignedVoucher>) -> Result<bool, StoreError> {
    let Some(stored) = stored else { return Ok(true) };
    let (new, old) = (voucher.voucher(), stored.voucher());
    if new == old || (new.sequence > old.sequence && new.totals.follows(&old.totals)) {
        return Ok(new != old);
    }
    Err(StoreError::Voucher { worker: new.worker, stored: old.sequence, got: new.sequence })
}

/// A store cannot do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The place does not answer, is full, or may not be written.
    #[error("cannot {action} {place}: {reason}")]
    Unavailable {
        /// The place, without passwords.
        place: String,
        /// What was tried: `open`, `read`, `write`.
        action: &'static str,
        /// The answer of the library or the operating system.
        reason: String,
        /// What its owner can do.
        remedy: &'static str,
    },
    /// The place cannot be understood as it is named.
    #[error("expected a path, sqlite:PATH or postgres://USER@HOST/DATABASE, got {got}")]
    Address {
        /// What came, without passwords.
        got: String,
    },
    /// The connection would not be private.
    #[error("cannot open {place}: {reason}")]
    Insecure {
        /// The place, without passwords.
        place: String,
        /// What was expected and what came.
        reason: &'static str,
    },
    /// A newer program made the tables.
    #[error("{place} has tables of version {got}, this program knows versions up to {known}")]
    Newer {
        /// The place.
        place: String,
        /// The version found.
        got: i64,
        /// The newest version known.
        known: i64,
    },
    /// Something else writes under this orchestrator's name.
    #[error("expected batch {expected} of orchestrator {}, got {got}: is it running twice?", .writer.short())]
    OutOfTurn {
        /// The orchestrator.
        writer: NodeId,
        /// The number that would have been next.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// A voucher that does not follow the stored one: somebody would be paid twice.
    #[error(
        "expected a voucher of worker {} after sequence {stored} of which no total falls, got sequence {got}",
        .worker.short()
    )]
    Voucher {
        /// The worker.
        worker: NodeId,
        /// The stored sequence.
        stored: u64,
        /// The sequence that came.
        got: u64,
    },
    /// What is stored makes no sense: something else wrote to it, or it is damaged.
    #[error("{place} is damaged: {what}")]
    Damaged {
        /// The place.
        place: String,
        /// What was expected and what is there.
        what: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The worker of a voucher that was refused: without it, the batch may be committed.
    #[must_use]
    pub const fn refused_voucher(&self) -> Option<NodeId> {
        match self {
            Self::Voucher { worker, .. } => Some(*worker),
            _ => None,
        }
    }

    /// Always `None`: no peer writes to a store.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        None
    }

    /// What the store's owner can do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Unavailable { remedy, .. } => remedy,
            Self::Address { .. } => "name a file, or the URL of a PostgreSQL database",
            Self::Insecure { .. } => "use a socket or this machine's own PostgreSQL, or a tunnel to the other one",
            Self::Newer { .. } => "run the newer program, or name another store",
            Self::OutOfTurn { .. } => "stop the other orchestrator that has the same key",
            Self::Voucher { .. } => "restore the newest copy of the store: this orchestrator writes from an older one",
            Self::Damaged { .. } => "restore the store from a copy, or name a new one",
        }
    }
}

#[cfg(test)]
mod tests;
