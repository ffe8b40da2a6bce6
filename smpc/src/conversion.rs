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

use crate::arithmetic::reduced;
use crate::channel::Channel;
use crate::computation::{Computation, Step};
use crate::error::SmpcError;
use crate::party::PartyId;
use crate::ring::packing::{pack, packed_len, unpack};
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

impl Conversion<'_> {
    /// `[width * n]`: components i and i+1 of every bit, plane by plane.
    fn lanes(&self) -> [Vec<u64>; 2] {
        let lanes = |plane: &[u64]| (0..self.n).map(|at| plane[at / 64] >> (at % 64) & 1).collect::<Vec<u64>>();
        let part = |at: usize| self.planes.parts[at].chunks_exact(self.planes.words.max(1)).flat_map(lanes).collect();
        [part(OWN), part(NEXT)]
    }
}

impl<C: Channel> Computation<C> {
    /// The bits of each conversion as numbers, `[width * n]`, plane by plane: two rounds for all of them.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn to_numbers(&mut self, conversions: &[Conversion<'_>]) -> Result<Vec<Shares>, SmpcError> {
        let lanes: Vec<[Vec<u64>; 2]> = conversions.iter().map(Conversion::lanes).collect();
        let rings: Vec<Ring> = conversions.iter().zip(&lanes).map(|(of, lanes)| Ring { n: lanes[OWN].len(), bits: of.bits }).collect();
        let pair: Vec<Shares> = self.exclusive_or_of_two(&rings, &lanes)?;
        self.exclusive_or_with_third(&rings, &lanes, pair)
    }

    /// v = b_0 ⊕ b_1.
    fn exclusive_or_of_two(&mut self, rings: &[Ring], lanes: &[[Vec<u64>; 2]]) -> Result<Vec<Shares>, SmpcError> {
        let step = self.begin("bits to numbers: first product");
        let random = self.random(step, rings.iter().map(|ring| ring.n).sum())?;
        let (previous, next) = (self.party().previous(), self.party().next());
        let mut u = match self.party().index() {
            0 => {
                let product = |lanes: &[Vec<u64>; 2]| lanes[OWN].iter().zip(&lanes[NEXT]).map(|(x, y)| x & y).collect::<Vec<_>>();
                let products = lanes.iter().flat_map(product);
                let own: Vec<u64> = products.zip(&random[NEXT]).map(|(bit, a)| bit.wrapping_sub(*a)).collect();
                self.send(step, previous, packed(rings, &own))?;
                Shares::new(own, random[NEXT].clone())
            }
            1 => Shares::new(random[OWN].clone(), vec![0; random[OWN].len()]),
            _ => {
                let zeroth = self.receive_packed(step, next, rings)?;
                Shares::new(vec![0; random[OWN].len()], zeroth)
            }
        };
        if self.records() {
            self.record_first(rings, lanes, &u);
        }
        let third = 2_usize;
        let mut from = 0;
        Ok(rings
            .iter()
            .zip(lanes)
            .map(|(ring, lanes)| {
                let component = |at: usize| (self.party().index() + at) % 3;
                let part = |at: usize, u: &[u64]| {
                    let double = |(bit, u): (&u64, &u64)| bit.wrapping_sub(u.wrapping_mul(2));
                    if component(at) == third { vec![0; u.len()] } else { lanes[at].iter().zip(u).map(double).collect() }
                };
                let range = from..from + ring.n;
                from += ring.n;
                let v = Shares { parts: [OWN, NEXT].map(|at| part(at, &u.parts[at][range.clone()])) };
                if from == u.len() {
                    u = Shares::default();
                }
                v
            })
            .collect())
    }

    /// b = v + b_2 - 2 v b_2.
    fn exclusive_or_with_third(
        &mut self,
        rings: &[Ring],
        lanes: &[[Vec<u64>; 2]],
        pair: Vec<Shares>,
    ) -> Result<Vec<Shares>, SmpcError> {
        let step = self.begin("bits to numbers: second product");
        let n: usize = rings.iter().map(|ring| ring.n).sum();
        let random = self.random(step, 2 * n)?;
        let (previous, next) = (self.party().previous(), self.party().next());
        let of = |at: usize| lanes.iter().flat_map(move |lanes| lanes[at].iter().copied());
        let v = |at: usize| pair.iter().flat_map(move |v| v.parts[at].iter().copied());
        let less = |values: &mut dyn Iterator<Item = (u64, u64)>, masks: &[u64]| -> Vec<u64> {
            values.zip(masks).map(|((v, bit), mask)| v.wrapping_mul(bit).wrapping_sub(*mask)).collect()
        };
        let sum = |masks: &[u64]| masks[..n].iter().zip(&masks[n..]).map(|(s, t)| s.wrapping_add(*t)).collect::<Vec<_>>();
        let w = match self.party().index() {
            0 => {
                let next = self.receive_packed(step, next, rings)?;
                Shares::new(self.receive_packed(step, previous, rings)?, next)
            }
            1 => {
                let own = less(&mut v(OWN).zip(of(NEXT)), &random[NEXT][..n]);
                self.send(step, previous, packed(rings, &own))?;
                Shares::new(own, sum(&random[NEXT]))
            }
            _ => {
                let zeroth = less(&mut v(NEXT).zip(of(OWN)), &random[OWN][n..]);
                self.send(step, next, packed(rings, &zeroth))?;
                Shares::new(sum(&random[OWN]), zeroth)
            }
        };
        if self.records() {
            self.record_second(rings, lanes, &pair, &w, &random);
        }
        let mut from = 0;
        Ok(rings
            .iter()
            .zip(pair)
            .zip(lanes)
            .map(|((ring, v), lanes)| {
                let range = from..from + ring.n;
                from += ring.n;
                let third = |at: usize| (self.party().index() + at) % 3 == 2;
                let part = |at: usize| {
                    let w = &w.parts[at][range.clone()];
                    let bits = if third(at) { &lanes[at] } else { &v.parts[at] };
                    bits.iter().zip(w).map(|(bit, w)| reduced(bit.wrapping_sub(w.wrapping_mul(2)), ring.bits)).collect()
                };
                Shares { parts: [OWN, NEXT].map(part) }
            })
            .collect())
    }

    /// What [`packed`] packed.
    fn receive_packed(&mut self, step: Step, from: PartyId, rings: &[Ring]) -> Result<Vec<u64>, SmpcError> {
        let body = self.receive(step, from, packed_length(rings))?;
        let (mut rest, mut values) = (&body[..], Vec::new());
        for ring in rings {
            let (these, others) = rest.split_at(packed_len(ring.bits, ring.n));
            let unpacked = unpack(these, ring.bits, ring.n);
            values.extend(unpacked.map_err(|source| SmpcError::Unpack { peer: from, name: step.name(), source })?);
            rest = others;
        }
        Ok(values)
    }

    /// u_0 + a_1 = b_0 · b_1: proved by P_0.
    fn record_first(&mut self, rings: &[Ring], lanes: &[[Vec<u64>; 2]], u: &Shares) {
        let lifts = lifts(rings);
        let index = self.party().index();
        let tape = &mut self.tapes.ring;
        let of = |at: usize| lanes.iter().flat_map(move |lanes| lanes[at].iter().copied());
        match index {
            0 => tape.proving.single_terms(of(OWN).zip(&lifts).map(|(bit, lift)| bit << lift), of(NEXT)),
            // P_1 is the right verifier of P_0: it knows b_1 and a_1, which is u_1.
            1 => tape.right.single_terms(of(OWN), u.parts[OWN].iter().zip(&lifts).map(|(a, lift)| a << lift)),
            // P_2 is its left verifier: it knows b_0 and u_0.
            _ => tape.left.single_terms(
                of(NEXT).zip(&lifts).map(|(bit, lift)| bit << lift),
                u.parts[NEXT].iter().zip(&lifts).map(|(u, lift)| u << lift),
            ),
        }
    }

    /// w_1 + s = v_1 · b_2, proved by P_1, and t + w_0 = b_2 · v_0, proved by P_2.
    fn record_second(
        &mut self,
        rings: &[Ring],
        lanes: &[[Vec<u64>; 2]],
        pair: &[Shares],
        w: &Shares,
        random: &[Vec<u64>; 2],
    ) {
        let lifts = lifts(rings);
        let index = self.party().index();
        let tape = &mut self.tapes.ring;
        let n = lifts.len();
        let lifted = |values: &[u64]| values.iter().zip(&lifts).map(|(value, lift)| value << lift).collect::<Vec<u64>>();
        let of = |at: usize| lanes.iter().flat_map(move |lanes| lanes[at].iter().copied()).collect::<Vec<u64>>();
        let v = |at: usize| {
            let reduced = |(v, ring): (&Shares, &Ring)| v.parts[at].iter().map(|v| reduced(*v, ring.bits)).collect::<Vec<_>>();
            pair.iter().zip(rings).flat_map(reduced).collect::<Vec<u64>>()
        };
        match index {
            0 => {
                // Left verifier of P_1: v_1 and w_1. Right verifier of P_2: v_0 and w_0.
                tape.left.single_terms(lifted(&v(NEXT)), lifted(&w.parts[NEXT]));
                tape.right.single_terms(v(OWN), lifted(&w.parts[OWN]));
            }
            1 => {
                // Prover; and left verifier of P_2: b_2 and t.
                tape.proving.single_terms(lifted(&v(OWN)), of(NEXT));
                tape.left.single_terms(lifted(&of(NEXT)), lifted(&random[NEXT][n..]));
            }
            _ => {
                // Prover; and right verifier of P_1: b_2 and s.
                tape.proving.single_terms(lifted(&of(OWN)), v(NEXT));
                tape.right.single_terms(of(OWN), lifted(&random[OWN][..n]));
            }
        }
    }
}

/// A stretch of a vector that is over one ring.
struct Ring {
    n: usize,
    bits: u32,
}

fn packed_length(rings: &[Ring]) -> usize {
    rings.iter().map(|ring| packed_len(ring.bits, ring.n)).sum()
}

fn packed(rings: &[Ring], values: &[u64]) -> Vec<u8> {
    let mut rest = values;
    let mut body = Vec::with_capacity(packed_length(rings));
    for ring in rings {
        let (these, others) = rest.split_at(ring.n);
        body.extend(pack(these, ring.bits));
        rest = others;
    }
    body
}

/// `[n]`: how far each value is shifted to stand in a relation over Z_2^64.
fn lifts(rings: &[Ring]) -> Vec<u32> {
    rings.iter().flat_map(|ring| std::iter::repeat_n(64 - ring.bits, ring.n)).collect()
}
