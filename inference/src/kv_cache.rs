//! Keys and values of the positions seen so far, in pages.
//!
//! A page holds [`PAGE_POSITIONS`] positions of every layer. A sequence has a table of pages, in order; the pages lie in a
//! [`PagePool`], which bounds how many there are. Growth takes a page and never copies, and within a page the rows of one
//! head lie side by side, so attention reads memory in order. Where a page ends changes no bit of attention.

mod layer;
mod page;
mod pool;

use neuro_model::{Checkpoint, ModelConfig, names};

pub use layer::LayerPages;
pub use page::PAGE_POSITIONS;
pub use pool::{PageId, PageLayout, PagePool};

/// Keys (rotated) and values of one sequence, all layers, in pages of its own without a bound.
#[derive(Debug, Clone)]
pub struct KvCache {
    pool: PagePool,
    pages: Vec<PageId>,
    context: usize,
    len: usize,
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

impl KvCache {
    /// An empty cache for a sequence of at most `config.context` positions.
    #[must_use]
    pub fn new(config: &ModelConfig, cache_type: CacheType) -> Self {
        let pool = PagePool::unbounded(PageLayout::of(config, cache_type));
        Self { pool, pages: Vec::new(), context: config.context, len: 0 }
    }

    /// How keys and values are kept.
    #[must_use]
    pub const fn cache_type(&self) -> CacheType {
        self.pool.layout().cache_type
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

    /// Forgets every position from `len` on, and frees the pages that only they used. No-op when fewer are held.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        let kept = self.len.div_ceil(PAGE_POSITIONS).min(self.pages.len());
        for page in self.pages.drain(kept..) {
            self.pool.release(page);
        }
    }

    /// Bytes allocated for keys and values.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.pool.used() as u64 * self.pool.layout().page_bytes()
    }

    /// How a page of it looks, which says what models it can be used for.
    #[must_use]
    pub const fn layout(&self) -> PageLayout {
        self.pool.layout()
    }

    /// Makes room for `rows` more positions. The pages and the table of what is written into them.
    pub(crate) fn grown(&mut self, rows: usize) -> (&mut PagePool, &[PageId]) {
        let wanted = (self.len + rows).div_ceil(PAGE_POSITIONS);
        while self.pages.len() < wanted {
            // A pool without a bound always has another page.
            let Some(page) = self.pool.allocate() else { break };
            self.pages.push(page);
        }
        (&mut self.pool, &self.pages)
    }

    /// Counts `rows` more positions as held, once every layer has them.
    pub(crate) const fn advance(&mut self, rows: usize) {
        self.len += rows;
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

    const fn page_keys(self) -> usize {
        self.kv_heads * PAGE_POSITIONS * self.key_dim
    }

    const fn page_values(self) -> usize {
        if self.shared_values { 0 } else { self.kv_heads * PAGE_POSITIONS * self.value_dim }
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
