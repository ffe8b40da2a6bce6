//! Activations as the kernels read them: cut into tiles of a few rows, whose values lie side by side.
//!
//! A tile's rows go through the columns together, so what they hold for a sub-block lies together: first the sub-block
//! of the tile's first row, then that of the second. A tile is a contiguous part of each array, and which rows share a
//! tile changes no result.

use std::sync::{Mutex, PoisonError};

use neuro_primitives::{ACTIVATION_BLOCK, QuantisedRows, Rows};

use super::InstructionSet;
#[cfg(target_arch = "aarch64")]
use super::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{Lanes, Scalar};
use super::quantise::{self, Block};
use super::shared::Shared;
use crate::activations::ActivationError;
use crate::threads;

/// Rows `first..first + rows` of an operand. There are 1, 2, 4 or 8 rows in a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) first: usize,
    pub(super) rows: usize,
}

/// `[rows, width]` activations in tiles.
#[derive(Debug)]
pub(crate) struct Operand {
    count: usize,
    width: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Blocks(Blocks),
    Floats(Vec<f32>),
}

/// Tile after tile, sub-block after sub-block, row after row.
#[derive(Debug)]
struct Blocks {
    values: Vec<i8>,
    scales: Vec<f32>,
    sums: Vec<[i32; 2]>,
}

/// The most rows that `set` takes in a tile.
pub(super) fn largest_tile(set: InstructionSet) -> usize {
    match set {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => Avx512::TILE,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => Avx2::TILE,
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => Neon::<false>::TILE,
        #[cfg(target_arch = "aarch64")]
        InstructionSet::NeonDotprod => Neon::<true>::TILE,
        _ => Scalar::TILE,
    }
}

/// `count` rows in tiles: as many of the largest as fit, then ever smaller ones.
pub(super) fn tiles(set: InstructionSet, count: usize) -> impl Iterator<Item = Tile> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = count - first;
        let rows = if left == 0 { return None } else { largest_tile(set).min(1 << left.ilog2()) };
        first += rows;
        Some(Tile { first: first - rows, rows })
    })
}

/// One block by the rule of activations, computed with `set`; `None` when a value is not finite.
///
/// # Panics
/// When the machine lacks `set`: a bug of ours.
pub(crate) fn quantise_block(set: InstructionSet, source: &[f32; ACTIVATION_BLOCK]) -> Option<Block> {
    assert!(set.is_available(), "the machine has no {set}");
    // SAFETY: the machine has the instruction set.
    unsafe {
        match set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => Avx512::quantise(source),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => Avx2::quantise(source),
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon | InstructionSet::NeonDotprod => Neon::<false>::quantise(source),
            _ => Scalar::quantise(source),
        }
    }
}

impl Operand {
    /// Room for `count` rows of `width` values in blocks.
    pub(super) fn empty_blocks(count: usize, width: usize) -> Self {
        let blocks = count * (width / ACTIVATION_BLOCK);
        let values = vec![0; blocks * ACTIVATION_BLOCK];
        let blocks = Blocks { values, scales: vec![0.0; blocks], sums: vec![[0; 2]; blocks] };
        Self { count, width, values: Values::Blocks(blocks) }
    }

    /// Room for `count` rows of `width` floats.
    pub(super) fn empty_floats(count: usize, width: usize) -> Self {
        Self { count, width, values: Values::Floats(vec![0.0; count * width]) }
    }

    /// The rows of `rows`, for `set`.
    pub(crate) fn from_blocks(set: InstructionSet, rows: &QuantisedRows) -> Self {
        let (count, width) = (rows.count(), rows.width());
        let mut operand = Self::empty_blocks(count, width);
        let places = Places::new(&mut operand);
        each_tile(set, count, width, &|tile| {
            for row in 0..tile.rows {
                let (values, scales) = (rows.row(tile.first + row), rows.row_scales(tile.first + row));
                for (block, (values, &scale)) in values.as_chunks().0.iter().zip(scales).enumerate() {
                    let block_of_row = Block { values: *values, scale, sums: quantise::sums(values) };
                    // SAFETY: no other item has this tile.
                    unsafe { places.put_block(tile, row, block, &block_of_row) };
                }
            }
        });
        operand
    }

    /// `rows` in blocks, for `set`.
    ///
    /// # Errors
    /// When 32 does not divide the width or a value is not finite.
    pub(crate) fn quantised(set: InstructionSet, rows: &Rows) -> Result<Self, ActivationError> {
        let (count, width) = (rows.count(), rows.width());
        if !width.is_multiple_of(ACTIVATION_BLOCK) {
            return Err(ActivationError::Width { width });
        }
        let mut operand = Self::empty_blocks(count, width);
        let places = Places::new(&mut operand);
        each_tile(set, count, width, &|tile| {
            for row in 0..tile.rows {
                for (block, source) in rows.row(tile.first + row).as_chunks().0.iter().enumerate() {
                    // SAFETY: no other item has this tile.
                    unsafe { places.quantise(set, tile, row, block, source) };
                }
            }
        });
        places.finish().map(|()| operand)
    }

    /// `rows` as they are, for `set`.
    pub(crate) fn from_floats(set: InstructionSet, rows: &Rows) -> Self {
        let (count, width) = (rows.count(), rows.width());
        let mut operand = Self::empty_floats(count, width);
        let places = Places::new(&mut operand);
        each_tile(set, count, width, &|tile| {
            for row in 0..tile.rows {
                // SAFETY: no other item has this tile.
                unsafe { places.put_floats(tile, row, 0, rows.row(tile.first + row)) };
            }
        });
        operand
    }

    /// How many rows there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Whether `tile` is one of this operand for `set`, and its rows have `width` values.
    pub(super) fn fits(&self, set: InstructionSet, width: usize, tile: Tile) -> bool {
        self.width == width
            && tile.first + tile.rows <= self.count
            && tile.rows.is_power_of_two()
            && tile.rows <= largest_tile(set)
    }

    /// Values, scales and sums of `tile`.
    ///
    /// # Panics
    /// When the operand holds floats or the tile is not one of its: bugs of ours.
    pub(super) fn blocks(&self, tile: Tile) -> (&[i8], &[f32], &[[i32; 2]]) {
        let Values::Blocks(blocks) = &self.values else { unreachable!("quantised panels take blocks") };
        let per_row = self.width / ACTIVATION_BLOCK;
        let range = tile.first * per_row..(tile.first + tile.rows) * per_row;
        let values = &blocks.values[range.start * ACTIVATION_BLOCK..range.end * ACTIVATION_BLOCK];
        (values, &blocks.scales[range.clone()], &blocks.sums[range])
    }

    /// The floats of `tile`.
    ///
    /// # Panics
    /// When the operand holds blocks or the tile is not one of its: bugs of ours.
    pub(super) fn floats(&self, tile: Tile) -> &[f32] {
        let Values::Floats(values) = &self.values else { unreachable!("float panels take floats") };
        &values[tile.first * self.width..(tile.first + tile.rows) * self.width]
    }
}

/// Values of a call above which its tiles are worth a second thread: some 10 µs of quantising.
const PARALLEL_VALUES: usize = 1 << 15;

/// `work` for every tile of `count` rows.
fn each_tile(set: InstructionSet, count: usize, width: usize, work: &(dyn Fn(Tile) + Sync)) {
    if count * width < PARALLEL_VALUES {
        return tiles(set, count).for_each(work);
    }
    let tiles: Vec<Tile> = tiles(set, count).collect();
    threads::parallel(tiles.len(), &|index| work(tiles[index]));
}

/// An operand that several threads fill.
pub(super) struct Places<'a> {
    width: usize,
    values: Shared<'a, i8>,
    scales: Shared<'a, f32>,
    sums: Shared<'a, [i32; 2]>,
    floats: Shared<'a, f32>,
    /// The first value that no block can hold. Held for a comparison, and only when there is such a value.
    not_finite: Mutex<Option<ActivationError>>,
}

impl<'a> Places<'a> {
    pub(super) fn new(operand: &'a mut Operand) -> Self {
        let width = operand.width;
        let (blocks, floats) = match &mut operand.values {
            Values::Blocks(Blocks { values, scales, sums }) => {
                ((&mut values[..], &mut scales[..], &mut sums[..]), &mut [][..])
            }
            Values::Floats(floats) => ((&mut [][..], &mut [][..], &mut [][..]), &mut floats[..]),
        };
        Self {
            width,
            values: Shared::new(blocks.0),
            scales: Shared::new(blocks.1),
            sums: Shared::new(blocks.2),
            floats: Shared::new(floats),
            not_finite: Mutex::default(),
        }
    }

    /// Quantises `source` into block `block` of row `row` of `tile`, or notes why it cannot.
    ///
    /// # Safety
    /// No other thread writes this block.
    pub(super) unsafe fn quantise(
        &self,
        set: InstructionSet,
        tile: Tile,
        row: usize,
        block: usize,
        source: &[f32; ACTIVATION_BLOCK],
    ) {
        match quantise_block(set, source) {
            // SAFETY: as the caller says.
            Some(values) => unsafe { self.put_block(tile, row, block, &values) },
            None => self.note(tile.first + row, block * ACTIVATION_BLOCK, source),
        }
    }

    /// # Safety
    /// No other thread writes this block.
    unsafe fn put_block(&self, tile: Tile, row: usize, block: usize, source: &Block) {
        let place = tile.first * (self.width / ACTIVATION_BLOCK) + block * tile.rows + row;
        // SAFETY: blocks do not overlap, and nobody else has this one.
        unsafe {
            self.values.range(place * ACTIVATION_BLOCK, ACTIVATION_BLOCK).copy_from_slice(&source.values);
            self.scales.range(place, 1)[0] = source.scale;
            self.sums.range(place, 1)[0] = source.sums;
        }
    }

    /// Puts `source` at columns `from..` of row `row` of `tile`.
    ///
    /// # Safety
    /// No other thread writes these columns of the tile.
    pub(super) unsafe fn put_floats(&self, tile: Tile, row: usize, from: usize, source: &[f32]) {
        for (column, &value) in source.iter().enumerate() {
            let place = tile.first * self.width + (from + column) * tile.rows + row;
            // SAFETY: places do not overlap, and nobody else has this one.
            unsafe { self.floats.range(place, 1)[0] = value };
        }
    }

    /// Ends the filling.
    ///
    /// # Errors
    /// The first value that no block could hold.
    pub(super) fn finish(self) -> Result<(), ActivationError> {
        self.not_finite.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn note(&self, row: usize, from: usize, source: &[f32]) {
        let Some(place) = source.iter().position(|value| !value.is_finite()) else { return };
        let (column, value) = (from + place, source[place]);
        let mut noted = self.not_finite.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier =
            matches!(*noted, Some(ActivationError::NotFinite { row: r, column: c, .. }) if (r, c) <= (row, column));
        if !earlier {
            *noted = Some(ActivationError::NotFinite { row, column, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_row_once() {
        for set in InstructionSet::available() {
            for count in 0..70 {
                let mut next = 0;
                for tile in tiles(set, count) {
                    assert_eq!(tile.first, next);
                    assert!(tile.rows.is_power_of_two() && tile.rows <= largest_tile(set));
                    next += tile.rows;
                }
                assert_eq!(next, count, "{set}");
            }
        }
    }

    #[test]
    fn the_first_value_that_is_no_number_is_named_on_any_number_of_threads() {
        let mut rows = Rows::zeros(40, 1024);
        rows.row_mut(39)[5] = f32::NAN;
        rows.row_mut(17)[70] = f32::INFINITY;
        rows.row_mut(17)[900] = f32::NAN;
        for number in [1, 3] {
            let error = threads::with_threads(number, || Operand::quantised(InstructionSet::current(), &rows));
            let expected = ActivationError::NotFinite { row: 17, column: 70, value: f32::INFINITY };
            assert_eq!(error.err(), Some(expected));
        }
    }
}
