//! The first fold, from the words of a tape to elements: streamed, so nothing is held for each term.
//!
//! Column l has `U_l(X) = beta_l sum_j alpha_j u_jl X^j` and `V_l(X) = sum_k v_kl X^(rows-1-k)`. The coefficient of
//! `X^(rows-1)` in `sum_l U_l V_l` is what the targets add up to, weighted.

use super::algebra::Algebra;
use super::fold::{self, Segment};
use super::layout::{Group, Layout};
use crate::ring::kernels::galois::Columns;

/// The weights of the relations of one tape, from the exceptional set.
pub(super) struct Weights {
    /// `[rows]`.
    pub alpha: Vec<u64>,
    /// `[layout.weights]`.
    pub beta: Vec<u64>,
}

/// Whose words are folded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The left vectors, which carry the weights.
    Left,
    /// The right vectors.
    Right,
}

/// The coefficients of `sum_l U_l V_l`: `[2 · FIRST - 1]`.
pub(super) fn polynomial<A: Algebra>(layout: &Layout, left: &[u64], right: &[u64], weights: &Weights) -> Vec<A> {
    let mut coefficients = vec![A::ZERO; 2 * A::FIRST - 1];
    for short in [true, false] {
        let mut sums = Vec::new();
        for block in layout.blocks(short) {
            sums.resize(A::FIRST * A::FIRST, A::SUM);
            add_products::<A>(layout, &block, [left, right], &weights.beta, &mut sums);
        }
        if sums.is_empty() {
            continue;
        }
        let alpha: Vec<_> = weights.alpha.iter().map(|&alpha| A::exceptional(alpha)).collect();
        for (power, coefficient) in coefficients.iter_mut().enumerate() {
            let first = (power + 1).saturating_sub(A::FIRST);
            let last = power.min(A::FIRST - 1);
            let diagonal = (first..=last).map(|j| A::reduced(sums[j * A::FIRST + j + A::FIRST - 1 - power]));
            *coefficient = coefficient.plus(if short {
                A::dot(&alpha[first..=last], &diagonal.collect::<Vec<_>>())
            } else {
                diagonal.fold(A::ZERO, A::plus)
            });
        }
    }
    coefficients
}

/// `sums[j][k] += sum over the groups of beta · sum over their columns of left_j · right_k`.
fn add_products<A: Algebra>(
    layout: &Layout,
    block: &[&Group],
    [left, right]: [&[u64]; 2],
    beta: &[u64],
    sums: &mut [A::Sum],
) {
    let weights: Vec<_> = block.iter().map(|group| beta[group.weight]).collect();
    let widths: Vec<_> = block.iter().map(|group| group.width).collect();
    let (left, right) = (columns::<A>(layout, block, left), columns::<A>(layout, block, right));
    A::accumulate_products(sums, &weights, &Columns { rows: A::FIRST, widths: &widths, left: &left, right: &right });
}

/// `[columns, FIRST]`.
fn columns<A: Algebra>(layout: &Layout, block: &[&Group], terms: &[u64]) -> Vec<u64> {
    let count: usize = block.iter().map(|group| group.width).sum();
    let mut columns = vec![0; count * A::FIRST];
    let mut places = columns.chunks_mut(A::FIRST);
    for group in block {
        for (slot, column) in places.by_ref().take(group.width).enumerate() {
            layout.gather(group, slot, terms, column);
        }
    }
    columns
}

/// What the polynomials of one side are at `zeta`, and the elements that join them, `more`, after the later folds that
/// `segments` describes: `folded` is written from its beginning on.
pub(super) fn fold<A: Algebra>(
    layout: &Layout,
    terms: &[u64],
    Vectors { side, weights, zeta }: Vectors<A>,
    more: &[A],
    segments: &[Segment<A>],
    folded: &mut Vec<A>,
) {
    let powers = fold::powers(side, A::FIRST, zeta);
    folded.clear();
    let mut places = Places { segments, at: 0, powers, coefficients: Default::default() };
    let (mut column, mut elements) = (vec![0; A::FIRST], Vec::new());
    for group in &layout.groups {
        let weight = (side == Side::Left).then(|| weights.beta[group.weight]);
        for slot in 0..group.width {
            let [short, long] = places.coefficients(side, &weights.alpha);
            layout.gather(group, slot, terms, &mut column);
            A::combine(if group.short { short } else { long }, &column, weight, &mut elements);
            elements.iter().for_each(|element| places.add(element, folded));
            elements.clear();
        }
    }
    for element in more {
        let factor = places.factor();
        places.add(&element.times(factor), folded);
    }
}

/// How the words of one side are folded.
pub(super) struct Vectors<'a, A> {
    /// Which side.
    pub side: Side,
    /// Of the relations.
    pub weights: &'a Weights,
    /// Where.
    pub zeta: A,
}

/// Where the next element goes, and what it is multiplied by.
struct Places<'a, A> {
    /// From the one of the next element on.
    segments: &'a [Segment<A>],
    /// Of the segment.
    at: usize,
    powers: Vec<A>,
    /// Of short groups and of long ones, times the factor of the segment; none before its first element.
    coefficients: [Vec<A>; 2],
}

impl<A: Algebra> Places<'_, A> {
    fn factor(&self) -> A {
        self.segments.first().map_or(A::ONE, |segment| segment.factor)
    }

    /// What words of short groups and of long ones are multiplied by.
    fn coefficients(&mut self, side: Side, alpha: &[u64]) -> [&[A]; 2] {
        if self.coefficients[0].is_empty() {
            let factor = self.factor();
            let long: Vec<A> = self.powers.iter().map(|power| power.times(factor)).collect();
            let weighted = |(power, alpha): (&A, &u64)| power.times(A::exceptional(*alpha));
            let short = if side == Side::Left { long.iter().zip(alpha).map(weighted).collect() } else { long.clone() };
            self.coefficients = [short, long];
        }
        self.coefficients.each_ref().map(Vec::as_slice)
    }

    fn add(&mut self, element: &A, folded: &mut Vec<A>) {
        match folded.get_mut(self.at) {
            Some(sum) => sum.add(element),
            None => folded.push(*element),
        }
        self.at += 1;
        if self.segments.first().is_some_and(|segment| self.at == segment.length) {
            self.segments = &self.segments[1..];
            self.at = 0;
            self.coefficients = Default::default();
        }
    }
}

/// The weighted sum of the `targets`, one for each relation.
pub(super) fn target<A: Algebra>(layout: &Layout, targets: &[u64], weights: &Weights) -> A {
    let mut short = vec![A::SUM; A::FIRST];
    for block in layout.blocks(true) {
        let beta: Vec<_> = block.iter().map(|group| weights.beta[group.weight]).collect();
        let mut rows = vec![0; block.len() * A::FIRST];
        for (group, row) in block.iter().zip(rows.chunks_mut(A::FIRST)) {
            row[..group.entries].copy_from_slice(&targets[group.relation..][..group.entries]);
        }
        A::accumulate(&mut short, &beta, &rows);
    }
    let mut long = [A::SUM];
    let mut last = None;
    for group in layout.blocks(false).flatten() {
        // All groups of a relation have its weight; it counts once.
        if last.replace(group.relation) != Some(group.relation) {
            A::accumulate(&mut long, &[weights.beta[group.weight]], &targets[group.relation..=group.relation]);
        }
    }
    let terms = short.into_iter().zip(&weights.alpha);
    terms.fold(A::reduced(long[0]), |sum, (t, &alpha)| sum.plus(A::reduced(t).times(A::exceptional(alpha))))
}
