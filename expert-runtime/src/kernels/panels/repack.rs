//! The rows of a panel, from the GGUF layout (`docs/spec/native-engine.md`, "Weights") into their lanes, unit by unit: what
//! is written stays in the cache's first level, and the rows are read side by side.

use half::{bf16, f16};
use neuro_primitives::TensorType;

use crate::kernels::lanes::{GROUP, LANES};

/// A value that is not finite: its row in the panel and its column (or its block's first), and what it is.
pub(super) type Found = ([usize; 2], f32);

/// Puts `rows`, at most 16 of `row_bytes` bytes each, into `panel`. The first float that is not finite, row by row.
pub(super) fn panel(tensor_type: TensorType, rows: &[u8], row_bytes: usize, panel: &mut [u8]) -> Option<Found> {
    let rows = Source { rows, row_bytes };
    match tensor_type {
        TensorType::F32 => rows.floats(panel, f32::from_le_bytes),
        TensorType::F16 => rows.floats(panel, |bytes| f16::from_le_bytes(bytes).to_f32_const()),
        TensorType::BF16 => rows.floats(panel, |bytes| bf16::from_le_bytes(bytes).to_f32_const()),
        TensorType::Q8_0 => rows.blocks::<34, 544>(32, panel, q8_0),
        TensorType::Q4_0 | TensorType::Iq4Nl => rows.blocks::<18, 288>(32, panel, halves_and_nibbles),
        TensorType::Mxfp4 => rows.blocks::<17, 272>(32, panel, mxfp4),
        TensorType::Q4K => rows.blocks::<144, 2368>(256, panel, q4_k),
        TensorType::Q5K => rows.blocks::<176, 2880>(256, panel, q5_k),
        TensorType::Q6K => rows.blocks::<210, 3360>(256, panel, q6_k),
    }
}

/// Some rows of a weight, one after the other.
struct Source<'a> {
    rows: &'a [u8],
    row_bytes: usize,
}

impl Source<'_> {
    /// Values of `N` bytes, each beside those of the other rows in its column.
    fn floats<const N: usize>(&self, panel: &mut [u8], value: impl Fn([u8; N]) -> f32) -> Option<Found> {
        self.blocks_of::<N>(1, panel, N * LANES, |bytes, lane, target| {
            target.as_chunks_mut::<N>().0[lane] = *bytes;
            let value = value(*bytes);
            (!value.is_finite()).then_some(value)
        })
    }

    /// Blocks of `S` bytes and `elements` elements; `put` brings one into its lane of its unit of `U` bytes.
    fn blocks<const S: usize, const U: usize>(
        &self,
        elements: usize,
        panel: &mut [u8],
        put: impl Fn(&[u8; S], usize, &mut [u8; U]) -> Option<f32>,
    ) -> Option<Found> {
        self.blocks_of::<S>(elements, panel, U, |block, lane, unit| put(block, lane, unit.first_chunk_mut()?))
    }

    #[inline(always)]
    fn blocks_of<const S: usize>(
        &self,
        elements: usize,
        panel: &mut [u8],
        unit_bytes: usize,
        put: impl Fn(&[u8; S], usize, &mut [u8]) -> Option<f32>,
    ) -> Option<Found> {
        let mut first: Option<Found> = None;
        for (index, unit) in panel.chunks_exact_mut(unit_bytes).enumerate() {
            for (lane, row) in self.rows.chunks_exact(self.row_bytes).enumerate() {
                let Some(value) = row.as_chunks().0.get(index).and_then(|block| put(block, lane, unit)) else {
                    continue;
                };
                let place = [lane, index * elements];
                if first.is_none_or(|(earlier, _)| place < earlier) {
                    first = Some((place, value));
                }
            }
        }
        first
    }
}

/// Puts a f16 into its lane; the value if it is not finite.
fn half(source: [u8; 2], lane: usize, target: &mut [u8]) -> Option<f32> {
    target.as_chunks_mut().0[lane] = source;
    let value = f16::from_le_bytes(source);
    (!value.is_finite()).then(|| value.to_f32_const())
}

#[inline(always)]
fn q8_0(source: &[u8; 34], lane: usize, unit: &mut [u8; 544]) -> Option<f32> {
    let ((scale, values), (head, codes)) = (source.split_at(2), unit.split_at_mut(2 * LANES));
    put_groups(values, lane, codes);
    half([scale[0], scale[1]], lane, head)
}

/// The file has the low nibbles for columns 0 to 15 and the high ones for 16 to 31, as a panel has them.
#[inline(always)]
fn halves_and_nibbles(source: &[u8; 18], lane: usize, unit: &mut [u8; 288]) -> Option<f32> {
    let ((scale, values), (head, codes)) = (source.split_at(2), unit.split_at_mut(2 * LANES));
    put_groups(values, lane, codes);
    half([scale[0], scale[1]], lane, head)
}

#[inline(always)]
fn mxfp4(source: &[u8; 17], lane: usize, unit: &mut [u8; 272]) -> Option<f32> {
    let (head, codes) = unit.split_at_mut(LANES);
    put_groups(&source[1..], lane, codes);
    head[lane] = source[0];
    (source[0] == u8::MAX).then_some(f32::NAN)
}

/// Four bytes into each group, in their lane.
fn put_groups(source: &[u8], lane: usize, codes: &mut [u8]) {
    let groups = codes.as_chunks_mut::<GROUP>().0;
    for (bytes, group) in source.as_chunks::<4>().0.iter().zip(groups) {
        group.as_chunks_mut().0[lane] = *bytes;
    }
}

#[inline(always)]
fn q4_k(source: &[u8; 144], lane: usize, unit: &mut [u8; 2368]) -> Option<f32> {
    let (head, sub_blocks) = unit.split_at_mut(4 * LANES);
    for (sub, sub_block) in sub_blocks.as_chunks_mut::<288>().0.iter_mut().enumerate() {
        let (scales, codes) = sub_block.split_at_mut(2 * LANES);
        (scales[lane], scales[LANES + lane]) = six_bits(&source[4..16], sub);
        put_nibbles(&source[16 + 32 * (sub / 2)..], 4 * (sub as u32 % 2), lane, codes);
    }
    scale_and_minimum(source, lane, head)
}

#[inline(always)]
fn q5_k(source: &[u8; 176], lane: usize, unit: &mut [u8; 2880]) -> Option<f32> {
    let (head, sub_blocks) = unit.split_at_mut(4 * LANES);
    for (sub, sub_block) in sub_blocks.as_chunks_mut::<352>().0.iter_mut().enumerate() {
        let (scales, codes) = sub_block.split_at_mut(2 * LANES);
        let (nibbles, plane) = codes.split_at_mut(256);
        (scales[lane], scales[LANES + lane]) = six_bits(&source[4..16], sub);
        put_nibbles(&source[48 + 32 * (sub / 2)..], 4 * (sub as u32 % 2), lane, nibbles);
        // Byte `c` of the lane gets as bit `g` the fifth bit of column `4g + c`.
        let fifth = source[16..48].as_chunks::<4>().0;
        let bits = fifth
            .iter()
            .enumerate()
            .fold(0, |bits, (group, four)| bits | ((u32::from_le_bytes(*four) >> sub) & 0x0101_0101) << group);
        plane.as_chunks_mut().0[lane] = bits.to_le_bytes();
    }
    scale_and_minimum(source, lane, head)
}

#[inline(always)]
fn q6_k(source: &[u8; 210], lane: usize, unit: &mut [u8; 3360]) -> Option<f32> {
    let (head, sub_blocks) = unit.split_at_mut(2 * LANES);
    for (sub, sub_block) in sub_blocks.as_chunks_mut::<416>().0.iter_mut().enumerate() {
        let (scales, codes) = sub_block.split_at_mut(2 * LANES);
        let (nibbles, planes) = codes.split_at_mut(256);
        (scales[lane], scales[LANES + lane]) = (source[192 + 2 * sub], source[193 + 2 * sub]);
        // The file interleaves four sub-blocks: each pair shares bytes of nibbles, all four those of upper bits.
        let (part, number) = (sub / 4, sub % 4);
        put_nibbles(&source[64 * part + 32 * (number % 2)..], 4 * (number as u32 / 2), lane, nibbles);
        let upper = source[128 + 32 * part..].as_chunks::<4>().0;
        for (half, plane) in planes.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            let bits = (0..4).fold(0, |bits, group| {
                bits | ((u32::from_le_bytes(upper[4 * half + group]) >> (2 * number)) & 0x0303_0303) << (2 * group)
            });
            plane.as_chunks_mut().0[lane] = bits.to_le_bytes();
        }
    }
    half([source[208], source[209]], lane, head)
}

/// The nibbles at bit `shift` of 32 bytes into a sub-block: those of the first 16 below those of the last 16.
fn put_nibbles(source: &[u8], shift: u32, lane: usize, codes: &mut [u8]) {
    let fours = source.as_chunks::<4>().0;
    let nibbles = |four: [u8; 4]| (u32::from_le_bytes(four) >> shift) & 0x0F0F_0F0F;
    for (index, group) in codes.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
        let both = nibbles(fours[index]) | nibbles(fours[index + 4]) << 4;
        group.as_chunks_mut().0[lane] = both.to_le_bytes();
    }
}

/// d and dmin, with which both types start.
fn scale_and_minimum(source: &[u8], lane: usize, head: &mut [u8]) -> Option<f32> {
    let (d, minimum) = head.split_at_mut(2 * LANES);
    half([source[0], source[1]], lane, d).or(half([source[2], source[3]], lane, minimum))
}

/// Scale and minimum of sub-block `sub` from 12 bytes: the first four have 6 bits in a byte of their own, whose upper
/// two bits belong to the last four.
fn six_bits(packed: &[u8], sub: usize) -> (u8, u8) {
    if sub < 4 {
        return (packed[sub] & 63, packed[sub + 4] & 63);
    }
    let lower = packed[sub + 4];
    ((lower & 15) | (packed[sub - 4] >> 6) << 4, (lower >> 4) | (packed[sub] >> 6) << 4)
}
