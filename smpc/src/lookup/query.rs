//! Reading a table when nobody deviates: P_0 asks P_1 and P_2 for a cell, as one asks two servers (Chor et al. 1995).
//!
//! P_0 knows r, the other two c, so neither side alone knows the cell. All of T[C - j] - m, with m common to P_1 and P_2,
//! is what they hold at place j; P_0 wants place ρ:
//!
//! ```text
//! P_1, P_0    s, one random bit a cell            P_0 → P_2   s ⊕ e_ρ,  and -r' less a pad of P_0 and P_1
//! P_1 ↔ P_2   x'_1 + r_1 and x'_0 + r_0: so c, with r = r_0 + r_1
//! P_1 → P_0   ⊕_{j in s} (T[C - j] - m) ⊕ z       P_2 → P_0   the same of s ⊕ e_ρ;  z common to P_1 and P_2
//! P_0 → P_2   the sum of both, T[C - ρ] - m, less a pad of P_0 and P_1
//! ```
//!
//! No bits are calculated and nothing is made beforehand: for 2^7 cells 125 bytes a value, all parties together. P_0 sees
//! values under m, P_1 sees c alone, P_2 c and a uniform query. None of it can be proved, so it is for
//! [`SemiHonest`](crate::computation::Security::SemiHonest) alone.

use crate::arithmetic::reduced;
use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::ring::packing::pack;
use crate::ring::table_reply;
use crate::share::{NEXT, OWN, Shares};

use super::{OUTPUTS, Table};

/// What the parties have after P_0 has asked.
struct Asked {
    /// `[n, words]`: which cells this party adds up. P_1 and P_2 have it.
    selected: Vec<u64>,
    /// `[n]`: c. P_1 and P_2 have it.
    opened: Vec<u64>,
    /// What P_0 sent to P_2: components 0 of -r'.
    component: Vec<u64>,
    /// The pads of P_0 and P_1.
    pads: Vec<u64>,
}

impl<C: Channel> Computation<C> {
    /// `[4, n]`: T_0 to T_3 of the cell of each x' = `from_low`, and δ, `[n]`. Three rounds.
    pub(super) fn cell_by_query(&mut self, from_low: &Shares, table: &Table) -> Result<(Shares, Shares), SmpcError> {
        let asked = self.ask(from_low, table)?;
        let (cells, places) = table.places(&asked.opened);
        let delta = match self.party().index() {
            0 => Shares::new(asked.component, asked.pads),
            1 => Shares::new(asked.pads, places),
            _ => Shares::new(places, asked.component),
        };
        Ok((self.answer(&cells, &asked.selected, from_low.len(), table)?, delta))
    }

    fn ask(&mut self, x: &Shares, table: &Table) -> Result<Asked, SmpcError> {
        let step = self.begin("look up: query");
        let (n, bits, words) = (x.len(), table.domain_bits, 1_usize << table.cell_bits.saturating_sub(6));
        let random = self.random(step, n * (2 + words))?;
        let sum = |x: &[u64], r: &[u64]| x.iter().zip(r).map(|(x, r)| x.wrapping_add(*r)).collect::<Vec<u64>>();
        let (next, previous) = (self.party().next(), self.party().previous());
        let pads = |at: usize| random[at][n..2 * n].to_vec();
        if self.party().index() == 0 {
            let mut query = random[NEXT][2 * n..].to_vec();
            let r = sum(&random[OWN][..n], &random[NEXT][..n]);
            for (r, query) in r.iter().zip(query.chunks_exact_mut(words)) {
                let cell = (reduced(*r, bits) >> table.width_bits()) as usize;
                query[cell / 64] ^= 1 << (cell % 64);
            }
            let within = r
                .iter()
                .zip(&random[NEXT][n..])
                .map(|(r, pad)| reduced(*r, table.width_bits()).wrapping_add(*pad).wrapping_neg());
            let component: Vec<u64> = within.collect();
            self.send(step, previous, pack(&[query, component.clone()].concat(), 64))?;
            return Ok(Asked { selected: Vec::new(), opened: Vec::new(), component, pads: pads(NEXT) });
        }
        let (other, at) = if self.party().index() == 1 { (next, OWN) } else { (previous, NEXT) };
        let told = sum(&x.parts[at], &random[at][..n]);
        self.send_values(step, other, &told, bits)?;
        let (missing, _) = self.receive_values(step, other, n, bits)?;
        let opened = sum(&sum(&x.parts[1 - at], &told), &missing);
        if self.party().index() == 1 {
            let selected = random[OWN][2 * n..].to_vec();
            return Ok(Asked { selected, opened, component: Vec::new(), pads: pads(OWN) });
        }
        let (mut selected, _) = self.receive_values(step, next, n * (words + 1), 64)?;
        let component = selected.split_off(n * words);
        Ok(Asked { selected, opened, component, pads: Vec::new() })
    }

    fn answer(&mut self, cells: &[usize], selected: &[u64], n: usize, table: &Table) -> Result<Shares, SmpcError> {
        let step = self.begin("look up: answer");
        let count = OUTPUTS * n;
        let [mut own, mut next] = self.random(step, 2 * count)?;
        if self.party().index() == 0 {
            let (next_party, previous) = (self.party().next(), self.party().previous());
            let (one, _) = self.receive_values(step, next_party, count, 64)?;
            let (other, _) = self.receive_values(step, previous, count, 64)?;
            next.truncate(count);
            let zeroth = one.iter().zip(&other).zip(&next).map(|((one, other), pad)| (one ^ other).wrapping_sub(*pad));
            let zeroth: Vec<u64> = zeroth.collect();
            self.send_values(step, previous, &zeroth, 64)?;
            return Ok(Shares::new(zeroth, next));
        }
        let is_first = self.party().index() == 1;
        let second = if is_first { &mut next } else { &mut own };
        let mut reply = second.split_off(count);
        table_reply(&table.downwards, cells, selected, second, &mut reply);
        if is_first {
            self.send_values(step, self.party().previous(), &reply, 64)?;
            own.truncate(count);
            return Ok(Shares::new(own, next));
        }
        self.send_values(step, self.party().next(), &reply, 64)?;
        let (zeroth, _) = self.receive_values(step, self.party().next(), count, 64)?;
        Ok(Shares::new(own, zeroth))
    }
}
