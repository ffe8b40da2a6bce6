//! Products of row-major matrices: a tile is a few rows of the left one times a panel of columns of the right one.
//!
//! Left rows are copied together, tile by tile: rows whose distance is a power of two would otherwise push each other out
//! of the first cache. With many rows, panels of the right matrix are copied together as well, to be read often. With
//! few rows, as when one token is decoded, the right matrix is read in order where it lies, once.

use super::super::Shape;
use super::instruction_set::InstructionSet;
use super::lanes::{Kernel, Lanes, WIDEST, run};

/// Rows of the right matrix in a panel: 128 of 16 words are 16 KiB, which the first cache holds beside the left rows.
const DEPTH: usize = 128;

/// Columns of the right matrix that are copied at once: 512 bytes of a row come in one go, and with [`DEPTH`] rows they
/// take 64 KiB of the second cache. A multiple of every panel's width.
const COPIED: usize = 64;

/// Left rows that the right matrix is read once for: with [`DEPTH`] words each they take 128 KiB of the second cache.
const BAND: usize = 128;

/// Rows of the right matrix that are read side by side where they lie. Each is a stream for the prefetcher; more of them
/// than it follows cost more than the sums that are loaded and stored less often.
const STREAMS: usize = 8;

/// Left rows up to which a copy of the right matrix would cost more than it saves.
const FEW_ROWS: usize = 4;

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
    if right.is_empty() {
        return;
    }
    for (left, out) in left.chunks(BAND * shape.inner).zip(out.chunks_mut(BAND * shape.columns)) {
        let band = Shape { rows: left.len() / shape.inner, ..shape };
        let depth = if band.rows > FEW_ROWS { DEPTH } else { STREAMS };
        let copy = [vec![0; band.rows * depth], vec![0; depth * COPIED]];
        run(set, Columns { shape: band, depth, left, right, out, copy });
    }
}

struct Columns<'a> {
    shape: Shape,
    /// Rows of the right matrix in a block.
    depth: usize,
    left: &'a [u64],
    right: &'a [u64],
    out: &'a mut [u64],
    /// Of a block of the left matrix, and of some panels of the right one.
    copy: [Vec<u64>; 2],
}

/// Some rows of a few columns of the right matrix, as many as the block is deep: row d begins at `words[d · stride]`.
#[derive(Clone, Copy)]
struct Panel<'a> {
    words: &'a [u64],
    stride: usize,
    depth: usize,
}

impl Kernel for Columns<'_> {
    #[inline(always)]
    unsafe fn compute<L: Lanes>(mut self) {
        let [mut left, mut right] = std::mem::take(&mut self.copy);
        let mut start = 0;
        while start < self.shape.inner {
            let depth = self.depth.min(self.shape.inner - start);
            self.copy_left::<L>(start, depth, &mut left);
            // SAFETY: as the caller says.
            unsafe {
                if L::PANEL == 2 {
                    self.block::<L, 2>(start, depth, &left, &mut right);
                } else {
                    self.block::<L, 1>(start, depth, &left, &mut right);
                }
            }
            start += depth;
        }
    }
}

/// Rows of the tile that takes the first of `left` rows.
#[inline(always)]
const fn tile_rows<L: Lanes>(left: usize) -> usize {
    match left {
        8.. if L::ROWS >= 8 => 8,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

impl Columns<'_> {
    /// Copies columns `start..start + depth` of the left matrix: tile by tile, in each column by column.
    #[inline(always)]
    fn copy_left<L: Lanes>(&self, start: usize, depth: usize, copy: &mut [u64]) {
        let mut row = 0;
        while row < self.shape.rows {
            let rows = tile_rows::<L>(self.shape.rows - row);
            let tile = &mut copy[row * depth..][..rows * depth];
            for r in 0..rows {
                let words = &self.left[(row + r) * self.shape.inner + start..][..depth];
                for (d, word) in words.iter().enumerate() {
                    tile[d * rows + r] = *word;
                }
            }
            row += rows;
        }
    }

    /// Adds what `depth` rows of the right matrix give, in panels of `V` registers.
    ///
    /// # Safety
    /// The machine has the instruction set of `L`.
    #[inline(always)]
    unsafe fn block<L: Lanes, const V: usize>(&mut self, start: usize, depth: usize, left: &[u64], copy: &mut [u64]) {
        let (width, columns) = (V * L::WIDTH, self.shape.columns);
        let mut column = 0;
        while column < columns {
            let rest = columns - column;
            if rest >= width && self.shape.rows <= FEW_ROWS {
                let panel = Panel { words: &self.right[start * columns + column..], stride: columns, depth };
                // SAFETY: as the caller says.
                unsafe { self.panel::<L, V>(&panel, left, column, width) };
                column += width;
                continue;
            }
            let copied = COPIED.min(rest);
            // SAFETY: as the caller says.
            unsafe { self.copy_right::<L, V>(start, column, copied, &mut copy[..depth * COPIED]) };
            for (p, words) in copy.chunks_exact(depth * width).take(copied.div_ceil(width)).enumerate() {
                let (panel, kept) = (Panel { words, stride: width, depth }, width.min(copied - p * width));
                // SAFETY: as the caller says.
                unsafe { self.panel::<L, V>(&panel, left, column + p * width, kept) };
            }
            column += copied;
        }
    }

    /// Copies `copied` columns of the right matrix from row `start` on, panel after panel; the last is filled up with
    /// zeros.
    ///
    /// # Safety
    /// The machine has the instruction set of `L`.
    #[inline(always)]
    unsafe fn copy_right<L: Lanes, const V: usize>(
        &self,
        start: usize,
        column: usize,
        copied: usize,
        copy: &mut [u64],
    ) {
        let (width, depth) = (V * L::WIDTH, copy.len() / COPIED);
        for d in 0..depth {
            let row = &self.right[(start + d) * self.shape.columns + column..][..copied];
            for (p, words) in row.chunks(width).enumerate() {
                let target = &mut copy[(p * depth + d) * width..][..width];
                if words.len() < width {
                    target[..words.len()].copy_from_slice(words);
                    target[words.len()..].fill(0);
                    continue;
                }
                for v in 0..V {
                    let at = v * L::WIDTH;
                    // SAFETY: the instruction set is there, as the caller says; both slices have `V` registers.
                    unsafe { L::store(L::load(words.as_ptr().add(at)), target.as_mut_ptr().add(at)) };
                }
            }
        }
    }

    /// All left rows times one panel, of which `kept` columns count.
    ///
    /// # Safety
    /// The machine has the instruction set of `L`.
    #[inline(always)]
    unsafe fn panel<L: Lanes, const V: usize>(&mut self, panel: &Panel, left: &[u64], column: usize, kept: usize) {
        let mut row = 0;
        while row < self.shape.rows {
            let rows = tile_rows::<L>(self.shape.rows - row);
            let tile = &left[row * panel.depth..][..rows * panel.depth];
            // SAFETY: as the caller says.
            unsafe {
                match rows {
                    8 if L::ROWS >= 8 => self.tile::<L, 8, V>(panel, tile, row, column, kept),
                    4 => self.tile::<L, 4, V>(panel, tile, row, column, kept),
                    2 => self.tile::<L, 2, V>(panel, tile, row, column, kept),
                    _ => self.tile::<L, 1, V>(panel, tile, row, column, kept),
                }
            }
            row += rows;
        }
    }

    /// The `R` left rows of a tile times one panel.
    ///
    /// # Safety
    /// The machine has the instruction set of `L`.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const R: usize, const V: usize>(
        &mut self,
        panel: &Panel,
        tile: &[u64],
        row: usize,
        column: usize,
        kept: usize,
    ) {
        // SAFETY: as the caller says.
        let sums = unsafe { products::<L, R, V>(tile, panel) };
        for (r, sums) in sums.iter().enumerate() {
            let out = &mut self.out[(row + r) * self.shape.columns + column..][..kept];
            // SAFETY: as the caller says.
            unsafe { add_row::<L, V>(sums, out) };
        }
    }
}

/// The sums over the panel's depth, a row of `V` registers for each of the `R` left rows of `tile: [depth, R]`.
///
/// # Safety
/// The machine has the instruction set of `L`.
#[inline(always)]
unsafe fn products<L: Lanes, const R: usize, const V: usize>(tile: &[u64], panel: &Panel) -> [[L::Sum; V]; R] {
    let Panel { words, stride, depth } = *panel;
    let reach = depth.saturating_sub(1) * stride + V * L::WIDTH;
    assert!(words.len() >= reach && tile.len() == depth * R, "a panel of {reach} words and {depth} columns of a tile");
    // SAFETY: the instruction set is there, as the caller says. The tile has `R` words for each of `depth` columns; the
    // last load of the last panel row ends at `reach`.
    unsafe {
        let mut sums = [[L::zero(); V]; R];
        for d in 0..depth {
            let mut right = [L::factor(L::splat(0)); V];
            for (v, right) in right.iter_mut().enumerate() {
                *right = L::factor(L::load(words.as_ptr().add(d * stride + v * L::WIDTH)));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = L::factor(L::splat(*tile.as_ptr().add(d * R + r)));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = L::product(*sum, factor, right);
                }
            }
        }
        sums
    }
}

/// Adds as many of the sums as `out` has words.
///
/// # Safety
/// The machine has the instruction set of `L`.
#[inline(always)]
unsafe fn add_row<L: Lanes, const V: usize>(sums: &[L::Sum; V], out: &mut [u64]) {
    if out.len() == V * L::WIDTH {
        for (v, sum) in sums.iter().enumerate() {
            // SAFETY: the instruction set is there, as the caller says; register v ends at (v + 1) `WIDTH` words.
            unsafe {
                let target = out.as_mut_ptr().add(v * L::WIDTH);
                L::store(L::add(L::load(target), L::words(*sum)), target);
            }
        }
        return;
    }
    let mut words = [0; PANEL_WORDS];
    for (v, sum) in sums.iter().enumerate() {
        // SAFETY: as above; `V` registers fit into the widest panel's row.
        unsafe { L::store(L::words(*sum), words[v * L::WIDTH..][..L::WIDTH].as_mut_ptr()) };
    }
    for (out, word) in out.iter_mut().zip(&words) {
        *out = out.wrapping_add(*word);
    }
}
