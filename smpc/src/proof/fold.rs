//! The folds after the first, of vectors of elements, and the last one, which hides what is opened.
//!
//! A vector of n elements stands in `rows` rows of `n' = ceil(n / rows)`; with `U_l(X) = sum_j u_jl X^j` and
//! `V_l(X) = sum_k v_kl X^(rows-1-k)` the inner product is the coefficient of `X^(rows-1)` in `sum_l U_l V_l`. The prover
//! tells the other coefficients, the verifiers add their targets at the middle, and all go on with the values at a
//! random zeta.

use super::algebra::Algebra;
use super::first::Side;

/// Elements that the last fold takes at most.
const LAST: usize = 30;

/// Elements of a row whose products are added before they are reduced, and sums that are held: 16 KiB of each.
const TOGETHER: usize = 32;

/// Rows of every fold of one instance and algebra, in order. Depends on public lengths alone.
pub(super) struct Schedule {
    /// The first fold has `FIRST` rows, the last one as many as elements are left, and two for the masks.
    pub rows: Vec<usize>,
}

impl Schedule {
    /// Nothing to prove.
    pub const NONE: Self = Self { rows: Vec::new() };

    /// Of a vector of `elements` after the first fold.
    ///
    /// Long vectors are folded by few rows, which costs the least: `rows + 1` products an element of what comes in.
    /// Short ones are folded by many, which saves rounds.
    pub fn new<A: Algebra>(elements: usize) -> Self {
        let mut rows = vec![A::FIRST];
        let mut left = elements;
        while left > LAST {
            let factor = match left.saturating_mul(A::BYTES) {
                0x0010_0000.. => 4,
                0x0002_0000.. => 8,
                _ => 16,
            };
            rows.push(factor);
            left = left.div_ceil(factor);
        }
        rows.push(left + 2);
        Self { rows }
    }

    /// How many folds after the first a verifier does together with it, of `columns` words of terms: as many as multiply
    /// fewer factors than there are columns, and never the last, which takes masks.
    pub fn ahead<A: Algebra>(&self, columns: usize) -> usize {
        if A::PLACES > 1 {
            return 0;
        }
        let products = |factor: &mut usize, rows: &usize| {
            *factor *= rows;
            Some(*factor)
        };
        let folds = self.rows.get(1..self.rows.len().saturating_sub(1)).unwrap_or_default();
        folds.iter().scan(4 * A::FIRST, products).take_while(|products| *products <= columns).count()
    }

    /// Rows at fold `k` of `folds`: who has fewer folds begins later, so that all end together.
    pub fn at(&self, k: usize, folds: usize) -> Option<Turn> {
        let turn = (k + self.rows.len()).checked_sub(folds)?;
        let rows = *self.rows.get(turn)?;
        Some(Turn { rows, first: turn == 0, last: turn + 1 == self.rows.len() })
    }
}

/// One fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// Rows that become one.
    pub rows: usize,
    /// Takes the words of the tape.
    pub first: bool,
    /// Takes the masks as well.
    pub last: bool,
}

impl Turn {
    /// Coefficients that the prover tells.
    pub const fn coefficients(self) -> usize {
        2 * self.rows - 2
    }
}

/// The coefficients of `sum_l U_l V_l`: `[2 · rows - 1]`, but for the middle one, which nobody tells.
pub(super) fn polynomial<A: Algebra>(left: &mut Vec<A>, right: &mut Vec<A>, rows: usize) -> Vec<A> {
    let width = pad(left, rows);
    pad(right, rows);
    if rows == 4 {
        return of_four_rows(left, right, width);
    }
    let mut coefficients = vec![A::ZERO; 2 * rows - 1];
    for (j, left) in left.chunks(width).enumerate() {
        for (k, right) in right.chunks(width).enumerate().filter(|(k, _)| *k != j) {
            coefficients[j + rows - 1 - k].add(&A::dot(left, right));
        }
    }
    coefficients
}

/// Those of four rows by Karatsuba's method: 8 products in the place of 12. With w the right rows from the last on, they
/// are `u_0 w_0`, `u_0 w_1 + u_1 w_0`, `u_0 w_2 + u_1 w_1 + u_2 w_0`, and the same from the other end.
fn of_four_rows<A: Algebra>(left: &[A], right: &[A], width: usize) -> Vec<A> {
    let mut products = [A::ZERO; 4];
    let mut sums = [A::ZERO; 4];
    let mut rows = [(); 2].map(|()| Vec::with_capacity(TOGETHER));
    for begin in (0..width).step_by(TOGETHER) {
        let end = width.min(begin + TOGETHER);
        let u = |row: usize| &left[row * width..][begin..end];
        let w = |row: usize| &right[(3 - row) * width..][begin..end];
        (0..4).for_each(|row| products[row].add(&A::dot(u(row), w(row))));
        for (sum, [a, b]) in sums.iter_mut().zip([[0, 1], [0, 2], [1, 3], [2, 3]]) {
            for (sums, [x, y]) in rows.iter_mut().zip([[u(a), u(b)], [w(a), w(b)]]) {
                sums.clear();
                sums.extend(x.iter().zip(y).map(|(x, y)| x.plus(*y)));
            }
            sum.add(&A::dot(&rows[0], &rows[1]));
        }
    }
    let [p0, p1, p2, p3] = products;
    let [s01, s02, s13, s23] = sums;
    let first = [p0, s01.minus(p0).minus(p1), s02.minus(p0).minus(p2).plus(p1)];
    let last = [s13.minus(p1).minus(p3).plus(p2), s23.minus(p2).minus(p3), p3];
    [&first[..], &[A::ZERO], &last].concat()
}

/// What the polynomials of one side are at `zeta`: `[ceil(n / rows)]`.
pub(super) fn fold<A: Algebra>(values: &mut Vec<A>, side: Side, rows: usize, zeta: A) {
    pad(values, rows);
    A::fold(&powers(side, rows, zeta), values);
}

/// What the rows of one side are multiplied by: `[rows]`.
pub(super) fn powers<A: Algebra>(side: Side, rows: usize, zeta: A) -> Vec<A> {
    let mut powers = A::powers(zeta, rows);
    if side == Side::Right {
        powers.reverse();
    }
    powers
}

/// Neighbouring elements that later folds multiply by one factor and add to the elements from the first on.
pub(super) struct Segment<A> {
    /// How many.
    pub length: usize,
    /// By what.
    pub factor: A,
}

/// What the folds of `rows` at `zetas` do to a vector of n elements, all at once, and what is left, `[n']`.
pub(super) fn segments<A: Algebra>(n: usize, side: Side, rows: &[usize], zetas: &[A]) -> (Vec<Segment<A>>, usize) {
    let (mut segments, mut left) = (vec![Segment { length: n, factor: A::ONE }], n);
    for (&rows, &zeta) in rows.iter().zip(zetas) {
        left = left.div_ceil(rows).max(1);
        let powers = powers(side, rows, zeta);
        let row = |(k, power): (usize, &A), of: &Segment<A>| {
            let length = of.length.saturating_sub(k * left).min(left);
            (length > 0).then(|| Segment { length, factor: of.factor.times(*power) })
        };
        let parts = segments.iter().flat_map(|of| powers.iter().enumerate().filter_map(move |at| row(at, of)));
        segments = parts.collect();
    }
    (segments, left)
}

/// A verifier's part of the next target: `shares` are its parts of the coefficients without the middle one, which is
/// its part of the target so far.
pub(super) fn evaluate<A: Algebra>(target: A, shares: &[A], zeta: A) -> A {
    let middle = shares.len() / 2;
    let powers = A::powers(zeta, shares.len() + 1);
    let (low, high) = powers.split_at(middle);
    let sum = A::dot(low, &shares[..middle]).plus(A::dot(&high[1..], &shares[middle..]));
    sum.plus(target.times(high[0]))
}

/// Puts the mask of one side to the end. The other side has 0 there, so the inner product stays; the folded value of
/// this side becomes uniform, since zeta is a unit.
pub(super) fn mask<A: Algebra>(values: &mut Vec<A>, side: Side, mask: A) {
    values.extend(if side == Side::Left { [mask, A::ZERO] } else { [A::ZERO, mask] });
}

/// Fills the last row with zeros; returns the elements of a row, 1 at least.
fn pad<A: Algebra>(values: &mut Vec<A>, rows: usize) -> usize {
    let width = values.len().div_ceil(rows).max(1);
    values.resize(width * rows, A::ZERO);
    width
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ring::galois::Element;

    proptest! {
        #[test]
        fn a_fold_keeps_the_relation(pairs in prop::collection::vec(any::<(u64, u64)>(), 0..90), rows in 2usize..40, zeta: u64) {
            let (mut left, mut right): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let target = u64::dot(&left, &right);
            let mut coefficients = polynomial(&mut left, &mut right, rows);
            coefficients.remove(rows - 1);
            fold(&mut left, Side::Left, rows, zeta);
            fold(&mut right, Side::Right, rows, zeta);
            prop_assert_eq!(u64::dot(&left, &right), evaluate(target, &coefficients, zeta));
        }
    }

    /// The bound of `docs/spec/smpc-proof.md`: with at most 2^40 columns, the degrees of all folds add up to less than
    /// 2^9.
    #[test]
    fn the_degrees_of_a_proof_are_few() {
        for elements in (0..200).chain((0..=40).map(|power| (1 << power) + 1)) {
            for schedule in [Schedule::new::<Element>(elements), Schedule::new::<u64>(elements)] {
                let degrees: usize = schedule.rows.iter().map(|rows| 2 * rows - 2).sum();
                assert!(degrees + 8 < 1 << 9, "{elements}: {degrees}");
                assert!(schedule.rows.iter().all(|rows| (2..=64).contains(rows)));
            }
        }
    }

    proptest! {
        #[test]
        fn folds_are_the_same_one_by_one_and_together(values in prop::collection::vec(any::<u64>(), 1..200), left: bool, zetas: [u64; 3]) {
            let (side, rows) = (if left { Side::Left } else { Side::Right }, [4, 3, 8]);
            let (segments, n) = segments(values.len(), side, &rows, &zetas);
            let mut together = vec![0; n];
            let mut at = values.iter();
            for Segment { length, factor } in segments {
                at.by_ref().take(length).zip(&mut together).for_each(|(value, sum)| *sum ^= value.times(factor));
            }
            prop_assert!(at.next().is_none());
            let mut one_by_one = values;
            rows.iter().zip(zetas).for_each(|(rows, zeta)| fold(&mut one_by_one, side, *rows, zeta));
            prop_assert_eq!(together, one_by_one);
        }
    }

    #[test]
    fn the_shorter_schedule_begins_later() {
        let schedule = Schedule::new::<u64>(20);
        assert_eq!(schedule.rows, [64, 22]);
        assert_eq!(schedule.at(0, 3), None);
        assert_eq!(schedule.at(1, 3), Some(Turn { rows: 64, first: true, last: false }));
        assert_eq!(schedule.at(2, 3), Some(Turn { rows: 22, first: false, last: true }));
        assert_eq!(Schedule::NONE.at(0, 3), None);
    }
}
