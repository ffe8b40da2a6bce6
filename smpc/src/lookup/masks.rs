//! Reading a table with products alone, which can be proved: ρ is shared as a product of two one-hot vectors u ⊗ v.
//!
//! ```text
//! T[C - ρ] = Σ_a u_a (Σ_b T[C - (2^s a + b)] v_b)             local inside, one inner product outside
//! ```
//!
//! Because Σ_a u_a = 1, u_0 is left out: the sum is that of group 0 and of what the others differ from it. Both vectors are
//! made as bits, whose products cost next to nothing to prove, and then converted: a term an entry, where a product of two
//! numbers has two.

use crate::arithmetic::{Mask, reduced};
use crate::boolean::{Carry, Plane, Positions};
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

/// s: an entry of either vector costs a term, and each group but the first two for each output. The least for 2^7 and 2^8
/// cells.
const fn low_digit(cell_bits: u32) -> u32 {
    let digit = (cell_bits + 4) / 2;
    if digit < cell_bits { digit } else { cell_bits - 1 }
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
        let digit = low_digit(cell_bits);
        let [low, high] = [0..digit, digit..cell_bits].map(|of| cell.planes(of.start as usize..of.end as usize));
        let [low, high] = self.one_hot_planes([low, high])?;
        let numbers = self.to_numbers(&[
            Conversion { planes: &BitShares::stack(&[&low, &high]), n, bits: 64 },
            Conversion { planes: &out, n, bits: 64 - width as u32 },
        ])?;
        let split = n * ((1 << digit) - 1);
        let one = |at: usize| u64::from((self.party().index() + at).is_multiple_of(3));
        let hot = &numbers[0].parts;
        let low = [OWN, NEXT].map(|at| rows(&hot[at][..split], n, Some(one(at))));
        let high = [OWN, NEXT].map(|at| rows(&hot[at][split..], n, None));
        let out = numbers[1].range(0..n).plus(&numbers[1].range(n..2 * n)).times(1 << width);
        let within = saved.mask.shares.map(|part| part.iter().map(|r| reduced(*r, width as u32)).collect()).minus(&out);
        Ok(LookupMasks { mask: saved.mask, high: Shares { parts: high }, low: Shares { parts: low }, within })
    }

    /// Entries 1, 2 ... of the one-hot vectors of two numbers, a plane each, from the planes of their bits. A round for
    /// each doubling but the first.
    fn one_hot_planes(&mut self, digits: [BitShares; 2]) -> Result<[BitShares; 2], SmpcError> {
        let words = digits[0].words;
        let mut entries = [0, 1].map(|_| BitShares::zeros(0, words));
        for at in 0..digits.iter().map(BitShares::width).max().unwrap_or(0) {
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for (bits, entries) in digits.iter().zip(&entries).filter(|(bits, _)| at < bits.width()) {
                left.extend((0..entries.width()).map(|entry| (entries, entry)));
                right.extend(std::iter::repeat_n((bits, at), entries.width()));
            }
            let products = match left.is_empty() {
                true => BitShares::zeros(0, words),
                false => self.and_planes("one-hot", words, &left, &right)?,
            };
            let mut from = 0;
            for (bits, entries) in digits.iter().zip(&mut entries).filter(|(bits, _)| at < bits.width()) {
                let set = products.planes(from..from + entries.width());
                from += set.width();
                doubled(entries, &set, (bits, at));
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

/// Goes on by one bit, from entries 1, 2 ... and those of them that have it: entry j of so many more has the bit and was
/// j before, and of the first of these it is what the others leave of the bit.
fn doubled(entries: &mut BitShares, set: &BitShares, bit: Plane<'_>) {
    let first = entries.width();
    entries.push_plane(bit);
    for entry in 0..first {
        entries.xor_plane(entry, (set, entry));
        entries.xor_plane(first, (set, entry));
        entries.push_plane((set, entry));
    }
}

/// Entries 1, 2 ... of one-hot vectors, `[width][n]`, as `[n, width]`, or as `[n, width + 1]` with entry 0 before them: what
/// they leave of `one`.
fn rows(columns: &[u64], n: usize, one: Option<u64>) -> Vec<u64> {
    let (width, before) = (columns.len().checked_div(n).unwrap_or(0), usize::from(one.is_some()));
    let row = width + before;
    let mut rows = vec![0_u64; n * row];
    for (block, rows) in rows.chunks_mut((TILE * row).max(1)).enumerate() {
        for (entry, column) in columns.chunks_exact(n.max(1)).enumerate() {
            let values = &column[block * TILE..];
            rows.chunks_exact_mut(row).zip(values).for_each(|(row, value)| row[before + entry] = *value);
        }
        if let Some(one) = one {
            for row in rows.chunks_exact_mut(row) {
                row[0] = row[1..].iter().fold(one, |rest, entry| rest.wrapping_sub(*entry));
            }
        }
    }
    rows
}

/// Values whose vectors are turned at once, so that they stay in the first cache.
const TILE: usize = 64;
