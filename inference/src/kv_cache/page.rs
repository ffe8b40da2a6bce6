//! One page: some positions of every layer.

use std::ops::Range;

use neuro_expert_runtime::kernels::attention::{Elements, Run};
use neuro_expert_runtime::kernels::{InstructionSet, functions};

use super::{CacheType, HeadShape, PageLayout};

/// Positions of a page. A page of 48 layers with 4 heads of 128 elements of f16 takes 3 MiB. Twice as many would waste more
/// at the end of sequences and reuse less of a common beginning; half as many would end the run of a head too soon.
pub const PAGE_POSITIONS: usize = 32;

/// Keys and values of [`PAGE_POSITIONS`] positions.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// `[layers]`.
    layers: Vec<Block>,
}

/// One layer's part: `[kv_heads, PAGE_POSITIONS, key_dim]` and `[kv_heads, PAGE_POSITIONS, value_dim]`; no values where
/// they are shared.
#[derive(Debug, Clone)]
struct Block {
    keys: Stored,
    values: Stored,
}

/// Elements of a block.
#[derive(Debug, Clone)]
enum Stored {
    F16(Vec<u16>),
    F32(Vec<f32>),
}

impl Page {
    pub(super) fn zeros(layout: PageLayout) -> Self {
        let block = || Block {
            keys: Stored::zeros(layout.shape.page_keys(), layout.cache_type),
            values: Stored::zeros(layout.shape.page_values(), layout.cache_type),
        };
        Self { layers: (0..layout.layers).map(|_| block()).collect() }
    }

    /// A page without memory.
    pub(super) const fn empty() -> Self {
        Self { layers: Vec::new() }
    }

    /// Writes the key (`[kv_heads × key_dim]`, f32) and value (`[kv_heads × value_dim]`, f32; unused where values are
    /// shared) of the position at `offset`, over what was there.
    pub(super) fn write(&mut self, layer: usize, offset: usize, shape: HeadShape, key: &[f32], value: &[f32]) {
        let block = &mut self.layers[layer];
        block.keys.write(offset, shape.key_dim, key);
        if !shape.shared_values {
            block.values.write(offset, shape.value_dim, value);
        }
    }

    /// The keys of `head` at the positions of `offsets`.
    pub(super) fn keys(&self, layer: usize, head: usize, offsets: Range<usize>, shape: HeadShape) -> Run<'_> {
        self.layers[layer].keys.run(rows(head, offsets), shape.key_dim)
    }

    /// The values of `head` at the positions of `offsets`; the keys themselves where values are shared.
    pub(super) fn values(&self, layer: usize, head: usize, offsets: Range<usize>, shape: HeadShape) -> Run<'_> {
        let block = &self.layers[layer];
        match shape.shared_values {
            true => block.keys.run(rows(head, offsets), shape.key_dim),
            false => block.values.run(rows(head, offsets), shape.value_dim),
        }
    }
}

/// Where the rows of `head` lie in a block.
const fn rows(head: usize, offsets: Range<usize>) -> Range<usize> {
    head * PAGE_POSITIONS + offsets.start..head * PAGE_POSITIONS + offsets.end
}

impl Stored {
    fn zeros(elements: usize, cache_type: CacheType) -> Self {
        match cache_type {
            CacheType::F16 => Self::F16(vec![0; elements]),
            CacheType::F32 => Self::F32(vec![0.0; elements]),
        }
    }

    /// Writes every head's row (`[heads × width]`, f32) at position `offset` of the page.
    fn write(&mut self, offset: usize, width: usize, rows: &[f32]) {
        for (head, row) in rows.chunks_exact(width).enumerate() {
            let start = (head * PAGE_POSITIONS + offset) * width;
            match self {
                Self::F16(halves) => {
                    functions::narrow(InstructionSet::current(), row, &mut halves[start..start + width]);
                }
                Self::F32(values) => values[start..start + width].copy_from_slice(row),
            }
        }
    }

    /// `rows` of `width` elements.
    fn run(&self, rows: Range<usize>, width: usize) -> Run<'_> {
        let elements = rows.start * width..rows.end * width;
        let elements = match self {
            Self::F16(halves) => Elements::F16(&halves[elements]),
            Self::F32(values) => Elements::F32(&values[elements]),
        };
        Run { elements, stride: width }
    }
}
