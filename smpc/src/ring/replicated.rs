//! What a party computes alone when replicated shares are multiplied.
//!
//! With components own and next of x and y, its summand of x·y is
//!
//! ```text
//! x_i y_i + x_i y_{i+1} + x_{i+1} y_i  =  (x_i + x_{i+1}) y_i + x_i y_{i+1}  =  x_i (y_i + y_{i+1}) + x_{i+1} y_i
//! ```
//!
//! two products instead of three; the sum is taken on the smaller side. The three summands add up to the product, and are
//! to be hidden by shared randomness before they are sent. A public factor multiplies both components.

use super::kernels::{InstructionSet, Weight, columns, dots, elementwise};
use super::{Shape, transposed_with};

/// Public weights in fixed point, `[columns, inner]`, as they are stored.
#[derive(Debug, Clone, Copy)]
pub enum PublicWeights<'a> {
    /// 16 bits each.
    I16(&'a [i16]),
    /// 32 bits each.
    I32(&'a [i32]),
}

/// How one of the two plain products is added to `out: [rows, columns]`.
type Multiply = fn(InstructionSet, Shape, &[u64], &[u64], &mut [u64]);

/// This party's summand of x·y, `[rows, columns]`: `x`: components own and next, `[rows, inner]` each; `y`: likewise,
/// `[inner, columns]`.
///
/// # Panics
/// If a matrix has not its shape.
#[must_use]
pub fn matrix_product(shape: Shape, x: [&[u64]; 2], y: [&[u64]; 2]) -> Vec<u64> {
    two_products(InstructionSet::current(), columns::add, shape, x, y)
}

/// As [`matrix_product`], with the transpose of `y: [columns, inner]`.
///
/// # Panics
/// If a matrix has not its shape.
#[must_use]
pub fn matrix_product_transposed(shape: Shape, x: [&[u64]; 2], y: [&[u64]; 2]) -> Vec<u64> {
    two_products(InstructionSet::current(), transposed_with, shape, x, y)
}

/// This party's summands of the products of single elements, `[n]`: `x` and `y`: components own and next, `[n]` each.
///
/// # Panics
/// If lengths differ.
#[must_use]
pub fn products(x: [&[u64]; 2], y: [&[u64]; 2]) -> Vec<u64> {
    let mut out = vec![0; x[0].len()];
    elementwise::products(InstructionSet::current(), x, y, &mut out);
    out
}

/// This party's summands of the inner products of groups of `length` elements, `[n]`: `x` and `y`: components own and
/// next, `[n, length]` each.
///
/// # Panics
/// If lengths differ, or `length` is 0 or does not divide them.
#[must_use]
pub fn inner_products(length: usize, x: [&[u64]; 2], y: [&[u64]; 2]) -> Vec<u64> {
    let mut out = vec![0; x[0].len() / length];
    elementwise::inner_products(InstructionSet::current(), length, x, y, &mut out);
    out
}

/// Both components of x times the transpose of public `weights: [columns, inner]`, `[rows, columns]` each: `x`:
/// components own and next, `[rows, inner]` each. Weights are read once for both components (and, up to 64 rows, once in
/// all).
///
/// # Panics
/// If a matrix has not its shape.
#[must_use]
pub fn public_product(shape: Shape, x: [&[u64]; 2], weights: PublicWeights<'_>) -> [Vec<u64>; 2] {
    let mut out = [vec![0; shape.rows * shape.columns], vec![0; shape.rows * shape.columns]];
    public_product_with(InstructionSet::current(), shape, x, weights, &mut out);
    out
}

pub(super) fn two_products(
    set: InstructionSet,
    multiply: Multiply,
    shape: Shape,
    x: [&[u64]; 2],
    y: [&[u64]; 2],
) -> Vec<u64> {
    let mut out = vec![0; shape.rows * shape.columns];
    if shape.rows <= shape.columns {
        multiply(set, shape, &sum(x), y[0], &mut out);
        multiply(set, shape, x[0], y[1], &mut out);
    } else {
        multiply(set, shape, x[0], &sum(y), &mut out);
        multiply(set, shape, x[1], y[0], &mut out);
    }
    out
}

pub(super) fn public_product_with(
    set: InstructionSet,
    shape: Shape,
    x: [&[u64]; 2],
    weights: PublicWeights<'_>,
    out: &mut [Vec<u64>; 2],
) {
    match weights {
        PublicWeights::I16(weights) => both_components(set, shape, x, weights, out),
        PublicWeights::I32(weights) => both_components(set, shape, x, weights, out),
    }
}

/// The rows of both components, side by side, are rows of one product.
fn both_components<W: Weight>(
    set: InstructionSet,
    shape: Shape,
    x: [&[u64]; 2],
    weights: &[W],
    out: &mut [Vec<u64>; 2],
) {
    assert!(x.iter().all(|x| x.len() == shape.rows * shape.inner), "shares of another shape");
    if shape.rows * shape.columns == 0 || shape.inner == 0 {
        return;
    }
    let [own, next] = x.map(|x| x.chunks_exact(shape.inner));
    let rows: Vec<&[u64]> = own.zip(next).flat_map(<[&[u64]; 2]>::from).collect();
    let [own, next] = out.each_mut().map(|out| out.chunks_exact_mut(shape.columns));
    let mut out: Vec<&mut [u64]> = own.zip(next).flat_map(<[&mut [u64]; 2]>::from).collect();
    dots::add(set, &rows, weights, shape.inner, &mut out);
}

/// Component own plus component next.
fn sum([own, next]: [&[u64]; 2]) -> Vec<u64> {
    assert_eq!(own.len(), next.len(), "components of different lengths");
    own.iter().zip(next).map(|(own, next)| own.wrapping_add(*next)).collect()
}
