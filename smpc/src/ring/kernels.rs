//! Kernels: loops over many ring elements, for several instruction sets with the same results.
//!
//! The only place of the crate with `unsafe`: calls of functions that need an instruction set, and vector loads and
//! stores. Each block says why it may.

#![allow(unsafe_code)]

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
