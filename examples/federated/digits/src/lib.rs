//! Federated strategies on handwritten digits: fifty participants with unlike data, summed plainly and under masks.
//!
//! ```text
//! digits.bin ─ split (Dirichlet) ─▶ participants ─ local rule ─▶ updates ─ encode_update ─▶ vectors
//!                                       ▲                                               │
//!                                   model ◀─ Strategy::apply ◀─ decode_sum ◀─ masked sum = plain sum, each round
//! ```
//!
//! Everything is drawn from one seed, and all arithmetic is IEEE's or `libm`'s, so a run has the same bits on every
//! machine: the committed record is what anybody gets.

pub mod benchmark;
pub mod data;
pub mod draw;
pub mod participant;
pub mod perceptron;
pub mod record;
pub mod split;
pub mod strategies;
pub mod sums;

pub use benchmark::{Benchmark, BenchmarkError, Curve, Point};
