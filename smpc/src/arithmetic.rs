//! Products and openings over Z_2^64 and its smaller rings.
//!
//! With x = Σ x_j and y = Σ y_j, party P_i computes
//!
//! ```text
//! z_i = x_i y_i + x_i y_{i+1} + x_{i+1} y_i + a_i - a_{i+1},      Σ z_i = x·y      (Araki et al. 2016)
//! ```
//!
//! which it either hands to P_{i-1}, so that z is replicated again, or, with a mask r that is replicated already, tells
//! both as c_i = z_i + r_i: then c = z + r is public and z_i = c_i - r_i is replicated, in the same round.

use crate::channel::Channel;
use crate::computation::{Computation, Step};
use crate::error::SmpcError;
use crate::party::PartyId;
use crate::ring::Shape;
use crate::ring::packing::pack;
use crate::ring::replicated;
use crate::share::{NEXT, OWN, Shares};
use crate::tape::{MatrixProduct, Run};

/// A uniform one-time mask r over Z_2^bits, `[n]`. Whatever opens with it uses it up.
pub struct Mask {
    /// r.
    pub(crate) shares: Shares,
    /// Of the ring.
    pub(crate) bits: u32,
}

impl Mask {
    /// That of `n` values from value `from` on.
    pub(crate) fn cut(&self, from: usize, n: usize) -> Self {
        Self { shares: self.shares.range(from..from + n), bits: self.bits }
    }
}

/// Where the relations of products stand that wait for what P_{i+1} sends.
#[derive(Clone, Copy)]
enum Recorded {
    Terms { first: usize },
    Matrices { first: usize },
}

/// Components of products before they travel: `[n]`, and where their relations stand on the tape.
pub struct Products {
    step: Step,
    own: Vec<u64>,
    bits: u32,
    recorded: Recorded,
    /// What was added to component 0 afterwards: no part of what is proved.
    constant: u64,
}

impl Products {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// None.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// k of Z_2^k.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// Components i before they travel, and their step.
    pub(crate) fn into_own(self) -> (Step, Vec<u64>) {
        (self.step, self.own)
    }

    /// The same plus a public constant, which P_0's component takes.
    #[must_use]
    pub fn plus_constant(mut self, party: PartyId, constant: u64) -> Self {
        if party.index() == 0 {
            self.own.iter_mut().for_each(|value| *value = value.wrapping_add(constant));
        }
        self.constant = self.constant.wrapping_add(constant);
        self
    }
}

impl<C: Channel> Computation<C> {
    /// x·y, entry by entry: `[n]`, over Z_2^bits.
    ///
    /// # Errors
    /// Randomness that was used before.
    pub fn products(&mut self, name: &'static str, x: &Shares, y: &Shares, bits: u32) -> Result<Products, SmpcError> {
        self.inner_products(name, x, y, 1, bits)
    }

    /// Sums of `terms` products each: `[n * terms]` and `[n * terms]` to `[n]`, over Z_2^bits.
    ///
    /// # Errors
    /// Randomness that was used before.
    pub fn inner_products(
        &mut self,
        name: &'static str,
        x: &Shares,
        y: &Shares,
        terms: usize,
        bits: u32,
    ) -> Result<Products, SmpcError> {
        let step = self.begin(name);
        let zero = self.random(step, x.len() / terms)?;
        let all = 0..x.len();
        let local = replicated::inner_products(terms, side(x, &all), side(y, &all));
        let own = with_zeros(local, &zero[OWN], &zero[NEXT]);
        let first = if self.records() { self.record(x, y, terms, bits, &zero) } else { 0 };
        self.pending += 1;
        Ok(Products { step, own, bits, recorded: Recorded::Terms { first }, constant: 0 })
    }

    /// Matrix products X·Y over Z_2^64, one after the other: `[rows, inner]` each, `[inner, columns]` each, to
    /// `[rows, columns]` each.
    ///
    /// # Errors
    /// Randomness that was used before.
    pub fn matrix_products(
        &mut self,
        name: &'static str,
        x: &Shares,
        y: &Shares,
        shapes: &[Shape],
    ) -> Result<Products, SmpcError> {
        let step = self.begin(name);
        let zero = self.random(step, shapes.iter().map(|shape| shape.rows * shape.columns).sum())?;
        let first = self.tapes.matrices.len();
        let mut own = Vec::with_capacity(zero[OWN].len());
        let (mut from_x, mut from_y) = (0, 0);
        for shape in shapes {
            let range_x = from_x..from_x + shape.rows * shape.inner;
            let range_y = from_y..from_y + shape.inner * shape.columns;
            (from_x, from_y) = (range_x.end, range_y.end);
            let range = own.len()..own.len() + shape.rows * shape.columns;
            let (x, y) = (side(x, &range_x), side(y, &range_y));
            let local = if self.rehearsal().is_some() {
                vec![0; shape.rows * shape.columns]
            } else {
                replicated::matrix_product(*shape, x, y)
            };
            own.extend(with_zeros(local, &zero[OWN][range.clone()], &zero[NEXT][range.clone()]));
            if self.records() {
                self.tapes.matrices.push(MatrixProduct {
                    rows: shape.rows,
                    inner: shape.inner,
                    columns: shape.columns,
                    x: x.map(<[u64]>::to_vec),
                    y: y.map(<[u64]>::to_vec),
                    product: zero[NEXT][range.clone()].iter().map(|a| a.wrapping_neg()).collect(),
                    zero: zero[OWN][range].to_vec(),
                });
            }
        }
        self.pending += 1;
        Ok(Products { step, own, bits: 64, recorded: Recorded::Matrices { first }, constant: 0 })
    }

    /// Hands products to P_{i-1}, so that they are replicated.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn replicate(&mut self, products: Products) -> Result<Shares, SmpcError> {
        self.hand_on(&products)?;
        let shares = self.take_over(products)?;
        self.prove_if_many()?;
        Ok(shares)
    }

    /// Sends P_{i-1} what it shall hold of products.
    pub(crate) fn hand_on(&mut self, products: &Products) -> Result<(), SmpcError> {
        self.send_values(products.step, self.party().previous(), &products.own, products.bits)
    }

    /// Products with the components that P_{i+1} has handed on.
    pub(crate) fn take_over(&mut self, products: Products) -> Result<Shares, SmpcError> {
        let Products { step, own, bits, recorded, constant } = products;
        let (next, _) = self.receive_values(step, self.party().next(), own.len(), bits)?;
        self.settle(recorded, &next, bits, constant);
        Ok(Shares::new(own, next))
    }

    /// As [`Computation::replicate`], of several products in one round.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn replicate_all(&mut self, products: Vec<Products>) -> Result<Vec<Shares>, SmpcError> {
        for products in &products {
            self.hand_on(products)?;
        }
        let replicated = products.into_iter().map(|products| self.take_over(products)).collect::<Result<_, _>>()?;
        self.prove_if_many()?;
        Ok(replicated)
    }

    /// Opens products under `mask`: z + r over Z_2^bits, `[n]`, and z.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn open_products(&mut self, products: Products, mask: Mask) -> Result<(Vec<u64>, Shares), SmpcError> {
        let told = self.tell_products(&products, &mask)?;
        let opened = self.hear_products(products, mask, &told)?;
        self.prove_if_many()?;
        Ok(opened)
    }

    /// Tells both others z_i + r_i.
    pub(crate) fn tell_products(&mut self, products: &Products, mask: &Mask) -> Result<Vec<u64>, SmpcError> {
        debug_assert_eq!(products.bits, mask.bits, "a mask of the ring of the products");
        let told = products.own.iter().zip(&mask.shares.parts[OWN]).map(|(z, r)| z.wrapping_add(*r));
        let told: Vec<u64> = told.collect();
        let packed = pack(&told, mask.bits);
        self.send(products.step, self.party().previous(), packed.clone())?;
        self.send(products.step, self.party().next(), packed)?;
        Ok(told)
    }

    /// What the others say of products that this party has told under `mask`: z + r, and z.
    pub(crate) fn hear_products(
        &mut self,
        products: Products,
        mask: Mask,
        told: &[u64],
    ) -> Result<(Vec<u64>, Shares), SmpcError> {
        let Products { step, own, bits, recorded, constant } = products;
        let (next, from_next) = self.receive_values(step, self.party().next(), own.len(), bits)?;
        let (previous, from_previous) = self.receive_values(step, self.party().previous(), own.len(), bits)?;
        if self.is_malicious() {
            self.openings.told_by_next.update(&from_next);
            self.openings.told_by_previous.update(&from_previous);
        }
        let z_next: Vec<u64> = next.iter().zip(&mask.shares.parts[NEXT]).map(|(c, r)| c.wrapping_sub(*r)).collect();
        self.settle(recorded, &z_next, bits, constant);
        let sum =
            |((c, next), previous): ((&u64, &u64), &u64)| reduced(c.wrapping_add(*next).wrapping_add(*previous), bits);
        let opened = told.iter().zip(&next).zip(&previous).map(sum).collect();
        Ok((opened, Shares::new(own, z_next)))
    }

    /// Opens x + r over Z_2^bits, `[n]`: each party lacks one component, which the other two both hold. One sends it, the
    /// other answers for it by its digest.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn open_masked(&mut self, name: &'static str, x: &Shares, mask: Mask) -> Result<Vec<u64>, SmpcError> {
        let bits = mask.bits;
        let step = self.begin(name);
        let masked = self.tell_masked(step, x, mask)?;
        self.hear_masked(step, &masked, bits)
    }

    /// Sends P_{i-1} the component of x + r that it lacks.
    pub(crate) fn tell_masked(&mut self, step: Step, x: &Shares, mask: Mask) -> Result<Shares, SmpcError> {
        let masked = x.plus(&mask.shares);
        self.send_values(step, self.party().previous(), &masked.parts[NEXT], mask.bits)?;
        Ok(masked)
    }

    /// x + r with the component that P_{i+1} has sent.
    pub(crate) fn hear_masked(&mut self, step: Step, masked: &Shares, bits: u32) -> Result<Vec<u64>, SmpcError> {
        let (missing, body) = self.receive_values(step, self.party().next(), masked.len(), bits)?;
        if self.is_malicious() {
            self.openings.known.update(&pack(&masked.parts[OWN], bits));
            self.openings.received.update(&body);
        }
        let sum = |((own, next), missing): ((&u64, &u64), &u64)| {
            reduced(own.wrapping_add(*next).wrapping_add(*missing), bits)
        };
        Ok(masked.parts[OWN].iter().zip(&masked.parts[NEXT]).zip(&missing).map(sum).collect())
    }

    /// Writes the relations of sums of `terms` products to the tape; returns the place of the first.
    fn record(&mut self, x: &Shares, y: &Shares, terms: usize, bits: u32, zero: &[Vec<u64>; 2]) -> usize {
        let lift = 64 - bits;
        let tape = &mut self.tapes.ring;
        let first = tape.left.target.len();
        let run = Run { relations: zero[OWN].len(), terms, parts: 2 };
        let ([x_own, x_next], [y_own, y_next]) = (&x.parts, &y.parts);
        [x_own, y_own].into_iter().for_each(|values| extend_lifted(&mut tape.proving.left, values, lift));
        [y_next, x_next].into_iter().for_each(|values| extend_reduced(&mut tape.proving.right, values, bits));
        [x_next, y_next].into_iter().for_each(|values| extend_lifted(&mut tape.left.known, values, lift));
        [y_own, x_own].into_iter().for_each(|values| extend_reduced(&mut tape.right.known, values, bits));
        let sums = x_next.chunks_exact(terms).zip(y_next.chunks_exact(terms)).zip(&zero[NEXT]);
        tape.left.target.extend(sums.map(|((x, y), a)| inner(x, y).wrapping_add(*a).wrapping_neg() << lift));
        extend_lifted(&mut tape.right.target, &zero[OWN], lift);
        tape.proving.runs.push(run);
        tape.left.runs.push(run);
        tape.right.runs.push(run);
        first
    }

    /// Completes relations with the components that P_{i+1} answers for.
    fn settle(&mut self, recorded: Recorded, z_next: &[u64], bits: u32, constant: u64) {
        self.pending = self.pending.saturating_sub(1);
        if !self.records() {
            return;
        }
        let constant = if self.party().next().index() == 0 { constant } else { 0 };
        let add = |targets: &mut [u64], z_next: &[u64]| {
            targets.iter_mut().zip(z_next).for_each(|(target, z)| {
                *target = target.wrapping_add(z.wrapping_sub(constant) << (64 - bits));
            });
        };
        match recorded {
            Recorded::Terms { first } => add(&mut self.tapes.ring.left.target[first..first + z_next.len()], z_next),
            Recorded::Matrices { first } => {
                let mut rest = z_next;
                for product in &mut self.tapes.matrices[first..] {
                    if rest.is_empty() {
                        break;
                    }
                    let (these, others) = rest.split_at(product.product.len());
                    add(&mut product.product, these);
                    rest = others;
                }
            }
        }
    }
}

/// z + a_i - a_{i+1}.
fn with_zeros(mut z: Vec<u64>, a: &[u64], next: &[u64]) -> Vec<u64> {
    z.iter_mut().zip(a.iter().zip(next)).for_each(|(z, (a, next))| *z = z.wrapping_add(*a).wrapping_sub(*next));
    z
}

/// Values of a smaller ring as they stand on the left side of a relation.
pub(crate) fn extend_lifted(to: &mut Vec<u64>, values: &[u64], lift: u32) {
    if lift == 0 { to.extend_from_slice(values) } else { to.extend(values.iter().map(|value| value << lift)) }
}

/// Values of a smaller ring as they stand on the right side.
pub(crate) fn extend_reduced(to: &mut Vec<u64>, values: &[u64], bits: u32) {
    if bits == 64 { to.extend_from_slice(values) } else { to.extend(values.iter().map(|value| reduced(*value, bits))) }
}

fn inner(x: &[u64], y: &[u64]) -> u64 {
    x.iter().zip(y).fold(0, |sum: u64, (x, y)| sum.wrapping_add(x.wrapping_mul(*y)))
}

fn side<'a>(shares: &'a Shares, range: &std::ops::Range<usize>) -> [&'a [u64]; 2] {
    [&shares.parts[OWN][range.clone()], &shares.parts[NEXT][range.clone()]]
}

/// `value` modulo 2^bits.
#[must_use]
pub const fn reduced(value: u64, bits: u32) -> u64 {
    value & (u64::MAX >> (64 - bits))
}
