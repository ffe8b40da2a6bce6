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

use crate::arithmetic::Products;
use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::random_bits::TruncationMasks;
use crate::share::Shares;

impl<C: Channel> Computation<C> {
    /// Products without their last m bits: one round for both.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn truncate_products(&mut self, products: Products, shift: u32) -> Result<Shares, SmpcError> {
        let party = self.party();
        let TruncationMasks { mask, high, top, .. } = self.take_truncation(products.len(), products.bits(), shift)?;
        let bits = mask.bits;
        let (opened, _) = self.open_products(products.plus_constant(party, 1 << (bits - 2)), &mask)?;
        Ok(truncated(party, &opened, &high, &top, shift, bits))
    }

    /// x without its last m bits: one round.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn truncate(&mut self, x: &Shares, bits: u32, shift: u32) -> Result<Shares, SmpcError> {
        let party = self.party();
        let TruncationMasks { mask, high, top, .. } = self.take_truncation(x.len(), bits, shift)?;
        let opened = self.open_masked("truncate", &x.clone().plus_constant(party, 1 << (bits - 2)), mask)?;
        Ok(truncated(party, &opened, &high, &top, shift, bits))
    }
}

fn truncated(
    party: crate::party::PartyId,
    opened: &[u64],
    high: &Shares,
    top: &Shares,
    shift: u32,
    bits: u32,
) -> Shares {
    let offset = 1_u64 << (bits - 2 - shift);
    let public: Vec<u64> = opened.iter().map(|c| (c >> shift).wrapping_sub(offset)).collect();
    // [c wrapped] = top · (1 - highest bit of c).
    let wrapped = top.map(|part| part.iter().zip(opened).map(|(top, c)| top * (1 - (c >> (bits - 1) & 1))).collect());
    wrapped.minus(high).plus_public(party, &public)
}
