//! Fixed point: numbers times 2^-f, and how a product's 2f bits become f again.
//!
//! Of x, |x| < 2^(k-2), y = x / 2^m to within one: with x' = x + 2^(k-2) and a mask r over Z_2^k,
//!
//! ```text
//! c = x' + r mod 2^k is opened;    y = (c >> m) - (r >> m) + 2^(k-m) · [c wrapped] - 2^(k-2-m)
//! ```
//!
//! where c wrapped if and only if the highest bit of r is 1 and that of c is 0, because x' < 2^(k-1). There is no case in
//! which it fails (Escudero et al. 2020). What is cut off is rounded up as often as it is large, so the mean is right.
//!
//! Over the ring of k - m bits what wraps counts nothing, and r = r_0 + r_1 + r_2 needs no bits: with ⌊·⌉ for numbers rounded
//! to multiples of 2^m,
//!
//! ```text
//! y = (⌊c⌉ - ⌊r_0⌉ - ⌊r_1⌉ - ⌊r_2⌉) / 2^m mod 2^(k-m)
//! ```
//!
//! is off by four roundings of half a unit at most, each uniform: less than two units, 0.58 in the mean square, and 0 in
//! the mean, since r_2 is rounded down where it is in the middle, and the others up. This holds for every x of Z_2^k.
//!
//! Where all are honest nobody makes masks: see the module `honest`.

mod honest;

use crate::arithmetic::{Mask, Products, reduced};
use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::party::PartyId;
use crate::random_bits::TruncationMasks;
use crate::share::{NEXT, OWN, Shares};

/// More fraction bits to keep with [`Computation::truncate_narrow`] where one unit counts: it is then off by less than half
/// of one.
pub const GUARD: u32 = 2;

impl<C: Channel> Computation<C> {
    /// Products without their last m bits: one round for both.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn truncate_products(&mut self, products: Products, shift: u32) -> Result<Shares, SmpcError> {
        let party = self.party();
        if !self.is_malicious() {
            let bits = products.bits();
            let (step, own) = products.plus_constant(party, 1 << (bits - 2)).into_own();
            return self.truncate_summands(step, own, [bits, shift]);
        }
        let (mask, rest) = self.take_truncation(products.len(), products.bits(), shift)?.split();
        let (opened, _) = self.open_products(products.plus_constant(party, 1 << (mask.bits - 2)), mask)?;
        Ok(rest.cut_off(party, &opened))
    }

    /// Products over Z_2^k without their last m bits, over Z_2^(k-m): for what goes on there, or is opened. One round, and
    /// nothing is made beforehand. Off by less than two units, and right in the mean: keep [`GUARD`] more bits where one
    /// unit counts. A party that is shown the result learns the product to one unit.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn truncate_narrow(&mut self, products: Products, shift: u32) -> Result<Shares, SmpcError> {
        if !self.is_malicious() {
            return self.truncate_locally(products, shift);
        }
        let (party, bits) = (self.party(), products.bits());
        let step = self.begin("truncate: mask");
        let [own, next] = self.random(step, products.len())?;
        let mask = Mask { shares: Shares::new(own, next), bits };
        let half = (1_u64 << shift) >> 1;
        let rounded = |values: &[u64], half: u64| -> Vec<u64> {
            values.iter().map(|value| reduced(*value, bits).wrapping_add(half) >> shift).collect()
        };
        let part = |at: usize| {
            let is_last = (party.index() + at) % 3 == 2;
            rounded(&mask.shares.parts[at], if is_last { half.saturating_sub(1) } else { half })
        };
        let masking = Shares::new(part(OWN), part(NEXT));
        let (opened, _) = self.open_products(products, mask)?;
        Ok(Shares::public(party, &rounded(&opened, half)).minus(&masking))
    }

    /// x without its last m bits: one round.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn truncate(&mut self, x: &Shares, bits: u32, shift: u32) -> Result<Shares, SmpcError> {
        let party = self.party();
        let x = x.clone().plus_constant(party, 1 << (bits - 2));
        if !self.is_malicious() {
            return self.truncate_dealt(&x, [bits, shift]);
        }
        let (mask, rest) = self.take_truncation(x.len(), bits, shift)?.split();
        let opened = self.open_masked("truncate", &x, mask)?;
        Ok(rest.cut_off(party, &opened))
    }
}

/// What is known of a mask for truncation beside the mask itself.
pub(crate) struct Unmasking {
    high: Shares,
    top: Shares,
    shift: u32,
    bits: u32,
}

impl TruncationMasks {
    /// The mask, which opens one value, and what is needed afterwards.
    pub(crate) fn split(self) -> (Mask, Unmasking) {
        let Self { mask, high, top, shift } = self;
        let bits = mask.bits;
        (mask, Unmasking { high, top, shift, bits })
    }
}

impl Unmasking {
    /// x without its last m bits, for the opened c = x + 2^(k-2) + r.
    pub(crate) fn cut_off(&self, party: PartyId, opened: &[u64]) -> Shares {
        let Self { high, top, shift, bits } = self;
        let offset = 1_u64 << (bits - 2 - shift);
        let public: Vec<u64> = opened.iter().map(|c| (c >> shift).wrapping_sub(offset)).collect();
        // [c wrapped] = top · (1 - highest bit of c).
        let wrapped =
            top.map(|part| part.iter().zip(opened).map(|(top, c)| top * (1 - (c >> (bits - 1) & 1))).collect());
        wrapped.minus(high).plus_public(party, &public)
    }
}
