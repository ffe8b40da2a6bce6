//! Keys and values of the positions seen so far.
//!
//! A layer's cache is a list of blocks of [`BLOCK_POSITIONS`] positions. Growth allocates a block and never copies, and
//! within a block the rows of one head lie side by side, so attention reads memory in order.

use std::ops::Range;

use neuro_expert_runtime::kernels::attention::{Elements, Run};
use neuro_expert_runtime::kernels::{InstructionSet, functions};
use neuro_model::{Checkpoint, ModelConfig, names};

/// Positions of one block. At 8 heads of 128 elements of f32 a block takes 1 MiB a layer, of f16 half; twice as many would waste more at
/// the end of short sequences, half as many would end the run of a head too soon.
pub const BLOCK_POSITIONS: usize = 128;

/// Keys (rotated) and values of one sequence, all layers.
#[derive(Debug, Clone)]
pub struct KvCache {
    shape: HeadShape,
    cache_type: CacheType,
    context: usize,
    len: usize,
    layers: Vec<LayerCache>,
}

/// How keys and values are kept. It is part of a model's arithmetic, not a matter of taste: every node that runs the
/// model's trunk keeps them alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheType {
    /// f16, rounded to the nearest when written, ties to even. A finite value beyond ±65504, the greatest, is kept as
    /// ±65504; one that is not finite stays so, and shows in the logits.
    F16,
    /// f32, as it is.
    F32,
}

/// How many key/value heads a position has, and how wide they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadShape {
    /// Key/value heads.
    pub kv_heads: usize,
    /// Elements of a head's key.
    pub key_dim: usize,
    /// Elements of a head's value.
    pub value_dim: usize,
    /// The value is the first part of the key and is not kept twice (latent attention).
    pub shared_values: bool,
}

/// Keys and values of one layer.
#[derive(Debug, Clone)]
pub struct LayerCache {
    shape: HeadShape,
    cache_type: CacheType,
    blocks: Vec<Block>,
}

/// `[kv_heads, BLOCK_POSITIONS, key_dim]` and `[kv_heads, BLOCK_POSITIONS, value_dim]`; no values where they are shared.
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

impl KvCache {
    /// An empty cache for a sequence of at most `config.context` positions.
    #[must_use]
    pub fn new(config: &ModelConfig, cache_type: CacheType) -> Self {
        let shape = HeadShape::of(config);
        let layers = (0..config.layers).map(|_| LayerCache::new(shape, cache_type)).collect();
        Self { shape, cache_type, context: config.context, len: 0, layers }
    }

    /// How keys and values are kept.
    #[must_use]
    pub const fn cache_type(&self) -> CacheType {
        self.cache_type
    }

    /// Positions held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The most positions that it may hold.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.context
    }

    /// Forgets every position from `len` on, and frees the blocks that only they used. No-op when fewer are held.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        let blocks = self.len.div_ceil(BLOCK_POSITIONS);
        for layer in &mut self.layers {
            layer.blocks.truncate(blocks);
        }
    }

    /// Bytes allocated for keys and values.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let blocks: usize = self.layers.iter().map(|layer| layer.blocks.len()).sum();
        (blocks * self.shape.block_elements() * self.cache_type.bytes()) as u64
    }

    /// Whether it was made for a model of `layers` layers with such heads, kept so.
    #[must_use]
    pub fn fits(&self, layers: usize, shape: HeadShape, cache_type: CacheType) -> bool {
        self.layers.len() == layers && self.shape == shape && self.cache_type == cache_type
    }

    /// How many layers it has.
    #[must_use]
    pub const fn layers(&self) -> usize {
        self.layers.len()
    }

    /// The cache of layer `index`.
    pub fn layer_mut(&mut self, index: usize) -> &mut LayerCache {
        &mut self.layers[index]
    }

    /// Counts `rows` more positions as held, once every layer has them.
    pub fn advance(&mut self, rows: usize) {
        self.len += rows;
    }
}

impl LayerCache {
    /// A cache without positions.
    #[must_use]
    pub const fn new(shape: HeadShape, cache_type: CacheType) -> Self {
        Self { shape, cache_type, blocks: Vec::new() }
    }

    /// Writes the key (`[kv_heads × key_dim]`, f32) and value (`[kv_heads × value_dim]`, f32; unused where values are
    /// shared) of `position`, over what was there.
    pub fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let (index, offset) = (position / BLOCK_POSITIONS, position % BLOCK_POSITIONS);
        while self.blocks.len() <= index {
            self.blocks.push(Block::zeros(self.shape, self.cache_type));
        }
        let (block, shape) = (&mut self.blocks[index], self.shape);
        block.keys.write(offset, shape.key_dim, key);
        if !shape.shared_values {
            block.values.write(offset, shape.value_dim, value);
        }
    }

    /// The keys of `head` at positions `from..to` in runs that lie side by side.
    pub fn keys(&self, head: usize, from: usize, to: usize) -> impl Iterator<Item = Run<'_>> + Clone {
        let width = self.shape.key_dim;
        self.runs(head, from, to).map(move |(block, rows)| block.keys.run(rows, width))
    }

    /// The values of `head` at positions `from..to`, as [`Self::keys`]; the keys themselves where values are shared.
    pub fn values(&self, head: usize, from: usize, to: usize) -> impl Iterator<Item = Run<'_>> + Clone {
        let shape = self.shape;
        self.runs(head, from, to).map(move |(block, rows)| match shape.shared_values {
            true => block.keys.run(rows, shape.key_dim),
            false => block.values.run(rows, shape.value_dim),
        })
    }

    /// The blocks that hold `from..to`, with the rows that belong to `head` and those positions.
    fn runs(&self, head: usize, from: usize, to: usize) -> impl Iterator<Item = (&Block, Range<usize>)> + Clone {
        let first = from / BLOCK_POSITIONS;
        self.blocks.iter().enumerate().take(to.div_ceil(BLOCK_POSITIONS)).skip(first).map(move |(index, block)| {
            let base = index * BLOCK_POSITIONS;
            let start = head * BLOCK_POSITIONS + from.max(base) - base;
            let end = head * BLOCK_POSITIONS + to.min(base + BLOCK_POSITIONS) - base;
            (block, start..end)
        })
    }
}

impl Block {
    fn zeros(shape: HeadShape, cache_type: CacheType) -> Self {
        Self {
            keys: Stored::zeros(shape.block_keys(), cache_type),
            values: Stored::zeros(shape.block_values(), cache_type),
        }
    }
}

impl Stored {
    fn zeros(elements: usize, cache_type: CacheType) -> Self {
        match cache_type {
            CacheType::F16 => Self::F16(vec![0; elements]),
            CacheType::F32 => Self::F32(vec![0.0; elements]),
        }
    }

    /// Writes every head's row (`[heads × width]`, f32) at position `offset` of the block.
    fn write(&mut self, offset: usize, width: usize, rows: &[f32]) {
        for (head, row) in rows.chunks_exact(width).enumerate() {
            let start = (head * BLOCK_POSITIONS + offset) * width;
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

impl HeadShape {
    /// The heads of a model. Under latent attention all query heads share one key, the latent vector and the part
    /// with a position, whose first part is the value.
    #[must_use]
    pub fn of(config: &ModelConfig) -> Self {
        match config.latent {
            Some(latent) => Self {
                kv_heads: 1,
                key_dim: latent.kv_rank + latent.rope_dim,
                value_dim: latent.kv_rank,
                shared_values: true,
            },
            None => Self {
                kv_heads: config.kv_heads,
                key_dim: config.head_dim,
                value_dim: config.head_dim,
                shared_values: false,
            },
        }
    }

    const fn block_keys(self) -> usize {
        self.kv_heads * BLOCK_POSITIONS * self.key_dim
    }

    const fn block_values(self) -> usize {
        if self.shared_values { 0 } else { self.kv_heads * BLOCK_POSITIONS * self.value_dim }
    }

    const fn block_elements(self) -> usize {
        self.block_keys() + self.block_values()
    }
}

impl CacheType {
    /// f16 for a quantised model, f32 for a float one. Quantised it is when any weight is, be it of the trunk or of an
    /// expert; the embedding and the output projection alone do not make it so.
    #[must_use]
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let output = names::output(checkpoint.config());
        let mut inner = checkpoint.tensor_names().filter(|name| *name != names::EMBEDDING && *name != output);
        let is_quantised = |name| checkpoint.tensor(name).is_ok_and(|tensor| !tensor.tensor_type.is_float());
        if inner.any(is_quantised) { Self::F16 } else { Self::F32 }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::F16 => size_of::<u16>(),
            Self::F32 => size_of::<f32>(),
        }
    }
}

#[cfg(test)]
mod tests;
