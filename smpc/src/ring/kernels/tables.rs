//! Reading public tables by shared places.

use super::instruction_set::InstructionSet;
use super::lanes::{Kernel, Lanes, run};

/// See [`super::super::table_rows`].
pub(in super::super) struct Rows<'a> {
    /// `[2 · cells]` of one output.
    pub table: &'a [u64],
    /// `[n]`.
    pub cells: &'a [usize],
    /// `[n, size]`.
    pub low: &'a [u64],
    /// Cells of a group.
    pub size: usize,
    /// `[n]`.
    pub first: &'a mut [u64],
    /// `[n, groups - 1]`.
    pub others: &'a mut [u64],
}

/// See [`super::super::table_reply`].
pub(in super::super) struct Reply<'a> {
    /// `[2 · cells]` each.
    pub tables: [&'a [u64]; 4],
    /// `[n]`.
    pub cells: &'a [usize],
    /// `[n, words]`.
    pub selected: &'a [u64],
    /// `[4, n]`.
    pub masks: &'a [u64],
    /// `[4, n]`.
    pub reply: &'a mut [u64],
}

impl Rows<'_> {
    pub fn run(self, set: InstructionSet) {
        run(set, self);
    }
}

impl Reply<'_> {
    pub fn run(self, set: InstructionSet) {
        run(set, self);
    }
}

impl Kernel for Rows<'_> {
    /// Plain Rust: the compiler makes vectors of it.
    #[inline(always)]
    unsafe fn compute<L: Lanes>(self) {
        let cells = self.table.len() / 2;
        let others = cells / self.size - 1;
        for (at, cell) in self.cells.iter().enumerate() {
            let low = &self.low[at * self.size..][..self.size];
            let begin = (cells - cell) % cells;
            let first = dot(low, &self.table[begin..]);
            self.first[at] = first;
            for group in 0..others {
                let begin = (begin + (group + 1) * self.size) % cells;
                self.others[at * others + group] = dot(low, &self.table[begin..]).wrapping_sub(first);
            }
        }
    }
}

/// Σ low · row.
#[inline(always)]
fn dot(low: &[u64], row: &[u64]) -> u64 {
    let row = &row[..low.len()];
    let mut sum = 0_u64;
    for i in 0..low.len() {
        sum = sum.wrapping_add(low[i].wrapping_mul(row[i]));
    }
    sum
}

impl Kernel for Reply<'_> {
    /// Plain Rust: the compiler makes vectors of it.
    #[inline(always)]
    unsafe fn compute<L: Lanes>(self) {
        let n = self.cells.len();
        let cells = self.tables[0].len() / 2;
        let words = cells.div_ceil(64);
        let mut chosen = vec![0_u64; cells];
        for at in 0..n {
            let selected = &self.selected[at * words..][..words];
            for i in 0..cells {
                chosen[i] = 0_u64.wrapping_sub(selected[i / 64] >> (i % 64) & 1);
            }
            let begin = (cells - self.cells[at]) % cells;
            for output in 0..4 {
                let (row, mask) = (&self.tables[output][begin..][..cells], self.masks[output * n + at]);
                let mut sum = 0;
                for i in 0..cells {
                    sum ^= row[i].wrapping_sub(mask) & chosen[i];
                }
                self.reply[output * n + at] ^= sum;
            }
        }
    }
}
