//! Both algebras of one instance, side by side in the same messages.

use super::algebra::Algebra;
use super::challenge::{Challenge, Stream};
use super::first::Side;
use super::fold::Turn;
use super::link::{take, write};
use super::matrix::Projected;
use super::plan::{Plan, PlanWeights};
use super::role::{Masks, Prover, Relations, Verifier};
use crate::ring::galois::Element;
use crate::tape::{ProverTape, Tapes, VerifierTape};

/// What an instance is about.
#[derive(Clone, Copy)]
pub(super) struct Statement<'a> {
    pub plan: &'a Plan,
    pub weights: &'a PlanWeights,
    pub tapes: &'a Tapes,
}

/// The instance that this party proves.
pub(super) struct Proving {
    ring: Prover<Element>,
    bits: Prover<u64>,
}

/// An instance that it verifies.
pub(super) struct Checking {
    ring: Verifier<Element>,
    bits: Verifier<u64>,
    /// Whether words and bits have relations.
    needed: [bool; 2],
}

/// Memory that goes from one proof to a later one: the prover's two vectors.
#[derive(Default)]
pub(crate) struct Room(Vec<[Vec<Element>; 2]>);

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

impl<'a> Statement<'a> {
    fn proved(self) -> [Relations<'a, ProverTape>; 2] {
        self.relations(&self.tapes.ring.proving, &self.tapes.bits.proving)
    }

    fn checked(self, side: Side) -> [Relations<'a, VerifierTape>; 2] {
        match side {
            Side::Left => self.relations(&self.tapes.ring.left, &self.tapes.bits.left),
            Side::Right => self.relations(&self.tapes.ring.right, &self.tapes.bits.right),
        }
    }

    fn relations<T>(self, ring: &'a T, bits: &'a T) -> [Relations<'a, T>; 2] {
        let Self { plan, weights, .. } = self;
        [
            Relations { part: &plan.ring, tape: ring, weights: &weights.ring },
            Relations { part: &plan.bits, tape: bits, weights: &weights.bits },
        ]
    }
}

impl Proving {
    /// Before the first fold.
    pub fn new(of: Statement<'_>, room: &mut Room) -> Self {
        let side = |component, side| {
            let products = of.weights.projections.iter().zip(&of.tapes.matrices);
            products.flat_map(|(projection, product)| projection.vector(product, component, side)).collect()
        };
        let (left, right) = (side(0, Side::Left), side(1, Side::Right));
        let ring = Prover { left, right, room: room.0.pop().unwrap_or_default() };
        Self { ring, bits: Prover { left: Vec::new(), right: Vec::new(), room: Default::default() } }
    }

    /// Leaves what it held its vectors in.
    pub fn leave(self, room: &mut Room) {
        room.0.push([self.ring.left, self.ring.right]);
    }

    /// The message to the right verifier.
    pub fn shares(&mut self, of: Statement<'_>, turns: &Turns, masks: &mut Masks) -> Vec<u8> {
        let [ring, bits] = of.proved();
        let mut body = Vec::with_capacity(turns.bytes());
        // Masks first, then shares, ring before bits: the order in which the verifiers draw.
        turns.ring.iter().for_each(|&turn| self.ring.mask(turn, masks));
        turns.bits.iter().for_each(|&turn| self.bits.mask(turn, masks));
        turns.ring.iter().for_each(|&turn| write(&mut body, &self.ring.shares(&ring, turn, masks.left)));
        turns.bits.iter().for_each(|&turn| write(&mut body, &self.bits.shares(&bits, turn, masks.left)));
        body
    }

    /// Goes on where `challenge` says.
    pub fn fold(&mut self, of: Statement<'_>, turns: &Turns, challenge: Challenge) {
        let ([ring, bits], [ring_point, bits_point]) = (of.proved(), challenge.points());
        turns.ring.iter().for_each(|&turn| self.ring.fold(&ring, turn, Element::exceptional(ring_point)));
        turns.bits.iter().for_each(|&turn| self.bits.fold(&bits, turn, u64::exceptional(bits_point)));
    }
}

impl Checking {
    /// Before the first fold.
    pub fn new(of: Statement<'_>, side: Side) -> Self {
        let products = of.weights.projections.iter().zip(&of.tapes.matrices);
        let projected = products.map(|(projection, product)| match side {
            Side::Left => projection.left_verifier(product),
            Side::Right => projection.right_verifier(product),
        });
        let (mut values, mut target) = (Vec::new(), Element::ZERO);
        for Projected { vector, target: more } in projected {
            values.extend(vector);
            target += more;
        }
        let ring = Verifier { side, values, target, ahead: 0 };
        let bits = Verifier { side, values: Vec::new(), target: 0, ahead: 0 };
        Self { ring, bits, needed: [of.plan.ring.is_needed(), of.plan.bits.is_needed()] }
    }

    /// Draws the masks of the last folds, as the prover does.
    pub fn mask(&mut self, turns: &Turns, masks: &mut Stream) {
        turns.ring.iter().for_each(|&turn| self.ring.mask(turn, masks));
        turns.bits.iter().for_each(|&turn| self.bits.mask(turn, masks));
    }

    /// Goes on where the first of `challenges` says, with its `shares` of what the prover told.
    pub fn fold(&mut self, of: Statement<'_>, turns: &Turns, shares: &Shares, challenges: &[Challenge]) {
        let points = challenges.iter().map(Challenge::points);
        let (ring_points, bits_points): (Vec<_>, Vec<_>) =
            points.map(|[ring, bits]| (Element::exceptional(ring), u64::exceptional(bits))).unzip();
        let [ring, bits] = of.checked(self.ring.side);
        turns.ring.iter().for_each(|&turn| self.ring.fold(&ring, turn, &shares.ring, &ring_points));
        turns.bits.iter().for_each(|&turn| self.bits.fold(&bits, turn, &shares.bits, &bits_points));
    }

    /// The message to the other verifier: of each algebra that has relations, the element and the part of the target.
    pub fn opened(&self) -> Vec<u8> {
        let mut body = Vec::new();
        if self.needed[0] {
            write(&mut body, &self.ring.opened());
        }
        if self.needed[1] {
            write(&mut body, &self.bits.opened());
        }
        body
    }

    /// Whether all relations hold, given the other verifier's message, which is as long as one's own.
    pub fn holds(&self, mut other: &[u8]) -> bool {
        let ring = !self.needed[0] || agree(self.ring.opened(), &take(&mut other, 2));
        let bits = !self.needed[1] || agree(self.bits.opened(), &take(&mut other, 2));
        ring && bits
    }
}

/// The parts of the target add up to the product.
fn agree<A: Algebra>([value, target]: [A; 2], other: &[A]) -> bool {
    matches!(other, [other, rest] if value.times(*other) == target.plus(*rest))
}
