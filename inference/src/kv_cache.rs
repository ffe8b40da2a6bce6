//! Keys and values of the positions seen so far.
//!
//! A layer's cache is a list of blocks of [`BLOCK_POSITIONS`] positions. Growth allocates a block and never copies, and
//! within a block the rows of one head lie side by side, so attention reads memory in order.

use neuro_model::ModelConfig;

/// Positions of one block. At 8 heads of 128 elements a block takes 1 MiB a layer; twice as many would waste more at
/// the end of short sequences, half as many would end the run of a head too soon.
pub const BLOCK_POSITIONS: usize = 128;

/// Keys (rotated) and values of one sequence, all layers, f32.
#[derive(Debug, Clone)]
pub struct KvCache {
    shape: HeadShape,
    context: usize,
    len: usize,
    layers: Vec<LayerCache>,
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
    /// A value is the first elements of its key, and is not stored again.
    pub shared_values: bool,
}

/// How elements are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheType {
    /// Halves.
    F16,
    /// Floats.
    F32,
}

/// Keys and values of one layer.
#[derive(Debug, Clone)]
pub struct LayerCache {
    shape: HeadShape,
    blocks: Vec<Block>,
}

/// `[kv_heads, BLOCK_POSITIONS, head_dim]` each, f32.
#[derive(Debug, Clone)]
struct Block {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KvCache {
    /// An empty cache for a sequence of at most `config.context` positions.
    #[must_use]
    pub fn new(config: &ModelConfig, _cache_type: CacheType) -> Self {
        let shape = HeadShape::of(config);
        let layers = (0..config.layers).map(|_| LayerCache::new(shape)).collect();
        Self { shape, context: config.context, len: 0, layers }
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
        (blocks * 2 * self.shape.kv_heads * BLOCK_POSITIONS * self.shape.key_dim * size_of::<f32>()) as u64
    }

    /// Whether it was made for a model of `layers` layers with such heads.
    #[must_use]
    pub fn fits(&self, layers: usize, shape: HeadShape) -> bool {
        self.layers.len() == layers && self.shape == shape
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
    pub const fn new(shape: HeadShape) -> Self {
        Self { shape, blocks: Vec::new() }
    }

    /// Writes the key and value (`[kv_heads × key_dim]`, `[kv_heads × value_dim]`, f32) of `position`.
    pub fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let (index, offset) = (position / BLOCK_POSITIONS, position % BLOCK_POSITIONS);
        while self.blocks.len() <= index {
            self.blocks.push(Block::zeros(self.shape));
        }
        let block = &mut self.blocks[index];
        let put = |rows: &mut [f32], width: usize, row: &[f32]| {
            for (head, row) in row.chunks_exact(width).enumerate() {
                let start = (head * BLOCK_POSITIONS + offset) * width;
                rows[start..start + width].copy_from_slice(row);
            }
        };
        put(&mut block.keys, self.shape.key_dim, key);
        if !self.shape.shared_values {
            put(&mut block.values, self.shape.value_dim, value);
        }
    }

    /// Keys and values of `head` at positions `from..to`.
    pub fn positions(&self, head: usize, from: usize, to: usize) -> impl Iterator<Item = (&[f32], &[f32])> {
        let shape = self.shape;
        (from..to).map(move |position| {
            let block = &self.blocks[position / BLOCK_POSITIONS];
            let at = head * BLOCK_POSITIONS + position % BLOCK_POSITIONS;
            let key = &block.keys[at * shape.key_dim..(at + 1) * shape.key_dim];
            let value = if shape.shared_values {
                &key[..shape.value_dim]
            } else {
                &block.values[at * shape.value_dim..(at + 1) * shape.value_dim]
            };
            (key, value)
        })
    }
}

impl Block {
    fn zeros(shape: HeadShape) -> Self {
        let values = if shape.shared_values { 0 } else { shape.kv_heads * BLOCK_POSITIONS * shape.value_dim };
        Self { keys: vec![0.0; shape.kv_heads * BLOCK_POSITIONS * shape.key_dim], values: vec![0.0; values] }
    }
}

impl HeadShape {
    /// The heads that a model of `config` keeps.
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
}
