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
    /// Elements of a head.
    pub head_dim: usize,
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
    pub fn new(config: &ModelConfig) -> Self {
        let shape = HeadShape { kv_heads: config.kv_heads, head_dim: config.head_dim };
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
        (blocks * 2 * self.shape.block_elements() * size_of::<f32>()) as u64
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

    /// Writes the key and value (`[kv_heads × head_dim]`, f32 each) of `position`, over what was there.
    pub fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let (index, offset) = (position / BLOCK_POSITIONS, position % BLOCK_POSITIONS);
        while self.blocks.len() <= index {
            self.blocks.push(Block::zeros(self.shape));
        }
        let (block, width) = (&mut self.blocks[index], self.shape.head_dim);
        for (head, (key, value)) in key.chunks_exact(width).zip(value.chunks_exact(width)).enumerate() {
            let start = (head * BLOCK_POSITIONS + offset) * width;
            block.keys[start..start + width].copy_from_slice(key);
            block.values[start..start + width].copy_from_slice(value);
        }
    }

    /// The keys of `head` at positions `from..to` in runs that lie side by side: `[positions, head_dim]` each, f32.
    pub fn keys(&self, head: usize, from: usize, to: usize) -> impl Iterator<Item = &[f32]> {
        self.runs(head, from, to).map(|(block, start, end)| &block.keys[start..end])
    }

    /// The values of `head` at positions `from..to`, as [`Self::keys`].
    pub fn values(&self, head: usize, from: usize, to: usize) -> impl Iterator<Item = &[f32]> {
        self.runs(head, from, to).map(|(block, start, end)| &block.values[start..end])
    }

    /// The blocks that hold `from..to`, with the stretch of elements that belongs to `head` and those positions.
    fn runs(&self, head: usize, from: usize, to: usize) -> impl Iterator<Item = (&Block, usize, usize)> {
        let width = self.shape.head_dim;
        let first = from / BLOCK_POSITIONS;
        self.blocks.iter().enumerate().take(to.div_ceil(BLOCK_POSITIONS)).skip(first).map(move |(index, block)| {
            let base = index * BLOCK_POSITIONS;
            let start = head * BLOCK_POSITIONS + from.max(base) - base;
            let end = head * BLOCK_POSITIONS + to.min(base + BLOCK_POSITIONS) - base;
            (block, start * width, end * width)
        })
    }
}

impl Block {
    fn zeros(shape: HeadShape) -> Self {
        Self { keys: vec![0.0; shape.block_elements()], values: vec![0.0; shape.block_elements()] }
    }
}

impl HeadShape {
    const fn block_elements(self) -> usize {
        self.kv_heads * BLOCK_POSITIONS * self.head_dim
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: HeadShape = HeadShape { kv_heads: 2, head_dim: 2 };

    fn layer(positions: usize) -> LayerCache {
        let mut layer = LayerCache::new(SHAPE);
        for position in 0..positions {
            let p = position as f32;
            layer.write(position, &[p, 0.0, p, 1.0], &[-p, 0.0, -p, 1.0]);
        }
        layer
    }

    fn cache(positions: usize) -> KvCache {
        KvCache { shape: SHAPE, context: 1000, len: positions, layers: vec![layer(positions); 3] }
    }

    #[test]
    fn a_range_across_blocks_comes_back_in_order() {
        let layer = layer(3 * BLOCK_POSITIONS);
        let (from, to) = (BLOCK_POSITIONS - 2, 2 * BLOCK_POSITIONS + 5);
        for head in 0..2 {
            let keys: Vec<f32> = layer.keys(head, from, to).flatten().copied().collect();
            let expected: Vec<f32> = (from..to).flat_map(|p| [p as f32, head as f32]).collect();
            assert_eq!(keys, expected);
            let values: Vec<f32> = layer.values(head, from, to).flatten().copied().collect();
            let expected: Vec<f32> = (from..to).flat_map(|p| [-(p as f32), head as f32]).collect();
            assert_eq!(values, expected);
        }
        assert_eq!(layer.keys(0, from, to).count(), 3);
    }

    #[test]
    fn truncation_frees_whole_blocks_and_never_lengthens() {
        let mut cache = cache(BLOCK_POSITIONS + 1);
        let two_blocks = cache.bytes();
        cache.truncate(500);
        assert_eq!((cache.len(), cache.bytes()), (BLOCK_POSITIONS + 1, two_blocks));
        cache.truncate(BLOCK_POSITIONS);
        assert_eq!((cache.len(), cache.bytes()), (BLOCK_POSITIONS, two_blocks / 2));
        cache.truncate(0);
        assert!(cache.is_empty());
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn a_block_takes_what_it_says() {
        // 3 layers, keys and values, 2 heads of 2 elements of 4 bytes
        assert_eq!(cache(1).bytes(), (3 * 2 * BLOCK_POSITIONS * 2 * 2 * 4) as u64);
        assert_eq!(cache(0).bytes(), 0);
    }

    #[test]
    fn a_cache_knows_its_model() {
        let cache = cache(0);
        assert!(cache.fits(3, SHAPE));
        assert!(!cache.fits(2, SHAPE));
        assert!(!cache.fits(3, HeadShape { kv_heads: 1, ..SHAPE }));
    }
}
