//! Both algebras of one instance, side by side in the same messages.

use super::algebra::Algebra;
use super::challenge::{Challenge, Stream};
use super::first::Side;
use super::fold::Turn;
use super::link::{take, write};
use super::matrix::Projected;
use super::plan::{Plan, PlanWeights};
use super::role::{Masks, Prover, Verifier};
use crate::ring::galois::Element;
use crate::tape::Tapes;

/// The instance that this party proves.
pub(super) struct Proving<'a> {
    ring: Prover<'a, Element>,
    bits: Prover<'a, u64>,
}

/// An instance that it verifies.
pub(super) struct Checking<'a> {
    plan: &'a Plan<'a>,
    ring: Verifier<'a, Element>,
    bits: Verifier<'a, u64>,
}

/// Memory that goes from one proof to the next: the prover's two vectors.
#[derive(Default)]
pub(crate) struct Room([Vec<Element>; 2]);

/// What is folded now.
#[derive(Clone, Copy)]
pub(super) struct Turns {
    ring: Option<Turn>,
    bits: Option<Turn>,
}

/// A verifier's shares of the coefficients.
pub(super) struct Shares {
    ring: Vec<Element>,
    bits: Vec<u64>,
}

impl Turns {
    /// Of fold `k` of `folds`.
    pub fn new(plan: &Plan, k: usize, folds: usize) -> Self {
        Self { ring: plan.ring.schedule.at(k, folds), bits: plan.bits.schedule.at(k, folds) }
    }

    fn counts(&self) -> [usize; 2] {
        [self.ring, self.bits].map(|turn| turn.map_or(0, Turn::coefficients))
    }

    /// Bytes of the prover's message.
    pub fn bytes(&self) -> usize {
        let [ring, bits] = self.counts();
        ring * Element::BYTES + bits * u64::BYTES
    }
}

impl Shares {
    /// The right verifier's, from the prover's message of [`Turns::bytes`].
    pub fn read(turns: &Turns, mut body: &[u8]) -> Self {
        let [ring, bits] = turns.counts();
        Self { ring: take(&mut body, ring), bits: take(&mut body, bits) }
    }

    /// The left verifier's, as the prover draws them.
    pub fn draw(turns: &Turns, masks: &mut Stream) -> Self {
        let [ring, bits] = turns.counts();
        Self { ring: masks.elements(ring), bits: masks.elements(bits) }
    }
}

impl<'a> Proving<'a> {
    /// Before the first fold.
    pub fn new(plan: &'a Plan<'a>, weights: &'a PlanWeights, tapes: &'a Tapes, room: &mut Room) -> Self {
        let side = |component, side| {
            let products = weights.projections.iter().zip(&tapes.matrices);
            products.flat_map(|(projection, product)| projection.vector(product, component, side)).collect()
        };
        let ring = Prover {
            part: &plan.ring,
            tape: &tapes.ring.proving,
            weights: &weights.ring,
            left: side(0, Side::Left),
            right: side(1, Side::Right),
            room: std::mem::take(&mut room.0),
        };
        let (left, right, room) = (Vec::new(), Vec::new(), Default::default());
        let bits = Prover { part: &plan.bits, tape: &tapes.bits.proving, weights: &weights.bits, left, right, room };
        Self { ring, bits }
    }

    /// What it held its vectors in.
    pub fn into_room(self) -> Room {
        Room([self.ring.left, self.ring.right])
    }

    /// The message to the right verifier.
    pub fn shares(&mut self, turns: &Turns, masks: &mut Masks) -> Vec<u8> {
        let mut body = Vec::with_capacity(turns.bytes());
        // Masks first, then shares, ring before bits: the order in which the verifiers draw.
        turns.ring.iter().for_each(|&turn| self.ring.mask(turn, masks));
        turns.bits.iter().for_each(|&turn| self.bits.mask(turn, masks));
        turns.ring.iter().for_each(|&turn| write(&mut body, &self.ring.shares(turn, masks.left)));
        turns.bits.iter().for_each(|&turn| write(&mut body, &self.bits.shares(turn, masks.left)));
        body
    }

    /// Goes on where `challenge` says.
    pub fn fold(&mut self, turns: &Turns, challenge: Challenge) {
        let [ring, bits] = challenge.points();
        turns.ring.iter().for_each(|&turn| self.ring.fold(turn, Element::exceptional(ring)));
        turns.bits.iter().for_each(|&turn| self.bits.fold(turn, u64::exceptional(bits)));
    }
}

impl<'a> Checking<'a> {
    /// Before the first fold.
    pub fn new(plan: &'a Plan<'a>, weights: &'a PlanWeights, tapes: &'a Tapes, side: Side) -> Self {
        let products = weights.projections.iter().zip(&tapes.matrices);
        let projected = products.map(|(projection, product)| match side {
            Side::Left => projection.left_verifier(product),
            Side::Right => projection.right_verifier(product),
        });
        let (mut values, mut target) = (Vec::new(), Element::ZERO);
        for Projected { vector, target: more } in projected {
            values.extend(vector);
            target += more;
        }
        let (tape, bits) = match side {
            Side::Left => (&tapes.ring.left, &tapes.bits.left),
            Side::Right => (&tapes.ring.right, &tapes.bits.right),
        };
        let ring = Verifier { part: &plan.ring, tape, weights: &weights.ring, side, values, target, ahead: 0 };
        let values = Vec::new();
        let bits = Verifier { part: &plan.bits, tape: bits, weights: &weights.bits, side, values, target: 0, ahead: 0 };
        Self { plan, ring, bits }
    }

    /// Draws the masks of the last folds, as the prover does.
    pub fn mask(&mut self, turns: &Turns, masks: &mut Stream) {
        turns.ring.iter().for_each(|&turn| self.ring.mask(turn, masks));
        turns.bits.iter().for_each(|&turn| self.bits.mask(turn, masks));
    }

    /// Goes on where the first of `challenges` says, with its `shares` of what the prover told.
    pub fn fold(&mut self, turns: &Turns, shares: &Shares, challenges: &[Challenge]) {
        let points = challenges.iter().map(Challenge::points);
        let (ring, bits): (Vec<_>, Vec<_>) =
            points.map(|[ring, bits]| (Element::exceptional(ring), u64::exceptional(bits))).unzip();
        turns.ring.iter().for_each(|&turn| self.ring.fold(turn, &shares.ring, &ring));
        turns.bits.iter().for_each(|&turn| self.bits.fold(turn, &shares.bits, &bits));
    }

    /// The message to the other verifier: of each algebra that has relations, the element and the part of the target.
    pub fn opened(&self) -> Vec<u8> {
        let mut body = Vec::new();
        if self.plan.ring.is_needed() {
            write(&mut body, &self.ring.opened());
        }
        if self.plan.bits.is_needed() {
            write(&mut body, &self.bits.opened());
        }
        body
    }

    /// Whether all relations hold, given the other verifier's message, which is as long as one's own.
    pub fn holds(&self, mut other: &[u8]) -> bool {
        let ring = !self.plan.ring.is_needed() || agree(self.ring.opened(), &take(&mut other, 2));
        let bits = !self.plan.bits.is_needed() || agree(self.bits.opened(), &take(&mut other, 2));
        ring && bits
    }
}

/// The parts of the target add up to the product.
fn agree<A: Algebra>([value, target]: [A; 2], other: &[A]) -> bool {
    matches!(other, [other, rest] if value.times(*other) == target.plus(*rest))
}
