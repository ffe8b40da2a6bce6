//! Reading a table with products alone, which can be proved: ρ is shared as a product of two one-hot vectors u ⊗ v.
//!
//! ```text
//! T[C - ρ] = Σ_a u_a (Σ_b T[C - (2^s a + b)] v_b)             local inside, one inner product outside
//! ```
//!
//! Because Σ_a u_a = 1, u_0 is left out: the sum is that of group 0 and of what the others differ from it.

use crate::arithmetic::{Mask, reduced};
use crate::boolean::{Carry, Positions};
use crate::channel::Channel;
use crate::computation::Computation;
use crate::conversion::Conversion;
use crate::error::SmpcError;
use crate::ring::table_rows;
use crate::share::{BitShares, NEXT, OWN, Shares};

use super::{OUTPUTS, Table};

/// A mask r over Z_2^k whose t highest bits are one-hot.
pub struct LookupMasks {
    /// r, `[n]`.
    mask: Mask,
    /// Which group of 2^s cells, but for group 0: `[n, 2^(t-s) - 1]`.
    high: Shares,
    /// Which cell of the group: `[n, 2^s]`.
    low: Shares,
    /// The low k - t bits of r, over Z_2^64: `[n]`.
    within: Shares,
}

impl LookupMasks {
    /// Of no use but their lengths.
    pub(crate) fn zeros(n: usize, domain_bits: u32, cell_bits: u32) -> Self {
        let (size, groups) = (1 << low_digit(cell_bits), 1 << (cell_bits - low_digit(cell_bits)));
        let mask = Mask { shares: Shares::zeros(n), bits: domain_bits };
        let [high, low, within] = [groups - 1, size, 1].map(|width| Shares::zeros(n * width));
        Self { mask, high, low, within }
    }

    /// Those of `n` values from value `from` on.
    pub(crate) fn cut(&self, from: usize, n: usize) -> Self {
        let of = |digit: &Shares| {
            let width = digit.len() / self.within.len();
            digit.range(from * width..(from + n) * width)
        };
        let within = self.within.range(from..from + n);
        Self { mask: self.mask.cut(from, n), high: of(&self.high), low: of(&self.low), within }
    }
}

/// s: the group's number has the fewer bits, since a product is paid for each group and output.
const fn low_digit(cell_bits: u32) -> u32 {
    (cell_bits + 2) / 2
}

impl<C: Channel> Computation<C> {
    /// Masks for `n` lookups in tables of this shape.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn lookup_masks(&mut self, n: usize, domain_bits: u32, cell_bits: u32) -> Result<LookupMasks, SmpcError> {
        let saved = self.carry_save(n, domain_bits)?;
        let (width, all) = ((domain_bits - cell_bits) as usize, domain_bits as usize);
        let carry = saved.carry.planes(0..all);
        let propagate = saved.sum.xor(&carry);
        let top = all - 1;
        let generate = self.and("masks: carries made", &saved.sum.planes(0..top), &carry.planes(0..top))?;
        let of = Carry { generate, propagate };
        let below = Positions { range: 0..width, is_inner: false };
        let into = self.carries_over("masks: carry into the cell", &of, &[below])?;
        let Carry { generate, propagate } = of;
        let run = Carry {
            generate: BitShares::stack(&[&into.generate, &generate.planes(width..top)]),
            propagate: BitShares::stack(&[&into.propagate, &propagate.planes(width..top)]),
        };
        let carries = self.all_carries("masks: carries", run)?;
        let cell = propagate.planes(width..all).xor(&carries.planes(1..cell_bits as usize + 1));
        let out = BitShares::stack(&[&saved.carry.planes(width..width + 1), &into.generate]);
        let numbers = self.to_numbers(&[
            Conversion { planes: &cell, n, bits: 64 },
            Conversion { planes: &out, n, bits: 64 - width as u32 },
        ])?;
        let plane = |at: u32| numbers[0].range(at as usize * n..(at as usize + 1) * n);
        let digit = low_digit(cell_bits);
        let [low, high] =
            self.one_hot([(0..digit).map(plane).collect(), (digit..cell_bits).map(plane).collect()], n)?;
        let out = numbers[1].range(0..n).plus(&numbers[1].range(n..2 * n)).times(1 << width);
        let within = saved.mask.shares.map(|part| part.iter().map(|r| reduced(*r, width as u32)).collect()).minus(&out);
        Ok(LookupMasks { mask: saved.mask, high: rows(&high[1..]), low: rows(&low), within })
    }

    /// One-hot vectors of two digits, `[2^bits][n]` each, from their bits, `[n]` each. A round for each doubling.
    pub(super) fn one_hot(&mut self, digits: [Vec<Shares>; 2], n: usize) -> Result<[Vec<Shares>; 2], SmpcError> {
        let party = self.party();
        // entries[d][j]: whether the bits of digit d so far are j. They add up to 1, so entry 0 needs no product.
        let mut entries = [0, 1].map(|_| vec![Shares::zeros(n).plus_constant(party, 1)]);
        for at in 0..digits.iter().map(Vec::len).max().unwrap_or(0) {
            let of = |digit: usize| digits[digit].get(at).map(|bit| (bit, &entries[digit][1..]));
            let pairs: Vec<(&Shares, &Shares)> = (0..2)
                .filter_map(of)
                .flat_map(|(bit, entries)| entries.iter().map(move |entry| (entry, bit)))
                .collect();
            let (left, right): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let products = if left.is_empty() {
                Shares::default()
            } else {
                let products = self.products("one-hot", &Shares::concat(&left), &Shares::concat(&right), 64)?;
                self.replicate(products)?
            };
            let mut from = 0;
            for (entries, bit) in entries.iter_mut().zip(&digits).filter_map(|(of, bits)| Some((of, bits.get(at)?))) {
                let others: Vec<Shares> =
                    (1..entries.len()).map(|at| products.range(from + (at - 1) * n..from + at * n)).collect();
                from += others.len() * n;
                let first = others.iter().fold(bit.clone(), |rest, set| rest.minus(set));
                let set: Vec<Shares> = std::iter::once(first).chain(others).collect();
                *entries = entries.iter().zip(&set).map(|(entry, set)| entry.minus(set)).collect();
                entries.extend(set);
            }
        }
        Ok(entries)
    }

    /// `[4, n]`: T_0 to T_3 of the cell of each x' = `from_low`, and δ, `[n]`. Two rounds.
    pub(super) fn cell_by_one_hot(&mut self, from_low: &Shares, table: &Table) -> Result<(Shares, Shares), SmpcError> {
        let (party, n) = (self.party(), from_low.len());
        let LookupMasks { mask, high, low, within } = self.take_lookup(n, table.domain_bits, table.cell_bits)?;
        let opened = self.open_masked("look up: open", from_low, mask)?;
        let (cells, places) = table.places(&opened);
        let delta = Shares::public(party, &places).minus(&within);
        let size = 1 << low_digit(table.cell_bits);
        let inside = [OWN, NEXT].map(|at| table_rows(&table.downwards, &cells, &low.parts[at], size));
        let [(first_own, others_own), (first_next, others_next)] = inside;
        let groups = others_own.len() / (OUTPUTS * n).max(1);
        let outside = Shares::concat(&[&high, &high, &high, &high]);
        let others = Shares::new(others_own, others_next);
        let products = self.inner_products("look up: cell", &others, &outside, groups.max(1), 64)?;
        Ok((self.replicate(products)?.plus(&Shares::new(first_own, first_next)), delta))
    }
}

/// `[columns][n]` as `[n, columns]`.
pub(super) fn rows(columns: &[Shares]) -> Shares {
    let n = columns.first().map_or(0, Shares::len);
    let part = |at: usize| {
        let mut rows = vec![0; n * columns.len()];
        for (place, column) in columns.iter().enumerate() {
            let targets = rows[place..].iter_mut().step_by(columns.len());
            targets.zip(&column.parts[at]).for_each(|(row, value)| *row = *value);
        }
        rows
    };
    Shares { parts: [part(OWN), part(NEXT)] }
}
