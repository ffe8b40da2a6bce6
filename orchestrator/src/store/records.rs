//! The records that a store keeps.

use neuro_primitives::{ExpertId, ModelId, NodeId};

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
