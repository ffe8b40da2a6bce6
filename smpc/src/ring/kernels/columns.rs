//! Products of row-major matrices: a tile is a few rows of the left one times a panel of columns of the right one.
//!
//! With many rows the panel is copied together first, to be read often. With few rows, as when one token is decoded,
//! the right matrix is read in order where it lies, once.

use super::super::Shape;
use super::instruction_set::InstructionSet;
use super::lanes::{Kernel, Lanes, WIDEST, run};

/// Rows of the right matrix in a panel: 128 of 16 words are 16 KiB, which the first cache holds beside the left rows.
const DEPTH: usize = 128;

/// Rows of the right matrix that are read side by side where they lie. Each is a stream for the prefetcher; more of them
/// than it follows cost more than the sums that are loaded and stored less often.
const STREAMS: usize = 8;

/// Left rows up to which a copy of the right matrix would cost more than it saves.
const FEW_ROWS: usize = 16;

/// Words of the widest panel's row.
const PANEL_WORDS: usize = 2 * WIDEST;

/// `out += left · right`, where `left: [rows, inner]`, `right: [inner, columns]`, `out: [rows, columns]`.
///
/// # Panics
/// If the shapes do not fit.
pub(in super::super) fn add(set: InstructionSet, shape: Shape, left: &[u64], right: &[u64], out: &mut [u64]) {
    assert_eq!(left.len(), shape.rows * shape.inner, "left matrix");
    assert_eq!(right.len(), shape.inner * shape.columns, "right matrix");
    assert_eq!(out.len(), shape.rows * shape.columns, "product");
    run(set, Columns { shape, left, right, out });
}

struct Columns<'a> {
    shape: Shape,
    left: &'a [u64],
    right: &'a [u64],
    out: &'a mut [u64],
}

/// Rows `start..start + depth` of a few columns of the right matrix: row d begins at `words[d · stride]`.
struct Panel<'a> {
    words: &'a [u64],
    stride: usize,
    start: usize,
    depth: usize,
}

impl Kernel for Columns<'_> {
    #[inline(always)]
    unsafe fn compute<L: Lanes>(mut self) {
        let most = if self.shape.rows > FEW_ROWS { DEPTH } else { STREAMS };
        let mut copy = vec![0; most * PANEL_WORDS];
        let mut start = 0;
        while start < self.shape.inner {
            let depth = most.min(self.shape.inner - start);
            // SAFETY: as the caller says.
            unsafe {
                if L::PANEL == 2 {
                    self.block::<L, 2>(start, depth, &mut copy);
                } else {
                    self.block::<L, 1>(start, depth, &mut copy);
                }
            }
            start += depth;
        }
    }
}

impl Columns<'_> {
    /// Adds what `depth` rows of the right matrix give, in panels of `V` registers.
    ///
    /// # Safety
    /// The machine has the instruction set of `L`, and `copy` holds `depth` rows of a panel.
    #[inline(always)]
    unsafe fn block<L: Lanes, const V: usize>(&mut self, start: usize, depth: usize, copy: &mut [u64]) {
        let (width, columns) = (V * L::WIDTH, self.shape.columns);
        let mut column = 0;
        while column < columns {
            let kept = width.min(columns - column);
            let panel = if kept == width && self.shape.rows <= FEW_ROWS {
                Panel { words: &self.right[start * columns + column..], stride: columns, start, depth }
            } else {
                for (d, row) in copy.chunks_exact_mut(width).take(depth).enumerate() {
                    row[..kept].copy_from_slice(&self.right[(start + d) * columns + column..][..kept]);
                    row[kept..].fill(0);
                }
                Panel { words: &*copy, stride: width, start, depth }
            };
            // SAFETY: as the caller says.
            unsafe { self.panel::<L, V>(&panel, column, kept) };
            column += width;
        }
    }

    /// All left rows times one panel, of which `kept` columns count.
    ///
    /// # Safety
    /// The machine has the instruction set of `L`.
    #[inline(always)]
    unsafe fn panel<L: Lanes, const V: usize>(&mut self, panel: &Panel, column: usize, kept: usize) {
        let mut row = 0;
        while row < self.shape.rows {
            let left = self.shape.rows - row;
            // SAFETY: as the caller says.
            row += unsafe {
                match left {
                    8.. if L::ROWS >= 8 => self.tile::<L, 8, V>(panel, row, column, kept),
                    4.. => self.tile::<L, 4, V>(panel, row, column, kept),
                    2.. => self.tile::<L, 2, V>(panel, row, column, kept),
                    _ => self.tile::<L, 1, V>(panel, row, column, kept),
                }
            };
        }
    }

    /// `R` left rows times one panel. Gives `R`.
    ///
    /// # Safety
    /// The machine has the instruction set of `L`.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const R: usize, const V: usize>(
        &mut self,
        panel: &Panel,
        row: usize,
        column: usize,
        kept: usize,
    ) -> usize {
        let mut left: [&[u64]; R] = [&[]; R];
        for (r, taken) in left.iter_mut().enumerate() {
            *taken = &self.left[(row + r) * self.shape.inner + panel.start..][..panel.depth];
        }
        // SAFETY: as the caller says.
        let sums = unsafe { products::<L, R, V>(&left, panel) };
        for (r, sums) in sums.iter().enumerate() {
            let mut words = [0; PANEL_WORDS];
            for (v, sum) in sums.iter().enumerate() {
                // SAFETY: as the caller says; `V` registers fit into the widest panel's row.
                unsafe { L::store(L::words(*sum), words[v * L::WIDTH..][..L::WIDTH].as_mut_ptr()) };
            }
            let out = &mut self.out[(row + r) * self.shape.columns + column..][..kept];
            for (out, word) in out.iter_mut().zip(&words) {
                *out = out.wrapping_add(*word);
            }
        }
        R
    }
}

/// The sums over the panel's depth, a row of `V` registers for each left row, which are as long as the panel is deep.
///
/// # Safety
/// The machine has the instruction set of `L`.
#[inline(always)]
unsafe fn products<L: Lanes, const R: usize, const V: usize>(left: &[&[u64]; R], panel: &Panel) -> [[L::Sum; V]; R] {
    let reach = panel.depth.saturating_sub(1) * panel.stride + V * L::WIDTH;
    assert!(panel.words.len() >= reach, "a panel is {reach} words long");
    // SAFETY: the instruction set is there, as the caller says. Left rows have `depth` words; the last load of the last
    // panel row ends at `reach`.
    unsafe {
        let mut sums = [[L::zero(); V]; R];
        for d in 0..panel.depth {
            let mut right = [L::factor(L::splat(0)); V];
            for (v, right) in right.iter_mut().enumerate() {
                *right = L::factor(L::load(panel.words.as_ptr().add(d * panel.stride + v * L::WIDTH)));
            }
            for r in 0..R {
                let factor = L::factor(L::splat(*left[r].as_ptr().add(d)));
                for v in 0..V {
                    sums[r][v] = L::product(sums[r][v], factor, right[v]);
                }
            }
        }
        sums
    }
}
