//! The ring's arithmetic, one function body per instruction set, all with the same result.
//!
//! Kernels are written once, over the [`lanes`] of whatever instruction set the machine has; all integer sums are exact
//! modulo 2^64, so no order of them matters. This folder is the only one of the crate that may use `unsafe`.

#![allow(unsafe_code)]

pub(super) mod columns;
pub(super) mod dots;
pub(super) mod elementwise;
mod instruction_set;
mod lanes;
pub(super) mod transpose;

pub(super) use instruction_set::InstructionSet;
pub(super) use lanes::Weight;
