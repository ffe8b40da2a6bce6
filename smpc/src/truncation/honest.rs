//! Truncation where all are honest: no mask is made, since one party's summand is one.
//!
//! Of summands z_0 + z_1 + z_2 = x' = x + 2^(k-2), each known to one party alone, c = z_1 + z_2 and r = -z_0: P_1 and P_2 tell
//! each other their summands, P_0 knows r. Of [r wraps], the highest bit of r, P_1 and P_2 have t_1 + t_2; [c may wrap] is one
//! less the highest bit of c. Then y is
//!
//! ```text
//!   -(r >> m) - 2^(k-2-m)                         of P_0
//! + (c >> m) + 2^(k-m) · t_1 · [c may wrap]       of P_1
//! + 2^(k-m) · t_2 · [c may wrap]                  of P_2
//! ```
//!
//! made replicated under fresh zeros. It is the formula of truncation under masks, so it never fails for |x| < 2^(k-2), and is off
//! by less than one. None of it can be proved.
//!
//! Shifting z_0 and z_1 + z_2 where they are (Mohassel and Rindal 2018) is wrong by 2^(64-m) with a chance of |x| / 2^64: up to one
//! in 2^8 for what a norm truncates. Over the ring of k - m bits that is a multiple of what wraps, so there it is right for every
//! x, and takes fewer bytes.

use crate::arithmetic::{Products, reduced};
use crate::channel::Channel;
use crate::computation::{Computation, Step};
use crate::error::SmpcError;
use crate::share::{NEXT, OWN, Shares};

impl<C: Channel> Computation<C> {
    /// x' without its last m bits. Components are known to two each, summands to one.
    pub(super) fn truncate_dealt(&mut self, x: &Shares, sizes: [u32; 2]) -> Result<Shares, SmpcError> {
        let step = self.begin("truncate: hide");
        let zero = self.random(step, x.len())?;
        let own = hidden(&x.parts[OWN], &zero);
        self.truncate_summands(step, own, sizes)
    }

    /// x' without its last m bits, of its summands `own`. Two rounds.
    pub(super) fn truncate_summands(
        &mut self,
        step: Step,
        own: Vec<u64>,
        [bits, shift]: [u32; 2],
    ) -> Result<Shares, SmpcError> {
        let carry = self.begin("truncate: carry");
        let summands = match self.party().index() {
            0 => self.deal_mask(carry, own, [bits, shift])?,
            _ => self.meet_mask([step, carry], own, [bits, shift])?,
        };
        let step = self.begin("truncate: result");
        let zero = self.random(step, summands.len())?;
        let own = hidden(&summands, &zero);
        self.send_values(step, self.party().previous(), &own, 64)?;
        let (next, _) = self.receive_values(step, self.party().next(), own.len(), 64)?;
        Ok(Shares::new(own, next))
    }

    /// What P_0 does: r is the negative of its summand. t_1 is drawn with P_1, t_2 goes to P_2.
    fn deal_mask(&mut self, carry: Step, own: Vec<u64>, [bits, shift]: [u32; 2]) -> Result<Vec<u64>, SmpcError> {
        let [_, with_next] = self.random_parts(carry, [0, own.len()])?;
        let r: Vec<u64> = own.into_iter().map(|z| reduced(z.wrapping_neg(), bits)).collect();
        let tops: Vec<u64> = r.iter().zip(with_next).map(|(r, t)| (r >> (bits - 1)).wrapping_sub(t)).collect();
        self.send_values(carry, self.party().previous(), &tops, 64 - (bits - shift))?;
        let offset = 1_u64 << (bits - 2 - shift);
        Ok(r.into_iter().map(|r| (r >> shift).wrapping_add(offset).wrapping_neg()).collect())
    }

    /// What P_1 and P_2 do: c is the sum of both summands.
    fn meet_mask(
        &mut self,
        [step, carry]: [Step; 2],
        own: Vec<u64>,
        [bits, shift]: [u32; 2],
    ) -> Result<Vec<u64>, SmpcError> {
        let is_first = self.party().index() == 1;
        let other = if is_first { self.party().next() } else { self.party().previous() };
        self.send_values(step, other, &own, bits)?;
        let tops = if is_first {
            let [with_previous, _] = self.random_parts(carry, [own.len(), 0])?;
            with_previous
        } else {
            self.receive_values(carry, self.party().next(), own.len(), 64 - (bits - shift))?.0
        };
        let (from_other, _) = self.receive_values(step, other, own.len(), bits)?;
        let part = |((own, other), top): ((&u64, &u64), &u64)| {
            let c = reduced(own.wrapping_add(*other), bits);
            let may_wrap = 1 - (c >> (bits - 1));
            let wrapped = top.wrapping_mul(may_wrap) << (bits - shift);
            if is_first { (c >> shift).wrapping_add(wrapped) } else { wrapped }
        };
        Ok(own.iter().zip(&from_other).zip(&tops).map(part).collect())
    }

    /// y = (z_0 >> m) + ((z_1 + z_2) >> m) over Z_2^(k-m), all are honest: P_0 and P_2 share z_0, P_1 gets z_2 beside its z_1.
    /// Two rounds. What is wrong over Z_2^64, if the sum wraps there, is a multiple of 2^(64-m).
    pub(super) fn truncate_locally(&mut self, products: Products, shift: u32) -> Result<Shares, SmpcError> {
        let (step, own) = products.into_own();
        let (party, n) = (self.party(), own.len());
        if party.index() != 1 {
            self.send_values(step, party.previous(), &own, 64)?;
        }
        let from_next = match party.index() {
            0 => Vec::new(),
            _ => self.receive_values(step, party.next(), n, 64)?.0,
        };
        let step = self.begin("truncate locally");
        let random = self.random(step, n)?;
        // Rounded, not cut: both cut would be one too low on average. What is in the middle goes up on one side, down on the
        // other.
        let half = (1_u64 << shift) >> 1;
        let rounded = |value: u64, half: u64| ((value.wrapping_add(half) as i64) >> shift) as u64;
        let zeroth = |value: &u64| rounded(*value, half);
        Ok(match party.index() {
            0 => {
                let (next, _) = self.receive_values(step, party.next(), n, 64)?;
                Shares::new(own.iter().map(zeroth).collect(), next)
            }
            1 => {
                let [_, next] = random;
                let down = half.saturating_sub(1);
                let both = own.iter().zip(&from_next).map(|(z, other)| rounded(z.wrapping_add(*other), down));
                let own: Vec<u64> = both.zip(&next).map(|(y, r)| y.wrapping_sub(*r)).collect();
                self.send_values(step, party.previous(), &own, 64)?;
                Shares::new(own, next)
            }
            _ => {
                let [own, _] = random;
                Shares::new(own, from_next.iter().map(zeroth).collect())
            }
        })
    }
}

/// z + a_i - a_{i+1}.
fn hidden(z: &[u64], zero: &[Vec<u64>; 2]) -> Vec<u64> {
    let pads = zero[OWN].iter().zip(&zero[NEXT]);
    z.iter().zip(pads).map(|(z, (a, next))| z.wrapping_add(*a).wrapping_sub(*next)).collect()
}
