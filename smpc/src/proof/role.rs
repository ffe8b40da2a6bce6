//! What the prover and a verifier of one instance and algebra compute in each fold.

use super::algebra::Algebra;
use super::challenge::Stream;
use super::first::{self, Side, Vectors, Weights};
use super::fold::{self, Turn};
use super::plan::Part;
use crate::tape::{ProverTape, VerifierTape};

/// The relations that a prover or a verifier is about, from its side; of interest until the first fold is over.
pub(super) struct Relations<'a, T> {
    pub part: &'a Part,
    pub tape: &'a T,
    pub weights: &'a Weights,
}

/// Knows both vectors.
pub(super) struct Prover<A> {
    /// What joins the vectors after the first fold; later all that is left of them.
    pub left: Vec<A>,
    /// The same of the right side.
    pub right: Vec<A>,
    /// Room for both after the first fold.
    pub room: [Vec<A>; 2],
}

/// Knows one vector and its part of the target.
pub(super) struct Verifier<A> {
    pub side: Side,
    /// What joins the vector after the first fold; later all that is left of it.
    pub values: Vec<A>,
    /// Its part of what joins; later of the whole target.
    pub target: A,
    /// Folds that were done before their turn.
    pub ahead: usize,
}

/// What the prover masks with.
pub(super) struct Masks<'a> {
    /// Common with the left verifier.
    pub left: &'a mut Stream,
    /// Common with the right verifier.
    pub right: &'a mut Stream,
}

impl<A: Algebra> Prover<A> {
    /// Draws the masks of the last fold.
    pub fn mask(&mut self, turn: Turn, masks: &mut Masks) {
        if turn.last {
            masks.left.elements(1).into_iter().for_each(|mask| fold::mask(&mut self.left, Side::Left, mask));
            masks.right.elements(1).into_iter().for_each(|mask| fold::mask(&mut self.right, Side::Right, mask));
        }
    }

    /// The right verifier's shares of the coefficients without the middle one; the left verifier draws its own from
    /// `masks`.
    pub fn shares(&mut self, of: &Relations<'_, ProverTape>, turn: Turn, masks: &mut Stream) -> Vec<A> {
        let mut coefficients = if turn.first {
            first::polynomial(&of.part.layout, &of.tape.left, &of.tape.right, of.weights)
        } else {
            fold::polynomial(&mut self.left, &mut self.right, turn.rows)
        };
        coefficients.remove(turn.rows - 1);
        let lefts = masks.elements::<A>(turn.coefficients());
        coefficients.into_iter().zip(lefts).map(|(coefficient, left)| coefficient.minus(left)).collect()
    }

    /// Goes on at `zeta`.
    pub fn fold(&mut self, of: &Relations<'_, ProverTape>, turn: Turn, zeta: A) {
        if turn.first {
            let [left, right] = std::mem::take(&mut self.room);
            self.left = of.first(Side::Left, &self.left, zeta, left);
            self.right = of.first(Side::Right, &self.right, zeta, right);
        } else {
            fold::fold(&mut self.left, Side::Left, turn.rows, zeta);
            fold::fold(&mut self.right, Side::Right, turn.rows, zeta);
        }
    }
}

impl Relations<'_, ProverTape> {
    /// The first fold of one side, into `folded`.
    fn first<A: Algebra>(&self, side: Side, more: &[A], zeta: A, mut folded: Vec<A>) -> Vec<A> {
        let layout = &self.part.layout;
        let terms = if side == Side::Left { &self.tape.left } else { &self.tape.right };
        let (segments, n) = fold::segments(layout.columns * A::PLACES + more.len(), side, &[], &[]);
        folded.clear();
        // The next fold fills up its last row.
        folded.reserve(n + A::FIRST);
        first::fold(layout, terms, Vectors { side, weights: self.weights, zeta }, more, &segments, &mut folded);
        folded
    }
}

impl<A: Algebra> Verifier<A> {
    /// Draws the mask of the last fold, as the prover does.
    pub fn mask(&mut self, turn: Turn, masks: &mut Stream) {
        if turn.last {
            masks.elements(1).into_iter().for_each(|mask| fold::mask(&mut self.values, self.side, mask));
        }
    }

    /// Goes on at the first of `zetas` with its `shares` of the coefficients; the others are those of the folds to come,
    /// of which it does some at once.
    pub fn fold(&mut self, of: &Relations<'_, VerifierTape>, turn: Turn, shares: &[A], zetas: &[A]) {
        let Some((&zeta, later)) = zetas.split_first() else { return };
        if turn.first {
            let target = first::target(&of.part.layout, &of.tape.target, of.weights);
            self.target = self.target.plus(fold::evaluate(target, shares, zeta));
            self.first(of, zeta, later);
            return;
        }
        self.target = fold::evaluate(self.target, shares, zeta);
        match self.ahead.checked_sub(1) {
            Some(ahead) => self.ahead = ahead,
            None => fold::fold(&mut self.values, self.side, turn.rows, zeta),
        }
    }

    /// The first fold, and some of the later ones.
    fn first(&mut self, of: &Relations<'_, VerifierTape>, zeta: A, later: &[A]) {
        let (side, Part { layout, schedule }) = (self.side, of.part);
        self.ahead = schedule.ahead::<A>(layout.columns).min(later.len());
        let n = layout.columns * A::PLACES + self.values.len();
        let rows = schedule.rows.get(1..=self.ahead).unwrap_or_default();
        let (segments, left) = fold::segments(n, side, rows, later);
        let mut folded = Vec::with_capacity(left + A::FIRST);
        let vectors = Vectors { side, weights: of.weights, zeta };
        first::fold(layout, &of.tape.known, vectors, &self.values, &segments, &mut folded);
        self.values = folded;
    }

    /// After the last fold: the one element that is left, and the part of the target.
    pub fn opened(&self) -> [A; 2] {
        [self.values.first().copied().unwrap_or(A::ZERO), self.target]
    }
}
