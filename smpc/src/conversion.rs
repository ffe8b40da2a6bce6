//! Bits as numbers: from sharings over GF(2) to sharings over Z_2^k.
//!
//! A bit b = b_0 ⊕ b_1 ⊕ b_2. P_0 knows b_0 and b_1, and b_2 is known to the other two, so two products by single parties
//! are enough, one element of the ring each way:
//!
//! ```text
//! u = b_0 b_1             by P_0:  u_0 = b_0 b_1 - a_1 to P_2,   u_1 = a_1,   u_2 = 0
//! v = b_0 + b_1 - 2u      = b_0 ⊕ b_1, with v_2 = 0
//! w = v b_2               by P_1:  w_1 = v_1 b_2 - s to P_0;  by P_2: w_0 = v_0 b_2 - t to P_0;  w_2 = s + t
//! b = v + b_2 - 2w
//! ```
//!
//! a_1 is common to P_0 and P_1; s and t to P_1 and P_2, so what P_0 gets is uniform to it.

use crate::arithmetic::extend_reduced;
use crate::channel::Channel;
use crate::computation::{Computation, Step};
use crate::error::SmpcError;
use crate::party::PartyId;
use crate::ring::packing::{pack_behind, packed_len, unpack_behind};
use crate::share::{BitShares, NEXT, OWN, Shares};

/// Planes of bits, and the ring that they shall be numbers of.
pub struct Conversion<'a> {
    /// `[width]` planes.
    pub planes: &'a BitShares,
    /// Values in a plane; the rest of its last word is of no meaning.
    pub n: usize,
    /// k of Z_2^k.
    pub bits: u32,
}

impl<C: Channel> Computation<C> {
    /// The bits of each conversion as numbers, `[width * n]`, plane by plane: two rounds for all of them.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn to_numbers(&mut self, conversions: &[Conversion<'_>]) -> Result<Vec<Shares>, SmpcError> {
        let rings = Ring::of(conversions);
        let lanes = [OWN, NEXT].map(|at| lanes(conversions, at));
        let pair = self.exclusive_or_of_two(&rings, &lanes)?;
        let mut numbers = self.exclusive_or_with_third(&rings, &lanes, &pair)?;
        self.prove_if_many()?;
        // From the last one on, so that the first stays where it is.
        let mut cut = |ring: &Ring| {
            let parts = numbers.parts.each_mut().map(|part| part.split_off(ring.range.start));
            Shares { parts }
        };
        let mut others: Vec<Shares> = rings[1..].iter().rev().map(&mut cut).collect();
        others.push(numbers);
        others.reverse();
        Ok(others)
    }

    /// v = b_0 ⊕ b_1. Component 2, which is 0, is left empty.
    fn exclusive_or_of_two(&mut self, rings: &[Ring], lanes: &[Vec<u8>; 2]) -> Result<Shares, SmpcError> {
        let step = self.begin("bits to numbers: first product");
        let (n, index) = (lanes[OWN].len(), self.party().index());
        // a_1 is component 1, of P_0 and P_1.
        let [own, next] = self.random_parts(step, [if index == 1 { n } else { 0 }, if index == 0 { n } else { 0 }])?;
        let u = match index {
            0 => {
                let products = lanes[OWN].iter().zip(&lanes[NEXT]).map(|(x, y)| u64::from(x & y));
                let zeroth: Vec<u64> = products.zip(&next).map(|(bit, a)| bit.wrapping_sub(*a)).collect();
                self.send(step, self.party().previous(), packed(rings, &zeroth))?;
                Shares::new(zeroth, next)
            }
            1 => Shares::new(own, Vec::new()),
            _ => Shares::new(Vec::new(), self.receive_packed(step, self.party().next(), rings)?),
        };
        if self.records() {
            self.record_first(rings, lanes, &u);
        }
        let mut v = u;
        for (part, lanes) in v.parts.iter_mut().zip(lanes) {
            part.iter_mut().zip(lanes).for_each(|(u, bit)| *u = u64::from(*bit).wrapping_sub(u.wrapping_mul(2)));
        }
        Ok(v)
    }

    /// b = v + b_2 - 2 v b_2.
    fn exclusive_or_with_third(
        &mut self,
        rings: &[Ring],
        lanes: &[Vec<u8>; 2],
        v: &Shares,
    ) -> Result<Shares, SmpcError> {
        let step = self.begin("bits to numbers: second product");
        let (n, index) = (lanes[OWN].len(), self.party().index());
        let (previous, next) = (self.party().previous(), self.party().next());
        // s and t are component 2, of P_1 and P_2.
        let [of_own, of_next] =
            self.random_parts(step, [if index == 2 { 2 * n } else { 0 }, if index == 1 { 2 * n } else { 0 }])?;
        let mut random = if index == 1 { of_next } else { of_own };
        let less = |v: &[u64], bits: &[u8], masks: &[u64]| -> Vec<u64> {
            let products = v.iter().zip(bits).map(|(v, bit)| v.wrapping_mul(u64::from(*bit)));
            products.zip(masks).map(|(product, mask)| product.wrapping_sub(*mask)).collect()
        };
        let [first, second] = match index {
            0 => {
                let next = self.receive_packed(step, next, rings)?;
                [self.receive_packed(step, previous, rings)?, next]
            }
            1 => {
                let own = less(&v.parts[OWN], &lanes[NEXT], &random[..n]);
                self.send(step, previous, packed(rings, &own))?;
                [own, Vec::new()]
            }
            _ => {
                let zeroth = less(&v.parts[NEXT], &lanes[OWN], &random[n..]);
                self.send(step, next, packed(rings, &zeroth))?;
                [Vec::new(), zeroth]
            }
        };
        let mut w = Shares::new(first, second);
        if self.records() {
            self.record_second(rings, lanes, [v, &w], &random);
        }
        if index != 0 {
            // w_2 = s + t.
            let (s, t) = random.split_at_mut(n);
            s.iter_mut().zip(t).for_each(|(s, t)| *s = s.wrapping_add(*t));
            random.truncate(n);
            w.parts[2 - index] = random;
        }
        for at in [OWN, NEXT] {
            if index + at == 2 {
                less_twice(rings, &lanes[at], &mut w.parts[at]);
            } else {
                less_twice(rings, &v.parts[at], &mut w.parts[at]);
            }
        }
        Ok(w)
    }

    /// What [`packed`] packed.
    fn receive_packed(&mut self, step: Step, from: PartyId, rings: &[Ring]) -> Result<Vec<u64>, SmpcError> {
        let length = rings.iter().map(|ring| packed_len(ring.bits, ring.range.len())).sum();
        let body = self.receive(step, from, length)?;
        let (mut rest, mut values) = (&body[..], Vec::with_capacity(rings.last().map_or(0, |ring| ring.range.end)));
        for ring in rings {
            let (these, others) = rest.split_at(packed_len(ring.bits, ring.range.len()));
            unpack_behind(&mut values, these, ring.bits, ring.range.len()).map_err(|source| SmpcError::Unpack {
                peer: from,
                name: step.name(),
                source,
            })?;
            rest = others;
        }
        Ok(values)
    }

    /// u_0 + a_1 = b_0 · b_1: proved by P_0.
    fn record_first(&mut self, rings: &[Ring], lanes: &[Vec<u8>; 2], u: &Shares) {
        let index = self.party().index();
        let tape = &mut self.tapes.ring;
        let bits = |at: usize| move |to: &mut Vec<u64>| to.extend(lanes[at].iter().copied().map(u64::from));
        match index {
            0 => tape.proving.single_terms(lifted(rings, &lanes[OWN]), bits(NEXT)),
            // P_1 is the right verifier of P_0: it knows b_1 and a_1, which is u_1.
            1 => tape.right.single_terms(bits(OWN), lifted(rings, &u.parts[OWN])),
            // P_2 is its left verifier: it knows b_0 and u_0.
            _ => tape.left.single_terms(lifted(rings, &lanes[NEXT]), lifted(rings, &u.parts[NEXT])),
        }
    }

    /// w_1 + s = v_1 · b_2, proved by P_1, and t + w_0 = b_2 · v_0, proved by P_2. `random`: s and t.
    fn record_second(&mut self, rings: &[Ring], lanes: &[Vec<u8>; 2], [v, w]: [&Shares; 2], random: &[u64]) {
        let index = self.party().index();
        let tape = &mut self.tapes.ring;
        let (s, t) = random.split_at(random.len() / 2);
        let bits = |at: usize| move |to: &mut Vec<u64>| to.extend(lanes[at].iter().copied().map(u64::from));
        match index {
            0 => {
                // Left verifier of P_1: v_1 and w_1. Right verifier of P_2: v_0 and w_0.
                tape.left.single_terms(lifted(rings, &v.parts[NEXT]), lifted(rings, &w.parts[NEXT]));
                tape.right.single_terms(cut(rings, &v.parts[OWN]), lifted(rings, &w.parts[OWN]));
            }
            1 => {
                // Prover; and left verifier of P_2: b_2 and t.
                tape.proving.single_terms(lifted(rings, &v.parts[OWN]), bits(NEXT));
                tape.left.single_terms(lifted(rings, &lanes[NEXT]), lifted(rings, t));
            }
            _ => {
                // Prover; and right verifier of P_1: b_2 and s.
                tape.proving.single_terms(lifted(rings, &lanes[OWN]), cut(rings, &v.parts[NEXT]));
                tape.right.single_terms(bits(OWN), lifted(rings, s));
            }
        }
    }
}

/// A stretch of a vector that is over one ring.
struct Ring {
    range: std::ops::Range<usize>,
    bits: u32,
}

impl Ring {
    /// Those of some conversions, one after the other.
    fn of(conversions: &[Conversion<'_>]) -> Vec<Self> {
        let mut from = 0;
        let mut ring = |of: &Conversion<'_>| {
            let range = from..from + of.planes.width() * of.n;
            from = range.end;
            Self { range, bits: of.bits }
        };
        conversions.iter().map(&mut ring).collect()
    }
}

/// One component of every bit, plane by plane. A byte each: words would be most of what a conversion touches.
fn lanes(conversions: &[Conversion<'_>], at: usize) -> Vec<u8> {
    let count = conversions.iter().map(|of| of.planes.width() * of.n).sum();
    let mut lanes = Vec::with_capacity(count);
    for Conversion { planes, n, .. } in conversions {
        for plane in planes.parts[at].chunks_exact(planes.words.max(1)) {
            let end = lanes.len() + n;
            for word in plane {
                lanes.extend((0..64.min(end - lanes.len())).map(|bit| (word >> bit & 1) as u8));
            }
        }
    }
    lanes
}

fn packed(rings: &[Ring], values: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rings.iter().map(|ring| packed_len(ring.bits, ring.range.len())).sum());
    rings.iter().for_each(|ring| pack_behind(&mut bytes, &values[ring.range.clone()], ring.bits));
    bytes
}

/// v + b_2 - 2w of a component, of which v or b_2 is 0, in the place of w.
fn less_twice<W: Copy + Into<u64>>(rings: &[Ring], values: &[W], w: &mut [u64]) {
    for ring in rings {
        let modulus = u64::MAX >> (64 - ring.bits);
        let pairs = w[ring.range.clone()].iter_mut().zip(&values[ring.range.clone()]);
        pairs.for_each(|(w, value)| *w = (*value).into().wrapping_sub(w.wrapping_mul(2)) & modulus);
    }
}

/// Writes `values` as they stand on the left side of relations over Z_2^64.
fn lifted<'a, W: Copy + Into<u64>>(rings: &'a [Ring], values: &'a [W]) -> impl FnOnce(&mut Vec<u64>) + 'a {
    |to| {
        rings.iter().for_each(|ring| {
            to.extend(values[ring.range.clone()].iter().map(|value| (*value).into() << (64 - ring.bits)));
        });
    }
}

/// Writes `values` as they stand on the right side.
fn cut<'a>(rings: &'a [Ring], values: &'a [u64]) -> impl FnOnce(&mut Vec<u64>) + 'a {
    |to| rings.iter().for_each(|ring| extend_reduced(to, &values[ring.range.clone()], ring.bits))
}
