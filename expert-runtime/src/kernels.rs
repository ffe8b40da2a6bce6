//! The native engine's arithmetic, one function body per instruction set.
//!
//! Everything here follows `docs/spec/native-engine.md` to the bit: which instruction set runs is a matter of speed
//! alone. This folder is the only one of the crate that may use `unsafe`.

#![allow(unsafe_code)]

pub mod attention;
pub mod functions;
pub mod instruction_set;
mod vectors;

pub use instruction_set::InstructionSet;
