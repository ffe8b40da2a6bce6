//! Loops over the Galois ring, scalar, and the choice of an instruction set.

use super::super::galois::{DEGREE, Element};
use super::galois_set::{Level, Set};

/// Coefficients of a product before it is reduced, and one more.
pub(super) type Wide = [u64; 2 * DEGREE];

/// `sum over p of left[p] · right[p * stride]`; `left`: `[n]`, `right`: at least `(n - 1) * stride + 1`.
#[must_use]
pub fn dot(set: Set, left: &[Element], right: &[Element], stride: usize) -> Element {
    assert!(left.is_empty() || right.len() > (left.len() - 1) * stride, "fewer factors on the right");
    let wide = match set.level() {
        Level::Scalar => wide_dot(left, right, stride),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has AVX2.
        Level::Avx2 => unsafe { wide_dot_avx2(left, right, stride) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has AVX-512.
        Level::Avx512 => unsafe { super::galois_avx512::wide_dot(left, right, stride) },
    };
    reduce(&wide)
}

/// `sums[i] += sum over g of weights[g] * rows[g][i]`, the weights from the exceptional set.
///
/// `sums`: `[n]`, `weights`: `[g]`, `rows`: `[g, n]` words of Z_2^64.
pub fn accumulate(set: Set, sums: &mut [Element], weights: &[u64], rows: &[u64]) {
    assert_eq!(rows.len(), sums.len() * weights.len(), "a row has a word for every sum");
    match set.level() {
        Level::Scalar => accumulate_scalar(sums, weights, rows),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has AVX2.
        Level::Avx2 => unsafe { accumulate_avx2(sums, weights, rows) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has AVX-512.
        Level::Avx512 => unsafe { super::galois_avx512::accumulate(sums, weights, rows) },
    }
}

/// `sum over j of coefficients[j] * words[j]`; both `[n]`, the words from Z_2^64.
#[must_use]
pub fn combine(set: Set, coefficients: &[Element], words: &[u64]) -> Element {
    assert_eq!(coefficients.len(), words.len(), "a coefficient for every word");
    match set.level() {
        Level::Scalar => combine_scalar(coefficients, words),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has AVX2.
        Level::Avx2 => unsafe { combine_avx2(coefficients, words) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has AVX-512.
        Level::Avx512 => unsafe { super::galois_avx512::combine(coefficients, words) },
    }
}

/// Columns of words of both sides of products, in groups.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// Words of a column: n.
    pub rows: usize,
    /// `[groups]`: columns of each.
    pub widths: &'a [usize],
    /// `[columns, n]`.
    pub left: &'a [u64],
    /// `[columns, n]`.
    pub right: &'a [u64],
}

impl Columns<'_> {
    /// Left row by left row: `multiply(row, factors, words)` makes `row[k] = sum over c of factors[c * n] * words[c * n + k]`
    /// of each group's columns, and `add(sums, rows)` takes the rows of all groups, `[groups, n]`.
    pub(crate) fn row_by_row<S>(
        &self,
        sums: &mut [S],
        multiply: impl Fn(&mut [u64], &[u64], &[u64]),
        add: impl Fn(&mut [S], &[u64]),
    ) {
        let n = self.rows;
        let mut rows = vec![0; self.widths.len() * n];
        for (j, sums) in sums.chunks_mut(n).enumerate() {
            let (mut lefts, mut rights) = (self.left.get(j..).unwrap_or_default(), self.right);
            for (width, row) in self.widths.iter().zip(rows.chunks_mut(n)) {
                let (own, others) = rights.split_at(width * n);
                multiply(row, lefts, own);
                (lefts, rights) = (&lefts[own.len().min(lefts.len())..], others);
            }
            add(sums, &rows);
        }
    }
}

/// `sums[j][k] += sum over g of weights[g] * sum over the columns c of g of left[c][j] * right[c][k]`, the weights from the
/// exceptional set; `sums`: `[n, n]`, `weights`: `[groups]`.
pub fn accumulate_products(set: Set, sums: &mut [Element], weights: &[u64], columns: &Columns<'_>) {
    assert_eq!(sums.len(), columns.rows * columns.rows, "a sum for every pair of rows");
    assert_eq!(weights.len(), columns.widths.len(), "a weight for every group");
    assert_eq!(columns.right.len(), columns.rows * columns.widths.iter().sum::<usize>(), "columns of all groups");
    assert_eq!(columns.left.len(), columns.right.len(), "as many on both sides");
    let add = |sums: &mut [Element], rows: &[u64]| accumulate(set, sums, weights, rows);
    match set.level() {
        Level::Scalar => columns.row_by_row(sums, products_scalar, add),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            // SAFETY: the set says that the machine has AVX2.
            let multiply =
                |row: &mut [u64], factors: &[u64], words: &[u64]| unsafe { products_avx2(row, factors, words) };
            columns.row_by_row(sums, multiply, add);
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set says that the machine has AVX-512.
        Level::Avx512 => unsafe { super::galois_avx512::accumulate_products(sums, weights, columns) },
    }
}

/// A polynomial of degree below 128 modulo x^64 = x^4 + x^3 + x + 1. What is carried above x^63 the first time is of
/// degree below 68 and is carried a second time.
fn reduce(wide: &Wide) -> Element {
    let mut high = [0; DEGREE + 8];
    high[4..DEGREE + 4].copy_from_slice(&wide[DEGREE..]);
    let folded = |i: usize| {
        let sum: u64 = high[i + 4].wrapping_add(high[i + 3]);
        sum.wrapping_add(high[i + 1]).wrapping_add(high[i])
    };
    let mut low: [u64; DEGREE] = std::array::from_fn(|i| wide[i].wrapping_add(folded(i)));
    for i in 0..4 {
        let carried = folded(DEGREE + i);
        for place in [0, 1, 3, 4] {
            low[i + place] = low[i + place].wrapping_add(carried);
        }
    }
    Element(low)
}

#[inline(always)]
fn wide_dot(left: &[Element], right: &[Element], stride: usize) -> Wide {
    let mut wide = [0u64; 2 * DEGREE];
    for (p, a) in left.iter().enumerate() {
        let b = &right[p * stride].0;
        for (i, &a) in a.0.iter().enumerate() {
            for (sum, &b) in wide[i..i + DEGREE].iter_mut().zip(b) {
                *sum = sum.wrapping_add(a.wrapping_mul(b));
            }
        }
    }
    wide
}

#[inline(always)]
fn accumulate_scalar(sums: &mut [Element], weights: &[u64], rows: &[u64]) {
    let width = sums.len();
    for (g, &weight) in weights.iter().enumerate() {
        let masks: [u64; DEGREE] = std::array::from_fn(|bit| 0u64.wrapping_sub((weight >> bit) & 1));
        for (sum, &word) in sums.iter_mut().zip(&rows[g * width..]) {
            sum.0.iter_mut().zip(&masks).for_each(|(sum, mask)| *sum = sum.wrapping_add(word & mask));
        }
    }
}

#[inline(always)]
fn combine_scalar(coefficients: &[Element], words: &[u64]) -> Element {
    let mut sum = Element::ZERO;
    for (coefficient, &word) in coefficients.iter().zip(words) {
        let terms = coefficient.0.iter().map(|coefficient| coefficient.wrapping_mul(word));
        sum.0.iter_mut().zip(terms).for_each(|(sum, term)| *sum = sum.wrapping_add(term));
    }
    sum
}

#[inline(always)]
pub(super) fn products_scalar(sums: &mut [u64], factors: &[u64], words: &[u64]) {
    let width = sums.len().max(1);
    let mut columns = words.chunks_exact(width).zip(factors.iter().step_by(width));
    let Some((words, &factor)) = columns.next() else { return sums.fill(0) };
    sums.iter_mut().zip(words).for_each(|(sum, &word)| *sum = factor.wrapping_mul(word));
    for (words, &factor) in columns {
        sums.iter_mut().zip(words).for_each(|(sum, &word)| *sum = sum.wrapping_add(factor.wrapping_mul(word)));
    }
}

/// The scalar loops, compiled with wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn wide_dot_avx2(left: &[Element], right: &[Element], stride: usize) -> Wide {
    wide_dot(left, right, stride)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn accumulate_avx2(sums: &mut [Element], weights: &[u64], rows: &[u64]) {
    accumulate_scalar(sums, weights, rows);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn combine_avx2(coefficients: &[Element], words: &[u64]) -> Element {
    combine_scalar(coefficients, words)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn products_avx2(sums: &mut [u64], factors: &[u64], words: &[u64]) {
    products_scalar(sums, factors, words);
}
