//! Signs and comparisons.
//!
//! Of x, |x| < 2^(k-1): c = x + r mod 2^k is opened under edaBits r. Bit j of x = c - r is c_j ⊕ r_j ⊕ b_j, where the
//! borrow b_j is 1 if and only if c mod 2^j < r mod 2^j: a carry tree over public c and shared bits of r.
//!
//! Or without a mask: each component x_j is known to two parties, who so hold its bits as a sharing of them, and x is
//! the sum of three such numbers. That is two rounds more when they are needed, and 4k gates in all in the place of 10k.

use crate::boolean::{Carry, Positions};
use crate::channel::Channel;
use crate::computation::Computation;
use crate::conversion::Conversion;
use crate::error::SmpcError;
use crate::random_bits::{DaBits, EdaBits};
use crate::ring::planes::to_planes;
use crate::share::{BitShares, NEXT, OWN, Shares};

/// Values up to which rounds count for more than gates: with masks made beforehand there are fewer when it matters.
pub(crate) const FEW: usize = 4096;

impl<C: Channel> Computation<C> {
    /// Whether each x is below zero: one plane, in 1 + log2(k) rounds.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn is_negative(&mut self, x: &Shares, bits: u32) -> Result<BitShares, SmpcError> {
        if x.len() > FEW && bits > 1 {
            return self.sign_of_sum(x, bits);
        }
        let EdaBits { mask, bits: r } = self.take_eda_bits(x.len(), bits)?;
        let width = bits as usize;
        let opened = self.open_masked("sign: open", x, mask)?;
        let c = to_planes(&opened, width);
        let not_c: Vec<u64> = c.iter().map(|word| !word).collect();
        let (party, top) = (self.party(), width - 1);
        let borrow = Carry {
            generate: r.and_public(&not_c).planes(0..top),
            propagate: r.clone().xor_public(party, &not_c).planes(0..top),
        };
        let borrows = self.carries_over("sign: borrow", &borrow, &[Positions { range: 0..top, is_inner: false }])?;
        let sign = r.planes(top..width).xor_public(party, &c[top * r.words..]);
        Ok(sign.xor(&borrows.generate))
    }

    /// The highest bit of x_0 + x_1 + x_2 mod 2^bits: one plane, in 2 + log2(k) rounds.
    fn sign_of_sum(&mut self, x: &Shares, bits: u32) -> Result<BitShares, SmpcError> {
        let width = bits as usize;
        let planes = [OWN, NEXT].map(|at| to_planes(&x.parts[at], width));
        let sum = BitShares { words: x.len().div_ceil(64), parts: planes };
        // Carries of position j belong to position j + 1, so the highest is not needed, and position 0 has none.
        let carry = self.saved_carries("sign: carries saved", &sum.planes(0..width - 1))?;
        let sum = sum.planes(1..width);
        let propagate = sum.xor(&carry);
        let top = propagate.planes(width - 2..width - 1);
        if width == 2 {
            return Ok(top);
        }
        let lower = |of: &BitShares| of.planes(0..width - 2);
        let generate = self.and("sign: carries made", &lower(&sum), &lower(&carry))?;
        let of = Carry { generate, propagate };
        let runs = [Positions { range: 0..width - 2, is_inner: false }];
        let carries = self.carries_over("sign: carry", &of, &runs)?;
        Ok(top.xor(&carries.generate))
    }

    /// Bits as numbers over Z_2^64 with daBits made beforehand: b = e + d - 2ed for the opened e = b ⊕ d. One round; two
    /// for many, which are converted as they are.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn plane_to_numbers(&mut self, plane: &BitShares, n: usize) -> Result<Shares, SmpcError> {
        if n > FEW {
            let numbers = self.to_numbers(&[Conversion { planes: plane, n, bits: 64 }])?;
            return Ok(numbers.into_iter().next().unwrap_or_default());
        }
        let DaBits { plane: mask, numbers } = self.take_da_bits(n)?;
        let opened = self.open_masked_plane(plane, &mask)?;
        Ok(self.flipped(&numbers, &opened))
    }

    /// Bits as numbers: b = e + d - 2ed for an opened e = b ⊕ d and `numbers` d.
    pub(crate) fn flipped(&self, numbers: &Shares, opened: &[u64]) -> Shares {
        let e: Vec<u64> = (0..numbers.len()).map(|at| opened[at / 64] >> (at % 64) & 1).collect();
        let signed =
            numbers.map(|part| part.iter().zip(&e).map(|(d, e)| d.wrapping_mul(1_u64.wrapping_sub(2 * e))).collect());
        signed.plus_public(self.party(), &e)
    }

    /// Opens x ⊕ d: each party lacks one component, which the other two both hold.
    pub(crate) fn open_masked_plane(&mut self, x: &BitShares, mask: &BitShares) -> Result<Vec<u64>, SmpcError> {
        let masked = x.xor(mask);
        let step = self.begin("open bits");
        let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        self.send(step, self.party().previous(), bytes(&masked.parts[NEXT]))?;
        let body = self.receive(step, self.party().next(), masked.parts[OWN].len() * 8)?;
        if self.is_malicious() {
            self.openings.known.update(&bytes(&masked.parts[OWN]));
            self.openings.received.update(&body);
        }
        let missing = body.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let sum = |((own, next), missing): ((&u64, &u64), u64)| own ^ next ^ missing;
        Ok(masked.parts[OWN].iter().zip(&masked.parts[NEXT]).zip(missing).map(sum).collect())
    }
}
