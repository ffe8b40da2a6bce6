//! Arithmetic of Z_2^64 over slices: wrapping u64, with the fastest instruction set that the machine has.
//!
//! Results do not depend on the instruction set. Matrices are row-major. Shapes that do not fit are our own bug, and
//! are asserted; what comes from a peer is only ever unpacked by [`packing`].

mod kernels;
pub mod packing;
pub mod planes;
