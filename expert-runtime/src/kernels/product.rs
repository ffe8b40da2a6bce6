//! The product of one panel with one tile of activations: the sums of the engine's arithmetic, sixteen rows at once.
//!
//! A lane is an output row. Its sum starts at zero and takes the sub-blocks (for float types the columns) one after
//! the other, whatever the instruction set and however many rows of activations are in the tile; so every output has
//! one value.

use neuro_primitives::TensorType;

use super::InstructionSet;
use super::format::{self, FloatFormat, QuantisedFormat};
#[cfg(target_arch = "aarch64")]
use super::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{LANES, Lanes, QUAD, Scalar};
use super::operand::{Operand, Tile};
use super::panels::Panel;

/// The most rows of activations in a tile.
pub(super) const MAX_TILE: usize = 8;

/// One panel's outputs: 16 for each row of activations in the tile.
pub(super) type TileOutput = [[f32; LANES]; MAX_TILE];

/// A panel of quantised weights and the activations of a tile.
pub(super) struct QuantisedTile {
    /// Units of scales and codes (`format`).
    panel: *const u8,
    /// The panel's sub-blocks of 32 columns, a whole number of units.
    sub_blocks: usize,
    /// For each sub-block and each row of the tile 32 × i8.
    values: *const i8,
    /// For each sub-block and each row of the tile a scale.
    scales: *const f32,
    /// For each sub-block and each row of the tile the sums of its halves.
    sums: *const [i32; 2],
}

/// A panel of float weights and the activations of a tile.
pub(super) struct FloatTile {
    /// For each column the values of 16 rows.
    panel: *const u8,
    columns: usize,
    /// For each column and each row of the tile a value.
    values: *const f32,
}

/// The panel's sums for `T` rows of activations.
///
/// # Safety
/// The machine has `L`'s instruction set, the panel is one of `F`, and the pointers lead to as much as
/// [`QuantisedTile`] says for `T` rows.
#[inline(always)]
pub(super) unsafe fn quantised<L: Lanes, F: QuantisedFormat, const T: usize>(
    tile: &QuantisedTile,
    output: &mut TileOutput,
) {
    // SAFETY: every place below follows from the layout that the caller vouches for: `sub` stays below the number of
    // sub-blocks, `row` below `T`.
    unsafe {
        let mut totals = [L::splat(0.0); T];
        for number in 0..tile.sub_blocks / F::SUB_BLOCKS {
            let head = tile.panel.add(number * F::UNIT_BYTES);
            let unit = F::unit::<L>(head);
            for sub in 0..F::SUB_BLOCKS {
                let place = number * F::SUB_BLOCKS + sub;
                let scales = head.add(F::HEAD_BYTES + sub * (F::SCALE_BYTES + F::CODE_BYTES));
                sub_block::<L, F, T>(tile, place, scales, &unit, &mut totals);
            }
        }
        for row in 0..T {
            L::store(totals[row], &mut output[row]);
        }
    }
}

/// Adds sub-block `place` of the panel, whose scales and codes lie at `scales`, to `totals`.
///
/// # Safety
/// That of [`quantised`].
#[expect(clippy::needless_range_loop, reason = "several arrays, registers all, have the same rows")]
#[inline(always)]
unsafe fn sub_block<L: Lanes, F: QuantisedFormat, const T: usize>(
    tile: &QuantisedTile,
    place: usize,
    scales: *const u8,
    unit: &format::Unit<L>,
    totals: &mut [L::Floats; T],
) {
    // SAFETY: as the caller says.
    unsafe {
        let (values, sums) = (tile.values.add(place * T * 2 * QUAD), tile.sums.add(place * T));
        let steps = tile.scales.add(place * T);
        let start = |row: usize, half: usize| {
            let [first, second] = *sums.add(row);
            L::start::<F>(if !F::HALVES {
                first + second
            } else if half == 0 {
                first
            } else {
                second
            })
        };
        let mut integers: [L::Integers; T] = std::array::from_fn(|row| start(row, 0));
        for half in 0..2 {
            if F::HALVES && half == 1 {
                integers = std::array::from_fn(|row| start(row, 1));
            }
            let codes = F::codes::<L>(scales.add(F::SCALE_BYTES), half);
            for row in 0..T {
                integers[row] = L::dot::<F>(integers[row], &codes, values.add((2 * row + half) * QUAD));
            }
            if F::HALVES || half == 1 {
                let scale = F::scale::<L>(unit, scales, half);
                for row in 0..T {
                    let step = L::multiply(scale, L::splat(*steps.add(row)));
                    totals[row] = L::fused(step, L::convert(integers[row]), totals[row]);
                }
            }
        }
        if F::MINIMA {
            let minimum = F::minimum::<L>(unit, scales);
            for row in 0..T {
                let [first, second] = *sums.add(row);
                let step = L::multiply(minimum, L::splat(*steps.add(row)));
                totals[row] = L::fused_negative(step, L::splat((first + second) as f32), totals[row]);
            }
        }
    }
}

/// The panel's sums for `T` rows of activations.
///
/// # Safety
/// The machine has `L`'s instruction set, the panel is one of `F`, and the pointers lead to as much as [`FloatTile`]
/// says for `T` rows.
#[expect(clippy::needless_range_loop, reason = "several arrays, registers all, have the same rows")]
#[inline(always)]
pub(super) unsafe fn float<L: Lanes, F: FloatFormat, const T: usize>(tile: &FloatTile, output: &mut TileOutput) {
    // SAFETY: the places follow from the layout that the caller vouches for.
    unsafe {
        let mut totals = [L::splat(0.0); T];
        for column in 0..tile.columns {
            let weights = F::load::<L>(tile.panel.add(column * LANES * F::BYTES));
            for row in 0..T {
                totals[row] = L::fused(weights, L::splat(*tile.values.add(column * T + row)), totals[row]);
            }
        }
        for row in 0..T {
            L::store(totals[row], &mut output[row]);
        }
    }
}

/// `panel` with `tile` of `operand`, computed with `set`. Rows of the output past the tile's are left as they are.
///
/// # Panics
/// When the operand is not one for this panel, or the machine lacks `set`: bugs of ours.
pub(super) fn panel(set: InstructionSet, panel: Panel<'_>, operand: &Operand, tile: Tile, output: &mut TileOutput) {
    assert!(set.is_available() && operand.fits(set, panel.columns, tile), "an operand of another panel");
    match set {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => with::<Avx512>(panel, operand, tile, output),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => with::<Avx2>(panel, operand, tile, output),
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => with::<Neon<false>>(panel, operand, tile, output),
        #[cfg(target_arch = "aarch64")]
        InstructionSet::NeonDotprod => with::<Neon<true>>(panel, operand, tile, output),
        _ => with::<Scalar>(panel, operand, tile, output),
    }
}

fn with<L: Lanes>(panel: Panel<'_>, operand: &Operand, tile: Tile, output: &mut TileOutput) {
    match panel.tensor_type {
        TensorType::F32 => float_tile::<L, format::F32>(panel, operand, tile, output),
        TensorType::F16 => float_tile::<L, format::F16>(panel, operand, tile, output),
        TensorType::BF16 => float_tile::<L, format::BF16>(panel, operand, tile, output),
        TensorType::Q8_0 => quantised_tile::<L, format::Q8_0>(panel, operand, tile, output),
        TensorType::Q4_0 => quantised_tile::<L, format::Q4_0>(panel, operand, tile, output),
        TensorType::Iq4Nl => quantised_tile::<L, format::Iq4Nl>(panel, operand, tile, output),
        TensorType::Mxfp4 => quantised_tile::<L, format::Mxfp4>(panel, operand, tile, output),
        TensorType::Q4K => quantised_tile::<L, format::Q4K>(panel, operand, tile, output),
        TensorType::Q5K => quantised_tile::<L, format::Q5K>(panel, operand, tile, output),
        TensorType::Q6K => quantised_tile::<L, format::Q6K>(panel, operand, tile, output),
    }
}

fn quantised_tile<L: Lanes, F: QuantisedFormat>(
    panel: Panel<'_>,
    operand: &Operand,
    tile: Tile,
    output: &mut TileOutput,
) {
    let (values, scales, sums) = operand.blocks(tile);
    let sub_blocks = scales.len() / tile.rows;
    let (panel, values, scales, sums) = (panel.bytes.as_ptr(), values.as_ptr(), scales.as_ptr(), sums.as_ptr());
    let work = QuantisedTile { panel, sub_blocks, values, scales, sums };
    // SAFETY: `panel` (the function) has checked that the machine has the instruction set and that the operand has
    // the panel's width; the panel is of `F`'s type; `blocks` gives what the tile's rows hold.
    unsafe {
        match tile.rows {
            1 => L::quantised::<F, 1>(&work, output),
            2 => L::quantised::<F, 2>(&work, output),
            4 => L::quantised::<F, 4>(&work, output),
            _ => L::quantised::<F, MAX_TILE>(&work, output),
        }
    }
}

fn float_tile<L: Lanes, F: FloatFormat>(panel: Panel<'_>, operand: &Operand, tile: Tile, output: &mut TileOutput) {
    let (values, columns) = (operand.floats(tile).as_ptr(), panel.columns);
    let work = FloatTile { panel: panel.bytes.as_ptr(), columns, values };
    // SAFETY: `panel` (the function) has checked that the machine has the instruction set and that the operand has
    // the panel's width; the panel is of `F`'s type; `floats` gives what the tile's rows hold.
    unsafe {
        match tile.rows {
            1 => L::float::<F, 1>(&work, output),
            2 => L::float::<F, 2>(&work, output),
            4 => L::float::<F, 4>(&work, output),
            _ => L::float::<F, MAX_TILE>(&work, output),
        }
    }
}
