//! Matrix products become inner products of elements: `l^T (X Y) r = (l^T X) (Y r)` for random l and r.
//!
//! They come from the exceptional set, so an error that is 2^63 everywhere is found as well: modulo 2, after its power
//! of two is taken out, it is a bilinear form that is not zero, and a random point is a root with a chance of 2 / 2^64.

use super::ProofError;
use super::algebra::Algebra;
use super::first::Side;
use crate::ring::galois::Element;
use crate::tape::MatrixProduct;

/// Words that are turned from columns to rows at once.
const TILE: usize = 64;

/// The random vectors of one product, from the exceptional set.
pub(super) struct Projection {
    /// `[rows]`.
    pub left: Vec<u64>,
    /// `[columns]`.
    pub right: Vec<u64>,
}

/// What a party contributes to the inner product of one instance.
pub(super) struct Projected {
    /// `[2 · inner]`.
    pub vector: Vec<Element>,
    /// What the party tells of the target.
    pub target: Element,
}

impl Projection {
    /// The left vector of the instance of P_j (`l^T X_j`, `Y_j r`) or the right one of P_{j-1} (`Y_j r`, `l^T X_j`),
    /// from `component` of the party's two.
    pub fn vector(&self, product: &MatrixProduct, component: usize, side: Side) -> Vec<Element> {
        let x = left_product(&self.left, &product.x[component], product.inner);
        let y = right_product(&product.y[component], &self.right, product.inner);
        if side == Side::Left { [x, y].concat() } else { [y, x].concat() }
    }

    /// As left verifier of P_{i+1}: component i+1 is its second.
    pub fn left_verifier(&self, product: &MatrixProduct) -> Projected {
        let vector = self.vector(product, 1, Side::Left);
        let (x, y) = vector.split_at(product.inner);
        let target = self.scalar(product, &product.product) - Element::dot(x, y);
        Projected { vector, target }
    }

    /// As right verifier of P_{i-1}: component i is its first.
    pub fn right_verifier(&self, product: &MatrixProduct) -> Projected {
        let vector = self.vector(product, 0, Side::Right);
        Projected { vector, target: self.scalar(product, &product.zero) }
    }

    /// `l^T M r`; `matrix`: `[rows, columns]`.
    fn scalar(&self, product: &MatrixProduct, matrix: &[u64]) -> Element {
        let row = left_product(&self.left, matrix, product.columns);
        let right: Vec<_> = self.right.iter().map(|&word| Element::exceptional(word)).collect();
        Element::dot(&row, &right)
    }
}

/// `l^T M`; `matrix`: `[l.len(), columns]`.
fn left_product(l: &[u64], matrix: &[u64], columns: usize) -> Vec<Element> {
    let mut sums = vec![Element::ZERO; columns];
    Element::accumulate(&mut sums, l, matrix);
    sums
}

/// `M r`; `matrix`: `[rows, r.len()]`.
fn right_product(matrix: &[u64], r: &[u64], rows: usize) -> Vec<Element> {
    let mut sums = vec![Element::ZERO; rows];
    let columns = r.len();
    for (tile, sums) in sums.chunks_mut(TILE).enumerate() {
        for (block, r) in r.chunks(TILE).enumerate() {
            let word = |c: usize, row: usize| matrix[(tile * TILE + row) * columns + block * TILE + c];
            let height = sums.len();
            let turned: Vec<_> = (0..r.len() * height).map(|at| word(at / height, at % height)).collect();
            Element::accumulate(sums, r, &turned);
        }
    }
    sums
}

/// Whether all matrices are as large as they say.
pub(super) fn check(product: &MatrixProduct) -> Result<(), ProofError> {
    let size = |a: usize, b: usize| a.saturating_mul(b);
    let x = size(product.rows, product.inner);
    let y = size(product.inner, product.columns);
    let z = size(product.rows, product.columns);
    let matrices = [
        ("X", x, &product.x[0]),
        ("X", x, &product.x[1]),
        ("Y", y, &product.y[0]),
        ("Y", y, &product.y[1]),
        ("Z", z, &product.product),
        ("A", z, &product.zero),
    ];
    for (what, expected, matrix) in matrices {
        if matrix.len() != expected {
            return Err(ProofError::Tape { what, expected, got: matrix.len() });
        }
    }
    Ok(())
}
