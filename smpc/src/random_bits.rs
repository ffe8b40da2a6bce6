//! Shared random numbers whose bits are shared too: edaBits (Escudero et al. 2020), daBits, and masks for truncation.
//!
//! r = r_0 + r_1 + r_2 mod 2^k is a sharing that costs nothing: each r_j comes from the generator of its two holders. Its
//! bits come from adding the three numbers, each of which is a sharing of its own bits with two components zero.

use crate::arithmetic::{Mask, reduced};
use crate::boolean::{Carry, Positions};
use crate::channel::Channel;
use crate::computation::Computation;
use crate::conversion::Conversion;
use crate::error::SmpcError;
use crate::ring::planes::to_planes;
use crate::share::{BitShares, NEXT, OWN, Shares};

/// Uniform r over Z_2^k with its bits.
pub struct EdaBits {
    /// r, `[n]`.
    pub mask: Mask,
    /// `[k]` planes of `n` values.
    pub bits: BitShares,
}

/// Uniform bits, as bits and as numbers.
pub struct DaBits {
    /// One plane of `n` values.
    pub plane: BitShares,
    /// The same as numbers over Z_2^64, `[n]`.
    pub numbers: Shares,
}

/// Uniform r over Z_2^k for the truncation of numbers below 2^(k-2) by m bits.
pub struct TruncationMasks {
    /// r, `[n]`.
    pub mask: Mask,
    /// r >> m over Z_2^64, `[n]`.
    pub high: Shares,
    /// The highest bit of r, times 2^(k-m), over Z_2^64, `[n]`.
    pub top: Shares,
    /// m.
    pub shift: u32,
}

impl EdaBits {
    /// Those of `n` values from value `from` on, which begins a word.
    pub(crate) fn cut(&self, from: usize, n: usize) -> Self {
        Self { mask: self.mask.cut(from, n), bits: self.bits.lanes(from, n) }
    }
}

impl DaBits {
    /// Those of `n` values from value `from` on, which begins a word.
    pub(crate) fn cut(&self, from: usize, n: usize) -> Self {
        Self { plane: self.plane.lanes(from, n), numbers: self.numbers.range(from..from + n) }
    }
}

impl TruncationMasks {
    /// Those of `n` values from value `from` on.
    pub(crate) fn cut(&self, from: usize, n: usize) -> Self {
        let range = from..from + n;
        let (high, top) = (self.high.range(range.clone()), self.top.range(range));
        Self { mask: self.mask.cut(from, n), high, top, shift: self.shift }
    }
}

/// s + c of three numbers r_0 + r_1 + r_2, as carry-save addition leaves them: `[k]` planes, and `[k + 1]` for the carries.
pub(crate) struct CarrySave {
    pub(crate) mask: Mask,
    pub(crate) sum: BitShares,
    pub(crate) carry: BitShares,
}

impl<C: Channel> Computation<C> {
    /// `n` numbers of `bits` bits: 2 + log2(bits) rounds.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn eda_bits(&mut self, n: usize, bits: u32) -> Result<EdaBits, SmpcError> {
        let CarrySave { mask, sum, carry } = self.carry_save(n, bits)?;
        let width = bits as usize;
        let carry = carry.planes(0..width);
        let propagate = sum.xor(&carry);
        let generate = self.and("edaBits: carries made", &sum, &carry)?;
        let carries = self.all_carries("edaBits: carries", Carry { generate, propagate: propagate.clone() })?;
        Ok(EdaBits { mask, bits: propagate.xor(&carries.planes(0..width)) })
    }

    /// `n` bits: two rounds.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn da_bits(&mut self, n: usize) -> Result<DaBits, SmpcError> {
        let step = self.begin("daBits");
        let words = n.div_ceil(64);
        let plane = BitShares { words, parts: self.random(step, words)? };
        let numbers = self.to_numbers(&[Conversion { planes: &plane, n, bits: 64 }])?;
        Ok(DaBits { plane, numbers: Shares::concat(&numbers.iter().collect::<Vec<_>>()) })
    }

    /// `n` masks of `bits` bits for truncation by `shift` bits.
    ///
    /// With c the carry out of the low m bits and w that out of all k, Σ (r_j >> m) = (r >> m) - c + 2^(k-m) w.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn truncation_masks(&mut self, n: usize, bits: u32, shift: u32) -> Result<TruncationMasks, SmpcError> {
        let saved = self.carry_save(n, bits)?;
        let (low, top) = (shift as usize, bits as usize - 1);
        let mut propagate = saved.sum;
        (0..bits as usize).for_each(|at| propagate.xor_plane(at, (&saved.carry, at)));
        // Where the sum of two bits is 0, one of them is the carry: p = 0 says so, and g = s c = (p ⊕ c) c = c ⊕ p c.
        let all = |of| (0..bits as usize).map(|plane| (of, plane)).collect::<Vec<_>>();
        let words = propagate.words;
        let mut generate = self.and_planes("truncation: carries made", words, &all(&propagate), &all(&saved.carry))?;
        (0..bits as usize).for_each(|at| generate.xor_plane(at, (&saved.carry, at)));
        let of = Carry { generate, propagate };
        let runs = [Positions { range: 0..low, is_inner: false }, Positions { range: low..top, is_inner: true }];
        let made = self.carries_over("truncation: carries", &of, &runs)?;
        // Into the top position, and out of it.
        let mut into = self.and_planes("truncation: top", words, &[(&made.propagate, 1)], &[(&made.generate, 0)])?;
        into.xor_plane(0, (&made.generate, 1));
        let mut out = self.and_planes("truncation: out", words, &[(&of.propagate, top)], &[(&into, 0)])?;
        out.xor_plane(0, (&of.generate, top));
        let low_carries = BitShares::stack(&[&saved.carry.planes(low..low + 1), &made.generate.planes(0..1)]);
        into.xor_plane(0, (&of.propagate, top));
        let wraps = BitShares::stack(&[&saved.carry.planes(top + 1..top + 2), &out, &into]);
        drop((of, made));
        let numbers = self.to_numbers(&[
            Conversion { planes: &low_carries, n, bits: 64 },
            Conversion { planes: &wraps, n, bits: 64 - (bits - shift) },
        ])?;
        let weight = 1_u64.checked_shl(bits - shift).unwrap_or(0);
        let of = |numbers: &Shares, plane: usize| numbers.range(plane * n..(plane + 1) * n);
        let carries = of(&numbers[0], 0).plus(&of(&numbers[0], 1));
        let wrapped = of(&numbers[1], 0).plus(&of(&numbers[1], 1)).times(weight);
        let parts = saved.mask.shares.map(|part| part.iter().map(|r| reduced(*r, bits) >> shift).collect());
        Ok(TruncationMasks {
            high: parts.plus(&carries).minus(&wrapped),
            top: of(&numbers[1], 2).times(weight),
            mask: saved.mask,
            shift,
        })
    }

    /// Uniform numbers of `bits` bits, and their sum as two.
    pub(crate) fn carry_save(&mut self, n: usize, bits: u32) -> Result<CarrySave, SmpcError> {
        let step = self.begin("random numbers");
        let [own, next] =
            self.random(step, n)?.map(|part| part.iter().map(|r| reduced(*r, bits)).collect::<Vec<u64>>());
        let words = n.div_ceil(64);
        let planes = BitShares { words, parts: [to_planes(&own, bits as usize), to_planes(&next, bits as usize)] };
        let majority = self.saved_carries("random numbers: carries saved", &planes)?;
        let carry = BitShares::stack(&[&BitShares::zeros(1, words), &majority]);
        Ok(CarrySave { mask: Mask { shares: Shares::new(own, next), bits }, sum: planes, carry })
    }

    /// The carries of each position of r_0 + r_1 + r_2, whose components are `planes`:
    /// maj(r_0, r_1, r_2) = r_2 ⊕ (r_0 ⊕ r_2)(r_1 ⊕ r_2).
    pub(crate) fn saved_carries(&mut self, name: &'static str, planes: &BitShares) -> Result<BitShares, SmpcError> {
        let both = [self.without(planes, 1), self.without(planes, 0)];
        let third = self.without(&both[1], 1);
        Ok(self.and(name, &both[0], &both[1])?.xor(&third))
    }

    /// `planes` with component `left_out` zero.
    fn without(&self, planes: &BitShares, left_out: usize) -> BitShares {
        let mut kept = planes.clone();
        for at in [OWN, NEXT] {
            if (self.party().index() + at) % 3 == left_out {
                kept.parts[at].fill(0);
            }
        }
        kept
    }
}
