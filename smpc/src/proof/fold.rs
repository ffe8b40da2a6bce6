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

/// The coefficients of `sum_l U_l V_l`: `[2 · rows - 1]`.
pub(super) fn polynomial<A: Algebra>(left: &mut Vec<A>, right: &mut Vec<A>, rows: usize) -> Vec<A> {
    let width = pad(left, rows);
    pad(right, rows);
    let mut coefficients = vec![A::ZERO; 2 * rows - 1];
    for (j, left) in left.chunks(width).enumerate() {
        for (k, right) in right.chunks(width).enumerate().filter(|(k, _)| *k != j) {
            let coefficient = &mut coefficients[j + rows - 1 - k];
            *coefficient = coefficient.plus(A::dot(left, right));
        }
    }
    coefficients
}

/// What the polynomials of one side are at `zeta`: `[ceil(n / rows)]`.
pub(super) fn fold<A: Algebra>(values: &mut Vec<A>, side: Side, rows: usize, zeta: A) {
    pad(values, rows);
    let mut powers = A::powers(zeta, rows);
    if side == Side::Right {
        powers.reverse();
    }
    *values = A::fold(&powers, values);
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
