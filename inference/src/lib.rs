//! The trunk at work: everything of a mixture-of-experts transformer but its experts.
//!
//! ```text
//! ids ─ embedding ─┬─ norm ─ attention ─┬─ norm ─┬─ router ─ ExpertLayers ─┬─ … ─ norm ─ lm head ─ sampler ─ text
//!                  └────────── + ───────┘        └─ dense, shared expert ──┘
//! ```
//!
//! The decoder only asks for experts ([`ExpertLayers`]); who holds them is another crate's business. [`LocalExperts`]
//! answers from memory, with the very sums that workers give over the network.
//!
//! What is exact: every float sum made here has one fixed order ([`sums`]) that depends neither on the batch nor on
//! the number of threads; exp is our own, log, sin, cos and pow come from the `libm` crate, never from the
//! platform; ties go to the lowest id; sampling draws from `ChaCha` keyed by (seed, choice, position). Matrix products are the engine's:
//! with an engine whose rows do not depend on their neighbours, prefill and decode give the same bytes.

pub mod attention;
pub mod batch;
pub mod decode;
pub mod dense;
pub mod embedding;
pub mod error;
pub mod experts;
pub mod kv_cache;
pub mod lm_head;
pub mod norm;
mod parallel;
pub mod projection;
pub mod rope;
pub mod router;
pub mod sampler;
pub mod stop;
pub mod sums;
pub mod trunk;

pub use batch::{
    Account, Batch, BatchFigures, FairQueue, PageFigures, Priority, QueueLimits, Refused, Shares, Start, Update,
};
pub use decode::{FinishReason, GenerateError, GenerateRequest, Generated, Generator, TokenEvent, TokenLogprob, Usage};
pub use error::{ForwardError, LoadError};
pub use experts::{
    Contribution, ExpertLayers, ExpertsError, LocalExperts, Recomputation, RowOwner, WeightHashes, expert_tensors,
};
pub use kv_cache::{CacheType, KvCache, PagePool};
pub use sampler::{SamplingError, SamplingParams};
pub use trunk::{PassError, Portion, Trunk};
