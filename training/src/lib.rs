//! Trains mixture-of-experts models on one machine; the only crate with gradients.
//!
//! A model is read with the project's own checkpoint reader and computed with burn's CPU backend, so a participant of
//! federated learning needs nothing but this program. What is trained is a choice ([`TrainedTensors`]): the router, some
//! of its rows, some experts, low-rank adapters, or all. Everything else keeps its bits, by construction: it is bound
//! as a constant, and updates are written back to the chosen stretches alone.
//!
//! ```text
//! Checkpoint ──> Weights ──> MoeModel ──┐
//!                TrainedTensors ────────┼──> MoeTrainer ── train(global, rule, deadline) ──> Trained { update, … }
//!                  examples, TrainPlan ─┘
//! ```
//!
//! Families: Mixtral, Qwen3-MoE and OLMoE, without rotary scaling; others are refused by name.
//! Arithmetic is f32 throughout, on one thread, in an order that depends on shapes alone: the same inputs give the same
//! bits on the same machine.

mod choice;
pub mod contract;
mod error;
mod example;
mod growth;
mod low_rank;
mod model;
mod moe_trainer;
mod network;
mod optimiser;
#[cfg(test)]
mod tests;
mod trainer;
mod weights;

pub use choice::{Stretch, TrainedParts, TrainedTensors};
pub use error::{ModelError, TrainError};
pub use example::{Batch, Example, ExampleSource, Wish};
pub use growth::with_more_experts;
pub use low_rank::LowRank;
pub use model::{Evaluation, MoeModel};
pub use moe_trainer::{MoeTrainer, TrainPlan};
pub use network::Objective;
pub use neuro_fl_aggregator::{Flat, LocalRule};
pub use optimiser::Optimiser;
pub use trainer::{Cancel, Trained, Trainer};
pub use weights::{Matrix, Weights};
