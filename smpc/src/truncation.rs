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
        if !self.is_malicious() {
            return self.truncate_products_locally(products, shift);
        }
        let party = self.party();
        let masks = self.take_truncation(products.len(), products.bits(), shift)?;
        let products = products.plus_constant(party, 1 << (masks.mask.bits - 2));
        let (opened, _) = self.open_products(products, &masks.mask)?;
        Ok(masks.cut_off(party, &opened))
    }

    /// Products over Z_2^k without their last m bits, over Z_2^(k-m): for what goes on there, or is opened. One round, and
    /// nothing is made beforehand. Off by less than two units, and right in the mean: keep [`GUARD`] more bits where one
    /// unit counts. A party that is shown the result learns the product to one unit.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn truncate_narrow(&mut self, products: Products, shift: u32) -> Result<Shares, SmpcError> {
        if !self.is_malicious() {
            return self.truncate_products_locally(products, shift);
        }
        let (party, bits) = (self.party(), products.bits());
        let step = self.begin("truncate: mask");
        let [own, next] = self.random(step, products.len())?;
        let mask = Mask { shares: Shares::new(own, next), bits };
        let (opened, _) = self.open_products(products, &mask)?;
        let half = (1_u64 << shift) >> 1;
        let rounded = |values: &[u64], half: u64| -> Vec<u64> {
            values.iter().map(|value| reduced(*value, bits).wrapping_add(half) >> shift).collect()
        };
        let part = |at: usize| {
            let is_last = (party.index() + at) % 3 == 2;
            rounded(&mask.shares.parts[at], if is_last { half.saturating_sub(1) } else { half })
        };
        Ok(Shares::public(party, &rounded(&opened, half)).minus(&Shares::new(part(OWN), part(NEXT))))
    }

    /// x without its last m bits: one round.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn truncate(&mut self, x: &Shares, bits: u32, shift: u32) -> Result<Shares, SmpcError> {
        if !self.is_malicious() {
            let opposite =
                || x.parts[OWN].iter().zip(&x.parts[NEXT]).map(|(own, next)| own.wrapping_add(*next)).collect();
            return self.truncate_locally(&x.parts, opposite, shift);
        }
        let party = self.party();
        let TruncationMasks { mask, high, top, .. } = self.take_truncation(x.len(), bits, shift)?;
        let opened = self.open_masked("truncate", &x.clone().plus_constant(party, 1 << (bits - 2)), mask)?;
        Ok(truncated(party, &opened, &high, &top, shift, bits))
    }

    /// Products without their last m bits, semi-honest: P_0 and P_2 share z_0, P_1 gets z_2 beside its z_1. Two rounds.
    fn truncate_products_locally(&mut self, products: Products, shift: u32) -> Result<Shares, SmpcError> {
        let (step, own) = products.into_own();
        let (previous, next) = (self.party().previous(), self.party().next());
        if self.party().index() != 1 {
            self.send_values(step, previous, &own, 64)?;
        }
        let from_next = match self.party().index() {
            0 => vec![0; own.len()],
            _ => self.receive_values(step, next, own.len(), 64)?.0,
        };
        let opposite = || own.iter().zip(&from_next).map(|(own, next)| own.wrapping_add(*next)).collect();
        self.truncate_locally(&[own.clone(), from_next.clone()], opposite, shift)
    }

    /// y = (x_0 >> m) + ((x_1 + x_2) >> m), semi-honest (Mohassel and Rindal 2018): off by one at most, but with a
    /// chance of |x| / 2^63 by 2^(64-m). `parts`: those of component 0 count; `opposite`: x_1 + x_2, at P_1.
    fn truncate_locally(
        &mut self,
        parts: &[Vec<u64>; 2],
        opposite: impl Fn() -> Vec<u64>,
        shift: u32,
    ) -> Result<Shares, SmpcError> {
        let step = self.begin("truncate locally");
        let n = parts[OWN].len();
        let random = self.random(step, n)?;
        // Rounded, not cut: both cut would be one too low on average.
        let half = (1_u64 << shift) >> 1;
        let rounded = |value: &u64| ((value.wrapping_add(half) as i64) >> shift) as u64;
        let shifted = |part: &[u64]| part.iter().map(rounded).collect::<Vec<u64>>();
        Ok(match self.party().index() {
            0 => Shares::new(shifted(&parts[OWN]), self.receive_values(step, self.party().next(), n, 64)?.0),
            1 => {
                let own: Vec<u64> =
                    shifted(&opposite()).iter().zip(&random[NEXT]).map(|(y, r)| y.wrapping_sub(*r)).collect();
                self.send_values(step, self.party().previous(), &own, 64)?;
                let [_, next] = random;
                Shares::new(own, next)
            }
            _ => {
                let [own, _] = random;
                Shares::new(own, shifted(&parts[NEXT]))
            }
        })
    }
}

impl TruncationMasks {
    /// x without its last m bits, for the opened c = x + 2^(k-2) + r.
    pub(crate) fn cut_off(&self, party: PartyId, opened: &[u64]) -> Shares {
        truncated(party, opened, &self.high, &self.top, self.shift, self.mask.bits)
    }
}

fn truncated(party: PartyId, opened: &[u64], high: &Shares, top: &Shares, shift: u32, bits: u32) -> Shares {
    let offset = 1_u64 << (bits - 2 - shift);
    let public: Vec<u64> = opened.iter().map(|c| (c >> shift).wrapping_sub(offset)).collect();
    // [c wrapped] = top · (1 - highest bit of c).
    let wrapped = top.map(|part| part.iter().zip(opened).map(|(top, c)| top * (1 - (c >> (bits - 1) & 1))).collect());
    wrapped.minus(high).plus_public(party, &public)
}
