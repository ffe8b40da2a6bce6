//! Products of rows with rows: weights as checkpoints store them, `[outputs, inputs]`.
//!
//! A tile is a few rows of shares times a few rows of weights, summed along both. Each block of weights is read once
//! for all rows of a band.

use super::instruction_set::InstructionSet;
use super::lanes::{Kernel, Lanes, WIDEST, Weight, run, total};

/// Elements of a row that a tile of many rows goes along: a strip of four rows of words is then 16 KiB, which the first
/// cache holds. Twice as many fill it; half as many double the share of adding up lanes, now about 5 %.
const DEPTH: usize = 512;

/// Rows of shares that weights are read once for: with [`DEPTH`] words each they take half of a second cache of 1 MiB.
/// With fewer rows a tile goes along more elements instead, so that weights which no cache holds are read in long runs.
const BAND: usize = 128;

/// `out[i][j] += rows[i] · weights[j]`, where `rows: [..][inner]`, `weights: [columns, inner]`, `out: [..][columns]`.
///
/// # Panics
/// If the shapes do not fit.
pub(in super::super) fn add<W: Weight>(
    set: InstructionSet,
    rows: &[&[u64]],
    weights: &[W],
    inner: usize,
    out: &mut [&mut [u64]],
) {
    let Some(columns) = out.first().map(|row| row.len()) else { return };
    assert!(rows.len() == out.len() && weights.len() == columns * inner, "weights of another shape");
    assert!(rows.iter().all(|row| row.len() == inner), "rows of another length");
    assert!(out.iter().all(|row| row.len() == columns), "outputs of another length");
    for (rows, out) in rows.chunks(BAND).zip(out.chunks_mut(BAND)) {
        run(set, Dots { rows, weights, inner, columns, out });
    }
}

struct Dots<'a, 'b, W> {
    rows: &'a [&'a [u64]],
    weights: &'a [W],
    inner: usize,
    columns: usize,
    out: &'a mut [&'b mut [u64]],
}

impl<W: Weight> Kernel for Dots<'_, '_, W> {
    #[inline(always)]
    unsafe fn compute<L: Lanes>(mut self) {
        // A whole number of registers, so that nothing but the end of a row is left over.
        let most = (DEPTH * BAND / self.rows.len()).next_multiple_of(WIDEST);
        let mut start = 0;
        while start < self.inner {
            let depth = most.min(self.inner - start);
            let mut column = 0;
            while column < self.columns {
                let left = self.columns - column;
                // SAFETY: as the caller says.
                column += unsafe {
                    match left {
                        4.. if L::SQUARE >= 4 => self.strip::<L, 4>(column, start, depth),
                        2.. => self.strip::<L, 2>(column, start, depth),
                        _ => self.strip::<L, 1>(column, start, depth),
                    }
                };
            }
            start += depth;
        }
    }
}

impl<W: Weight> Dots<'_, '_, W> {
    /// All rows times `C` rows of weights. Gives `C`.
    ///
    /// # Safety
    /// The machine has the instruction set of `L`.
    #[inline(always)]
    unsafe fn strip<L: Lanes, const C: usize>(&mut self, column: usize, start: usize, depth: usize) -> usize {
        let mut weights: [&[W]; C] = [&[]; C];
        for (c, weights) in weights.iter_mut().enumerate() {
            *weights = &self.weights[(column + c) * self.inner + start..][..depth];
        }
        let mut row = 0;
        while row < self.rows.len() {
            let left = self.rows.len() - row;
            // SAFETY: as the caller says.
            row += unsafe {
                match left {
                    4.. if L::SQUARE >= 4 => self.tile::<L, 4, C>(row, &weights, column, start),
                    2.. => self.tile::<L, 2, C>(row, &weights, column, start),
                    _ => self.tile::<L, 1, C>(row, &weights, column, start),
                }
            };
        }
        C
    }

    /// `R` rows times `C` rows of weights. Gives `R`.
    ///
    /// # Safety
    /// The machine has the instruction set of `L`.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const R: usize, const C: usize>(
        &mut self,
        row: usize,
        weights: &[&[W]; C],
        column: usize,
        start: usize,
    ) -> usize {
        let mut rows: [&[u64]; R] = [&[]; R];
        for (r, taken) in rows.iter_mut().enumerate() {
            *taken = &self.rows[row + r][start..][..weights[0].len()];
        }
        // SAFETY: as the caller says; all were cut to the length of the first row of weights.
        let sums = unsafe { dots::<L, W, R, C>(&rows, weights) };
        for (r, sums) in sums.iter().enumerate() {
            for (out, sum) in self.out[row + r][column..][..C].iter_mut().zip(sums) {
                *out = out.wrapping_add(*sum);
            }
        }
        R
    }
}

/// All products of a row and a row of weights.
///
/// # Safety
/// The machine has the instruction set of `L`, and all slices are equally long.
#[inline(always)]
unsafe fn dots<L: Lanes, W: Weight, const R: usize, const C: usize>(
    rows: &[&[u64]; R],
    weights: &[&[W]; C],
) -> [[u64; C]; R] {
    let depth = weights[0].len();
    let whole = depth - depth % L::WIDTH;
    let mut results = [[0; C]; R];
    // SAFETY: the instruction set is there, as the caller says. Every slice has `depth` elements, and each load ends at
    // `whole` of them at the latest.
    unsafe {
        let mut sums = [[L::zero(); C]; R];
        let mut at = 0;
        while at < whole {
            let mut shares = [L::factor(L::splat(0)); R];
            for r in 0..R {
                shares[r] = W::share::<L>(L::load(rows[r].as_ptr().add(at)));
            }
            for c in 0..C {
                let loaded = W::load::<L>(weights[c].as_ptr().add(at));
                for r in 0..R {
                    sums[r][c] = W::product::<L>(sums[r][c], shares[r], loaded);
                }
            }
            at += L::WIDTH;
        }
        for r in 0..R {
            for c in 0..C {
                results[r][c] = total::<L>(sums[r][c]);
            }
        }
    }
    for (results, row) in results.iter_mut().zip(rows) {
        for (result, weights) in results.iter_mut().zip(weights) {
            for (share, weight) in row[whole..].iter().zip(&weights[whole..]) {
                *result = result.wrapping_add(share.wrapping_mul(weight.widened()));
            }
        }
    }
    results
}
