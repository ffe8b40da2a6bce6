//! What a federated task is and what follows a round: strategies, selection, robust rules, the budget. No I/O.
//!
//! ```text
//! round.toml ──▶ RoundPlan ──▶ TaskServer ── OpenCohort(RoundConfig) ─▶ secagg rounds, in the driver
//!                                  ▲                                        │
//! participant: Layout, encode_update ─▶ masked vector ─▶ sum ─▶ decode_sum ─┘
//!                                  │
//!                     Strategy::apply ─▶ checkpoint, ledger of ε, history ─▶ report, curves, exports
//! ```
//!
//! A sum is all that is ever learned of the participants: robust rules work on sums of shards, evaluations are sums,
//! experts are cohorts of their own. What an update is worth and how large it may be is settled at the participant,
//! before anything is masked.

pub mod checkpoint;
pub mod early_stop;
pub mod error;
pub mod evaluation;
pub mod experts;
pub mod export;
pub mod layout;
pub mod ledger;
pub mod report;
pub mod robust;
pub mod round_plan;
pub mod selection;
pub mod server;
pub mod shards;
pub mod signed_settings;
pub mod staleness;
pub mod strategy;
pub mod task;
pub mod trainer_contract;
pub mod update;

pub use error::{DecodeError, EncodeError, LayoutError, StrategyError};
pub use layout::{Flat, Layout, TensorChoice};
pub use robust::{RobustError, RobustRule};
pub use round_plan::{PlanError, RoundPlan};
pub use selection::{BatchInfo, Selection, select_batches};
pub use server::{TaskEffect, TaskInput, TaskServer};
pub use signed_settings::SignedSettings;
pub use strategy::{DecodedSum, LocalRule, Parts, Strategy, StrategySettings};
pub use update::{Encoded, EncodingMode, EncodingPlan, decode_sum, encode_update, modulus_rule};
