//! What the folds ask of the two algebras: GR(2^64, 64) for words, GF(2^64) for bits.

use crate::ring::galois::{DEGREE, Element};
use crate::ring::gf64;
use crate::ring::kernels::galois::Columns;
use crate::ring::kernels::galois_set::Set;
use crate::ring::kernels::{galois as ring_kernel, gf64 as field_kernel};

/// An algebra over the words of a tape, with an exceptional set of 2^64 elements.
pub(super) trait Algebra: Copy + PartialEq {
    /// A sum of products before it is reduced.
    type Sum: Copy;
    /// The empty sum.
    const SUM: Self::Sum;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Bytes of an element.
    const BYTES: usize;
    /// Rows of the first fold, which takes the words of a tape.
    const FIRST: usize;
    /// Elements that a column of words folds to.
    const PLACES: usize;

    /// Element `word` of the exceptional set.
    fn exceptional(word: u64) -> Self;
    fn add(&mut self, other: &Self);
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn reduced(sum: Self::Sum) -> Self;
    /// The sum of products; both `[n]`.
    fn dot(left: &[Self], right: &[Self]) -> Self;
    /// `values: [coefficients.len(), n]` becomes `sum over j of coefficients[j] · values[j]`, `[n]`.
    fn fold(coefficients: &[Self], values: &mut Vec<Self>);

    /// `sums[j][k] += sum over g of exceptional(weights[g]) · sum over the columns c of g of left[c][j] · right[c][k]`, products
    /// word by word as the tape means them; `sums`: `[n, n]`.
    fn accumulate_products(sums: &mut [Self::Sum], weights: &[u64], columns: &Columns<'_>);
    /// `sums[i] += sum over g of exceptional(weights[g]) · rows[g][i]`; `rows`: `[weights.len(), sums.len()]` words.
    fn accumulate(sums: &mut [Self::Sum], weights: &[u64], rows: &[u64]);
    /// Appends `sum over j of coefficients[j] · words[j]`, place by place, each times its place and `weight` if there
    /// is one; `coefficients`, `words`: `[FIRST]`.
    fn combine(coefficients: &[Self], words: &[u64], weight: Option<u64>, folded: &mut Vec<Self>);

    fn write(&self, bytes: &mut Vec<u8>);
    /// An element from its [`Self::BYTES`] bytes.
    fn read(bytes: &[u8]) -> Self;

    /// The product of two.
    fn times(self, other: Self) -> Self {
        Self::dot(&[self], &[other])
    }

    /// `[count]`: 1, `base`, `base`^2 ...
    fn powers(base: Self, count: usize) -> Vec<Self> {
        std::iter::successors(Some(Self::ONE), |power| Some(power.times(base))).take(count).collect()
    }
}

impl Algebra for Element {
    type Sum = Self;
    const SUM: Self = Self::ZERO;
    const ZERO: Self = Self::ZERO;
    const ONE: Self = Self::ONE;
    const BYTES: usize = 8 * DEGREE;
    /// The first fold takes about a nanosecond a row and term; what is left of it 12 products of elements (2 µs) and
    /// 2 KiB a column: with 64 rows it is the smaller part, and few bytes a term.
    const FIRST: usize = 64;
    const PLACES: usize = 1;

    fn exceptional(word: u64) -> Self {
        Self::exceptional(word)
    }

    fn plus(self, other: Self) -> Self {
        self + other
    }

    fn minus(self, other: Self) -> Self {
        self - other
    }

    fn reduced(sum: Self) -> Self {
        sum
    }

    fn dot(left: &[Self], right: &[Self]) -> Self {
        Self::dot(left, right)
    }

    /// In place: fresh pages would take as long as the products. What is multiplied by 1, the first row or the last, is
    /// added as it is.
    fn fold(coefficients: &[Self], values: &mut Vec<Self>) {
        let (rows, width) = (coefficients.len(), values.len() / coefficients.len());
        let first = usize::from(coefficients[0] == Self::ONE);
        let last = usize::from(first == 0 && coefficients[rows - 1] == Self::ONE);
        let one = if first == 1 { 0 } else { (rows - 1) * width };
        for l in 0..width {
            let others = &coefficients[first..rows - last];
            let mut sum = ring_kernel::dot(Set::current(), others, &values[first * width + l..], width);
            if first + last > 0 {
                sum.add(&values[one + l]);
            }
            values[l] = sum;
        }
        values.truncate(width);
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
    }

    fn accumulate_products(sums: &mut [Self], weights: &[u64], columns: &Columns<'_>) {
        ring_kernel::accumulate_products(Set::current(), sums, weights, columns);
    }

    fn accumulate(sums: &mut [Self], weights: &[u64], rows: &[u64]) {
        ring_kernel::accumulate(Set::current(), sums, weights, rows);
    }

    fn combine(coefficients: &[Self], words: &[u64], weight: Option<u64>, folded: &mut Vec<Self>) {
        let sum = ring_kernel::combine(Set::current(), coefficients, words);
        folded.push(weight.map_or(sum, |weight| sum * Self::exceptional(weight)));
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    }

    fn read(bytes: &[u8]) -> Self {
        let mut words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        Self(std::array::from_fn(|_| words.next().unwrap_or_default()))
    }
}

/// A word is an element of GF(2^64).
impl Algebra for u64 {
    type Sum = u128;
    const SUM: u128 = 0;
    const ZERO: Self = 0;
    const ONE: Self = 1;
    const BYTES: usize = 8;
    /// A column of 64 words becomes 64 elements, so what is folded takes the room of the tape and no more.
    const FIRST: usize = 64;
    const PLACES: usize = 64;

    fn exceptional(word: u64) -> Self {
        word
    }

    fn add(&mut self, other: &Self) {
        *self = gf64::add(*self, *other);
    }

    fn plus(self, other: Self) -> Self {
        gf64::add(self, other)
    }

    fn minus(self, other: Self) -> Self {
        self.plus(other)
    }

    fn reduced(sum: u128) -> Self {
        field_kernel::reduce(sum)
    }

    fn dot(left: &[Self], right: &[Self]) -> Self {
        gf64::dot(left, right)
    }

    fn fold(coefficients: &[Self], values: &mut Vec<Self>) {
        let mut sums = vec![0; values.len() / coefficients.len()];
        Self::accumulate(&mut sums, coefficients, values);
        values.truncate(sums.len());
        values.iter_mut().zip(sums).for_each(|(value, sum)| *value = Self::reduced(sum));
    }

    fn accumulate_products(sums: &mut [u128], weights: &[u64], columns: &Columns<'_>) {
        columns.row_by_row(sums, field_kernel::products, |sums, rows| Self::accumulate(sums, weights, rows));
    }

    fn accumulate(sums: &mut [u128], weights: &[u64], rows: &[u64]) {
        field_kernel::accumulate(Set::current(), sums, weights, rows);
    }

    fn combine(coefficients: &[Self], column: &[u64], weight: Option<u64>, folded: &mut Vec<Self>) {
        let mut sums = field_kernel::combine(Set::current(), coefficients, column);
        if let Some(weight) = weight {
            field_kernel::multiply_each(Set::current(), &mut sums, &gf64::places(weight));
        }
        folded.extend(sums);
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        bytes.first_chunk().map_or(0, |word| Self::from_le_bytes(*word))
    }
}
