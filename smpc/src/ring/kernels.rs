//! The rings' arithmetic, one function body per instruction set, all with the same result.
//!
//! Kernels over Z_2^64 are written once, over the [`lanes`] of whatever instruction set the machine has; all integer sums
//! are exact modulo 2^64, so no order of them matters. Those of the proof's larger rings have a form for vectors and a
//! plain one. This folder is the only one of the crate that may use `unsafe`; each block says why it may.
//!
//! Billions of products a second, on one core of a busy AMD EPYC (Zen 4) at 3.6 GHz, matrices of 1024 × 1024
//! (`examples/kernels.rs`). Its multipliers allow 3.6 of single words, and 29 of eight at once.
//!
//! | | scalar | AVX2 | AVX-512 |
//! |---|---|---|---|
//! | 64 rows, row-major | 3.1 | 5.9 | 16 |
//! | 64 rows, transposed | 3.2 | 6.3 | 18 |
//! | 1 row, row-major, 8 MiB read | 1.8 | 3.5 | 8.5 (68 GB/s, third cache) |
//! | 4 shared rows, public i16, both components | 3.5 | 9.0 | 22.5 |
//! | 1 shared row, public i16, 90 MB read | 2.6 | 6.9 | 14 (14 GB/s, memory) |

#![allow(unsafe_code)]

pub(super) mod columns;
pub(super) mod dots;
pub(super) mod elementwise;
pub mod galois;
#[cfg(target_arch = "x86_64")]
mod galois_avx512;
pub mod galois_set;
#[cfg(target_arch = "x86_64")]
mod galois_subsets;
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
