//! The records that a store keeps.

use neuro_primitives::{ExpertId, Hash, ModelId, NodeId, Signature};

use super::StoreError;
use crate::credit::{CreditEntry, Rank};
use crate::reputation::Standing;

/// What is known of a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerRecord {
    /// Its node key.
    pub id: NodeId,
    /// The name that its owner gave it; may be empty.
    pub name: String,
    /// The team that its owner put it into, if any.
    pub team: Option<String>,
    /// What it says of its machine.
    pub hardware: Hardware,
    /// When it was first seen, in seconds since the Unix epoch.
    pub first_seen_s: u64,
    /// When it was last seen, in seconds since the Unix epoch.
    pub last_seen_s: u64,
    /// What the orchestrator thinks of it.
    pub standing: Standing,
    /// Why it gets no work any more, if so.
    pub excluded: Option<String>,
}

/// A worker's machine and program, in its own words: for people, never for decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Instruction sets, such as `avx2 f16c`; empty when not told.
    pub cpu_features: String,
    /// Cores or threads that compute.
    pub cores: u32,
    /// Main memory in bytes; 0 when not told.
    pub ram_bytes: u64,
    /// The accelerator's name; empty when there is none.
    pub gpu: String,
    /// The accelerator's memory in bytes.
    pub vram_bytes: u64,
    /// The engine class.
    pub engine: String,
    /// The version of its program.
    pub version: String,
}

/// Accepted work of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earned {
    /// The worker.
    pub worker: NodeId,
    /// How much, in micro-units.
    pub micro_units: u64,
}

/// The cumulative voucher of one pair: what an orchestrator owes a worker in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoucherRecord {
    /// Who did the work.
    pub worker: NodeId,
    /// Who owes.
    pub orchestrator: NodeId,
    /// Rises with every voucher of the pair.
    pub sequence: u64,
    /// All accepted work so far, in micro-units.
    pub total: u64,
    /// The Merkle root over the answers since the voucher before.
    pub root: Hash,
    /// Until when it may be redeemed, in seconds since the Unix epoch.
    pub expires_s: u64,
    /// The orchestrator's signature.
    pub orchestrator_signature: Signature,
    /// The worker's, once it came.
    pub worker_signature: Option<Signature>,
}

impl VoucherRecord {
    /// Whether this voucher is to be written over the pair's stored one. `false`: it is there already.
    ///
    /// It is when its sequence is higher and its total no lower, or when it is the same one and brings the worker's
    /// signature.
    ///
    /// # Errors
    /// [`StoreError::Voucher`] otherwise.
    pub fn admit(&self, stored: Option<&Self>) -> Result<bool, StoreError> {
        let Some(stored) = stored else { return Ok(true) };
        if self.sequence > stored.sequence && self.total >= stored.total {
            return Ok(true);
        }
        let unsigned = |voucher: &Self| Self { worker_signature: None, ..voucher.clone() };
        let signatures = (&stored.worker_signature, &self.worker_signature);
        let conflicting = matches!(signatures, (Some(stored), Some(new)) if stored != new);
        if unsigned(self) == unsigned(stored) && !conflicting {
            return Ok(matches!(signatures, (None, Some(_))));
        }
        Err(StoreError::Voucher {
            worker: self.worker,
            stored: stored.sequence,
            stored_total: stored.total,
            got: self.sequence,
            got_total: self.total,
        })
    }
}

/// One check of one worker's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Names the audit: no two have the same.
    pub id: Hash,
    /// Whose result it was.
    pub worker: NodeId,
    /// When it ended, in seconds since the Unix epoch.
    pub at_s: u64,
    /// What came of it.
    pub verdict: Verdict,
    /// What convinces others, in its own form; empty for a result that was right.
    pub evidence: Vec<u8>,
}

/// What came of an audit. The numbers are stored: they never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The result was right.
    Valid = 1,
    /// The result was wrong.
    Invalid = 2,
    /// Nobody can tell.
    Unsettled = 3,
}

impl Verdict {
    /// The verdict with this number.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::Valid),
            2 => Some(Self::Invalid),
            3 => Some(Self::Unsettled),
            _ => None,
        }
    }
}

/// How often an expert was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertUse {
    /// The model.
    pub model: ModelId,
    /// The expert.
    pub expert: ExpertId,
    /// Rows that were routed to it.
    pub rows: u64,
}

/// A worker's line of a leaderboard.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedWorker {
    /// The worker.
    pub worker: NodeId,
    /// Its name; empty when unknown.
    pub name: String,
    /// Its team, if any.
    pub team: Option<String>,
    /// What it earned.
    pub credit: CreditEntry,
    /// Where it stands among all.
    pub rank: Rank,
}

/// A team's line of a leaderboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamCredit {
    /// The team.
    pub team: String,
    /// Its members that have credit.
    pub members: u64,
    /// The sum of their totals, in micro-units.
    pub total: u64,
}
