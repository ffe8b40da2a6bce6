//! Arithmetic in bulk.

pub mod galois;
pub mod gf64;
pub mod kernels;
