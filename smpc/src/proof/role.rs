//! What the prover and a verifier of one instance and algebra compute in each fold.

use super::algebra::Algebra;
use super::challenge::Stream;
use super::first::{self, Side, Weights};
use super::fold::{self, Turn};
use super::plan::Part;
use crate::tape::{ProverTape, VerifierTape};

/// Knows both vectors.
pub(super) struct Prover<'a, A> {
    pub part: &'a Part<'a>,
    pub tape: &'a ProverTape,
    pub weights: &'a Weights,
    /// What joins the vectors after the first fold; later all that is left of them.
    pub left: Vec<A>,
    /// The same of the right side.
    pub right: Vec<A>,
}

/// Knows one vector and its part of the target.
pub(super) struct Verifier<'a, A> {
    pub part: &'a Part<'a>,
    pub tape: &'a VerifierTape,
    pub weights: &'a Weights,
    pub side: Side,
    /// What joins the vector after the first fold; later all that is left of it.
    pub values: Vec<A>,
    /// Its part of what joins; later of the whole target.
    pub target: A,
}

/// What the prover masks with.
pub(super) struct Masks<'a> {
    /// Common with the left verifier.
    pub left: &'a mut Stream,
    /// Common with the right verifier.
    pub right: &'a mut Stream,
}

impl<A: Algebra> Prover<'_, A> {
    /// Draws the masks of the last fold.
    pub fn mask(&mut self, turn: Turn, masks: &mut Masks) {
        if turn.last {
            masks.left.elements(1).into_iter().for_each(|mask| fold::mask(&mut self.left, Side::Left, mask));
            masks.right.elements(1).into_iter().for_each(|mask| fold::mask(&mut self.right, Side::Right, mask));
        }
    }

    /// The right verifier's shares of the coefficients without the middle one; the left verifier draws its own from
    /// `masks`.
    pub fn shares(&mut self, turn: Turn, masks: &mut Stream) -> Vec<A> {
        let mut coefficients = if turn.first {
            first::polynomial(&self.part.layout, &self.tape.left, &self.tape.right, self.weights)
        } else {
            fold::polynomial(&mut self.left, &mut self.right, turn.rows)
        };
        coefficients.remove(turn.rows - 1);
        let lefts = masks.elements::<A>(turn.coefficients());
        coefficients.into_iter().zip(lefts).map(|(coefficient, left)| coefficient.minus(left)).collect()
    }

    /// Goes on at `zeta`.
    pub fn fold(&mut self, turn: Turn, zeta: A) {
        if turn.first {
            join(&mut self.left, first::fold(&self.part.layout, &self.tape.left, Side::Left, self.weights, zeta));
            join(&mut self.right, first::fold(&self.part.layout, &self.tape.right, Side::Right, self.weights, zeta));
        } else {
            fold::fold(&mut self.left, Side::Left, turn.rows, zeta);
            fold::fold(&mut self.right, Side::Right, turn.rows, zeta);
        }
    }
}

impl<A: Algebra> Verifier<'_, A> {
    /// Draws the mask of the last fold, as the prover does.
    pub fn mask(&mut self, turn: Turn, masks: &mut Stream) {
        if turn.last {
            masks.elements(1).into_iter().for_each(|mask| fold::mask(&mut self.values, self.side, mask));
        }
    }

    /// Goes on at `zeta` with its `shares` of the coefficients.
    pub fn fold(&mut self, turn: Turn, shares: &[A], zeta: A) {
        if turn.first {
            let target = first::target(&self.part.layout, &self.tape.target, self.weights);
            let folded = first::fold(&self.part.layout, &self.tape.known, self.side, self.weights, zeta);
            join(&mut self.values, folded);
            self.target = self.target.plus(fold::evaluate(target, shares, zeta));
        } else {
            self.target = fold::evaluate(self.target, shares, zeta);
            fold::fold(&mut self.values, self.side, turn.rows, zeta);
        }
    }

    /// After the last fold: the one element that is left, and the part of the target.
    pub fn opened(&self) -> [A; 2] {
        [self.values.first().copied().unwrap_or(A::ZERO), self.target]
    }
}

/// The folded terms stand before what joins them.
fn join<A: Algebra>(more: &mut Vec<A>, mut folded: Vec<A>) {
    folded.append(more);
    *more = folded;
}
