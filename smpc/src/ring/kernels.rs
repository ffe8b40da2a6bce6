//! The rings' arithmetic, one function body per instruction set, all with the same result.
//!
//! Kernels over Z_2^64 are written once, over the [`lanes`] of whatever instruction set the machine has; all integer sums
//! are exact modulo 2^64, so no order of them matters. Those of the proof's larger rings have a form for vectors and a
//! plain one. This folder is the only one of the crate that may use `unsafe`; each block says why it may.

#![allow(unsafe_code)]

pub(super) mod columns;
pub(super) mod dots;
pub(super) mod elementwise;
pub mod galois;
#[cfg(target_arch = "x86_64")]
mod galois_avx512;
pub mod galois_set;
#[cfg(test)]
mod galois_tests;
pub mod gf64;
#[cfg(target_arch = "x86_64")]
mod gf64_clmul;
#[cfg(test)]
mod gf64_tests;
mod instruction_set;
mod lanes;
pub(super) mod transpose;

pub(super) use instruction_set::InstructionSet;
pub(super) use lanes::Weight;
