//! Engines that compute experts, the contribution rule that makes their sums exact, and one conformance suite for all.
//!
//! An [`Engine`] turns weights into something that computes: a [`Linear`] layer for the trunk, an [`Expert`] for a
//! worker. An [`ExpertPool`] holds experts by id and answers a call: the rows of one layer, with their routes, become
//! one [`RowSum`](neuro_primitives::RowSum) per row. Which experts a pool holds never changes a sum: the rows of an
//! expert are computed together in the order they came, and contributions are added as integers. A pool keeps a memory
//! limit: experts with an [`ExpertSource`] are in memory while they are hot and read again when they are needed.
//!
//! Every engine passes [`conformance::check`], which compares it with the slow and plain reference engine.

pub mod activation;
pub mod activations;
pub mod blocks;
pub mod conformance;
pub mod conversion;
pub mod engine;
pub mod engines;
pub mod kernels;
pub mod pool;
pub mod source;
pub mod threads;
pub mod weights;

pub use blocks::BlockError;
pub use conversion::{Conversion, ConversionError, TypeChoice};
pub use engine::{Engine, EngineError, EngineId, Expert, ExpertBiases, ExpertWeights, Linear, Weight, input_format};
pub use engines::default_engine;
pub use kernels::InstructionSet;
pub use pool::{Computed, ExpertPool, MAX_ROWS, PoolError, ResidencyCounters};
pub use source::{ExpertSource, SourceError, StoredExpert, TakeWeights};
pub use threads::{ThreadsError, set_threads, threads};
pub use weights::{ExpertTensors, expert_weights};
