//! The transpose of 64 × 64 bits (Warren, Hacker's Delight, 7-3).

use super::super::planes::BLOCK;
use super::instruction_set::InstructionSet;
use super::lanes::{Kernel, Lanes, run};

/// Writes the bits of `values: [n]` to `planes: [width][words]`.
pub(in super::super) fn to_planes(set: InstructionSet, values: &[u64], planes: &mut [u64], words: usize) {
    run(set, ToPlanes { values, planes, words });
}

/// Writes the values of `planes: [width][words]` to `values: [n]`.
pub(in super::super) fn from_planes(set: InstructionSet, planes: &[u64], values: &mut [u64], words: usize) {
    run(set, FromPlanes { planes, values, words });
}

struct ToPlanes<'a> {
    values: &'a [u64],
    planes: &'a mut [u64],
    words: usize,
}

impl Kernel for ToPlanes<'_> {
    #[inline(always)]
    unsafe fn compute<L: Lanes>(self) {
        for (word, values) in self.values.chunks(BLOCK).enumerate() {
            let mut block = [0; BLOCK];
            block[..values.len()].copy_from_slice(values);
            transpose(&mut block);
            for (plane, bits) in self.planes.chunks_exact_mut(self.words).zip(&block) {
                plane[word] = *bits;
            }
        }
    }
}

struct FromPlanes<'a> {
    planes: &'a [u64],
    values: &'a mut [u64],
    words: usize,
}

impl Kernel for FromPlanes<'_> {
    #[inline(always)]
    unsafe fn compute<L: Lanes>(self) {
        for (word, values) in self.values.chunks_mut(BLOCK).enumerate() {
            let mut block = [0; BLOCK];
            for (plane, bits) in self.planes.chunks_exact(self.words).zip(&mut block) {
                *bits = plane[word];
            }
            transpose(&mut block);
            values.copy_from_slice(&block[..values.len()]);
        }
    }
}

/// Bit j of word i becomes bit i of word j.
#[inline(always)]
fn transpose(block: &mut [u64; BLOCK]) {
    exchange::<32>(block, 0x0000_0000_FFFF_FFFF);
    exchange::<16>(block, 0x0000_FFFF_0000_FFFF);
    exchange::<8>(block, 0x00FF_00FF_00FF_00FF);
    exchange::<4>(block, 0x0F0F_0F0F_0F0F_0F0F);
    exchange::<2>(block, 0x3333_3333_3333_3333);
    exchange::<1>(block, 0x5555_5555_5555_5555);
}

/// In each square of twice `HALF` words and bits, exchanges the two squares beside the diagonal. `low` masks the lower
/// `HALF` of every 2 · `HALF` bits.
#[inline(always)]
fn exchange<const HALF: usize>(block: &mut [u64; BLOCK], low: u64) {
    for square in block.chunks_exact_mut(2 * HALF) {
        let (upper, lower) = square.split_at_mut(HALF);
        for (a, b) in upper.iter_mut().zip(lower) {
            let changed = ((*a >> HALF) ^ *b) & low;
            *a ^= changed << HALF;
            *b ^= changed;
        }
    }
}
