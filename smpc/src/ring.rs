//! Arithmetic of Z_2^64 over slices: wrapping u64, with the fastest instruction set that the machine has.
//!
//! Results do not depend on the instruction set. Matrices are row-major. Shapes that do not fit are our own bug, and
//! are asserted; what comes from a peer is only ever unpacked by [`packing`]. Everything runs in the caller's thread.

pub mod galois;
pub mod gf64;
pub(crate) mod kernels;
pub mod packing;
pub mod planes;
pub mod replicated;
mod tables;
#[cfg(test)]
mod tests;

use kernels::{InstructionSet, columns, dots};

pub use replicated::PublicWeights;
pub use tables::{table_reply, table_rows};

/// Of a product `[rows, inner] · [inner, columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the left matrix and of the product.
    pub rows: usize,
    /// Columns of the left matrix, rows of the right one.
    pub inner: usize,
    /// Columns of the right matrix and of the product.
    pub columns: usize,
}

/// `left: [rows, inner]` times `right: [inner, columns]`, as `[rows, columns]`. With few rows the right matrix is read
/// once.
///
/// # Panics
/// If a matrix has not its shape.
#[must_use]
pub fn multiply(shape: Shape, left: &[u64], right: &[u64]) -> Vec<u64> {
    let mut out = vec![0; shape.rows * shape.columns];
    multiply_add(shape, left, right, &mut out);
    out
}

/// Adds `left: [rows, inner]` times `right: [inner, columns]` to `out: [rows, columns]`.
///
/// # Panics
/// If a matrix has not its shape.
pub fn multiply_add(shape: Shape, left: &[u64], right: &[u64], out: &mut [u64]) {
    columns::add(InstructionSet::current(), shape, left, right, out);
}

/// `left: [rows, inner]` times the transpose of `right: [columns, inner]`, as `[rows, columns]`.
///
/// # Panics
/// If a matrix has not its shape.
#[must_use]
pub fn multiply_transposed(shape: Shape, left: &[u64], right: &[u64]) -> Vec<u64> {
    let mut out = vec![0; shape.rows * shape.columns];
    multiply_transposed_add(shape, left, right, &mut out);
    out
}

/// Adds `left: [rows, inner]` times the transpose of `right: [columns, inner]` to `out: [rows, columns]`.
///
/// # Panics
/// If a matrix has not its shape.
pub fn multiply_transposed_add(shape: Shape, left: &[u64], right: &[u64], out: &mut [u64]) {
    transposed_with(InstructionSet::current(), shape, left, right, out);
}

fn transposed_with(set: InstructionSet, shape: Shape, left: &[u64], right: &[u64], out: &mut [u64]) {
    assert_eq!(left.len(), shape.rows * shape.inner, "left matrix");
    assert_eq!(out.len(), shape.rows * shape.columns, "product");
    if out.is_empty() || shape.inner == 0 {
        return;
    }
    let rows: Vec<&[u64]> = left.chunks_exact(shape.inner).collect();
    let mut out: Vec<&mut [u64]> = out.chunks_exact_mut(shape.columns).collect();
    dots::add(set, &rows, right, shape.inner, &mut out);
}
