//! The native engine's arithmetic, one function body per instruction set.
//!
//! Everything here follows `docs/spec/native-engine.md` to the bit: which instruction set runs is a matter of speed
//! alone. This folder is the only one of the crate that may use `unsafe`.
//!
//! A weight becomes [`panels`] of 16 rows in a [`format`] that a kernel reads in order; activations become an
//! [`operand`]. A [`layer`] shares panels out to threads, and [`product`] computes one panel with one tile of rows,
//! over the [`lanes`] of whatever instruction set the machine has.

#![allow(unsafe_code)]

pub mod attention;
mod format;
pub mod functions;
pub mod instruction_set;
mod lanes;
pub(crate) mod layer;
mod memory;
pub(crate) mod operand;
pub(crate) mod panels;
mod product;
mod quantise;
mod shared;
mod vectors;
pub(crate) mod workers;

pub use instruction_set::InstructionSet;

#[cfg(test)]
pub(crate) mod tests;
