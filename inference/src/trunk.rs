//! The trunk and its layer loop.

mod loading;

use std::ops::Range;
use std::sync::Arc;

use neuro_expert_runtime::Engine;
use neuro_model::{Checkpoint, ModelConfig};
use neuro_primitives::Rows;

use crate::attention::Attention;
use crate::dense::Dense;
use crate::embedding::Embedding;
use crate::error::{ForwardError, LoadError};
use crate::experts::{ExpertLayers, ExpertsError};
use crate::kv_cache::{CacheType, HeadShape, KvCache};
use crate::lm_head::LmHead;
use crate::norm::RmsNorm;
use crate::rope::{Rope, Rotation};
use crate::router::{Router, RouterError};
use crate::sums;

/// Rows that go through the layers together. A task frame carries no more; twice as many would double the memory of a
/// prefill's hidden states and every message to a worker.
pub const MAX_CHUNK_ROWS: usize = 512;

/// Everything of a model but its experts.
pub struct Trunk {
    config: ModelConfig,
    cache_type: CacheType,
    embedding: Embedding,
    rope: Rope,
    layers: Vec<Layer>,
    lm_head: LmHead,
    resident_bytes: u64,
}

/// One layer of the trunk.
struct Layer {
    /// How calls name it, from 0.
    number: u16,
    attention_norm: RmsNorm,
    attention: Attention,
    feed_forward_norm: RmsNorm,
    feed_forward: FeedForward,
}

/// What follows a layer's attention.
enum FeedForward {
    /// Experts, which someone else computes.
    Experts(Router),
    /// A network that every row takes.
    Dense(Dense),
}

/// The rows on their way through the layers.
struct Chunk {
    /// Position of the first row.
    first: usize,
    rotation: Rotation,
}

impl Trunk {
    /// Loads the trunk of `checkpoint` on `engine`, one tensor at a time; experts are not touched. `progress` hears
    /// after each tensor how many stored bytes were read so far.
    ///
    /// # Errors
    /// When a tensor is missing, has the wrong shape, or holds a value that is not finite, or the engine refuses it.
    pub fn load(
        checkpoint: &Checkpoint,
        engine: Arc<dyn Engine>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, LoadError> {
        loading::Loader::new(checkpoint, engine, progress).trunk()
    }

    /// The model's configuration.
    #[must_use]
    pub const fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// An empty cache for one sequence of this model.
    #[must_use]
    pub fn new_cache(&self) -> KvCache {
        KvCache::new(&self.config, self.cache_type)
    }

    /// How this model's caches keep keys and values.
    #[must_use]
    pub const fn cache_type(&self) -> CacheType {
        self.cache_type
    }

    /// Bytes that the weights take in memory.
    #[must_use]
    pub const fn resident_bytes(&self) -> u64 {
        self.resident_bytes
    }

    /// Runs `ids` as the next positions of the sequence in `cache` and returns the logits (`[vocab]`, f32) of the last.
    ///
    /// Works in chunks of at most [`MAX_CHUNK_ROWS`]; the cache grows chunk by chunk.
    ///
    /// # Errors
    /// When an id is outside the vocabulary or the context is full (nothing was run then), when the experts or the
    /// engine fail, or when the arithmetic left the finite numbers. The cache then holds the chunks before the failure.
    pub fn forward(
        &self,
        cache: &mut KvCache,
        ids: &[u32],
        experts: &dyn ExpertLayers,
    ) -> Result<Vec<f32>, ForwardError> {
        self.check(cache, ids)?;
        let mut last = Vec::new();
        for chunk in ids.chunks(MAX_CHUNK_ROWS) {
            let hidden = self.forward_chunk(cache, chunk, experts)?;
            last = hidden.row(hidden.count() - 1).to_vec();
        }
        let logits = self.lm_head.logits(&last)?;
        if logits.iter().all(|logit| logit.is_finite()) {
            return Ok(logits);
        }
        Err(ForwardError::NotFinite { what: "logits", layer: self.layers.len(), position: cache.len() - 1 })
    }

    fn check(&self, cache: &KvCache, ids: &[u32]) -> Result<(), ForwardError> {
        let (config, vocab_size) = (&self.config, self.embedding.vocab_size());
        if !cache.fits(config.layers, HeadShape::of(config), self.cache_type) {
            return Err(ForwardError::WrongCache { expected: config.layers, got: cache.layers() });
        }
        if ids.is_empty() {
            return Err(ForwardError::NoTokens);
        }
        if let Some(&id) = ids.iter().find(|id| **id as usize >= vocab_size) {
            return Err(ForwardError::TokenOutOfVocabulary { id, vocab_size });
        }
        let (context, wanted) = (cache.context().min(config.context), cache.len() + ids.len());
        if wanted > context { Err(ForwardError::ContextFull { context, wanted }) } else { Ok(()) }
    }

    /// The layer loop. `[ids]` → the hidden states after the last layer, `[ids, d_model]`, f32.
    fn forward_chunk(
        &self,
        cache: &mut KvCache,
        ids: &[u32],
        experts: &dyn ExpertLayers,
    ) -> Result<Rows, ForwardError> {
        let positions = cache.len()..cache.len() + ids.len();
        let chunk = Chunk::new(&self.rope, positions);
        let mut hidden = self.embed(ids)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = layer.attention_norm.apply(&hidden);
            let attended = layer.attention.apply(&normed, chunk.first, &chunk.rotation, cache.layer_mut(index))?;
            sums::add(hidden.values_mut(), attended.values());

            let normed = layer.feed_forward_norm.apply(&hidden);
            let fed = layer.feed_forward(&normed, &chunk, experts)?;
            sums::add(hidden.values_mut(), fed.values());
        }
        cache.advance(ids.len());
        Ok(hidden)
    }

    fn embed(&self, ids: &[u32]) -> Result<Rows, ForwardError> {
        let vocab_size = self.embedding.vocab_size();
        self.embedding.rows(ids).map_err(|id| ForwardError::TokenOutOfVocabulary { id, vocab_size })
    }
}

impl Layer {
    /// `hidden` (`[rows, d_model]`, f32, normalised) → what the feed-forward part adds to it, `[rows, d_model]`, f32.
    fn feed_forward(&self, hidden: &Rows, chunk: &Chunk, experts: &dyn ExpertLayers) -> Result<Rows, ForwardError> {
        let router = match &self.feed_forward {
            FeedForward::Dense(dense) => return Ok(dense.apply(hidden)?),
            FeedForward::Experts(router) => router,
        };
        let routes = router.route(hidden).map_err(|error| self.router_error(error, chunk))?;
        let sums = experts.run(self.number, hidden, &routes)?;
        check_shape(hidden, &sums)?;
        Ok(sums)
    }

    fn router_error(&self, error: RouterError, chunk: &Chunk) -> ForwardError {
        match error {
            RouterError::Engine(error) => error.into(),
            RouterError::NotFinite { row } => ForwardError::NotFinite {
                what: "router logits",
                layer: usize::from(self.number),
                position: chunk.first + row,
            },
        }
    }
}

impl Chunk {
    fn new(rope: &Rope, positions: Range<usize>) -> Self {
        Self { first: positions.start, rotation: rope.rotation(positions) }
    }
}

/// Sums of the wrong shape would be added to the wrong rows.
fn check_shape(hidden: &Rows, sums: &Rows) -> Result<(), ExpertsError> {
    let (expected, got) = ((hidden.count(), hidden.width()), (sums.count(), sums.width()));
    if expected == got {
        return Ok(());
    }
    Err(ExpertsError { message: format!("expected expert sums of shape {expected:?}, got {got:?}"), retryable: false })
}
