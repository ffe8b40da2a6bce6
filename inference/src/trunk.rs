//! The trunk and its layer loop.

mod loading;
mod pass;

use std::sync::Arc;

use neuro_expert_runtime::Engine;
use neuro_model::{Checkpoint, ModelConfig};
use neuro_primitives::{JobId, Rows};

use crate::attention::Attention;
use crate::dense::{Dense, SharedExpert};
use crate::embedding::Embedding;
use crate::error::{ForwardError, LoadError};
use crate::experts::ExpertLayers;
use crate::kv_cache::{CacheType, KvCache, PageLayout};
use crate::lm_head::LmHead;
use crate::norm::RmsNorm;
use crate::rope::Rope;
use crate::router::Router;

pub use pass::{PassError, Portion};

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
    /// Experts, and what stands beside them.
    Experts(Box<ExpertBlock>),
    /// A network that every row takes.
    Dense(Dense),
}

/// The trunk's part of a layer with experts.
struct ExpertBlock {
    /// Chooses the experts, which someone else computes.
    router: Router,
    /// Added to their sums, in models that have it.
    shared: Option<SharedExpert>,
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
        self.forward_watched(cache, ids, experts, &mut |_, _| ())
    }

    /// As [`Self::forward`]; `after_layer` is called with each layer's number from 0 and what it hands the next,
    /// `[rows, d_model]`, f32. The last of these rows is the last of its chunk.
    ///
    /// # Errors
    /// As there.
    pub fn forward_watched(
        &self,
        cache: &mut KvCache,
        ids: &[u32],
        experts: &dyn ExpertLayers,
        after_layer: &mut dyn FnMut(usize, &Rows),
    ) -> Result<Vec<f32>, ForwardError> {
        self.check_cache(cache, ids)?;
        let (mut logits, chunks) = (Vec::new(), ids.len().div_ceil(MAX_CHUNK_ROWS));
        for (index, chunk) in ids.chunks(MAX_CHUNK_ROWS).enumerate() {
            let (first, wants_logits) = (cache.len(), index + 1 == chunks);
            let (pool, pages) = cache.grown(chunk.len());
            let portion = Portion { job: JobId(0), pages, first, ids: chunk, wants_logits };
            logits = self.pass(pool, &[portion], experts, after_layer)?;
            cache.advance(chunk.len());
        }
        let logits = logits.pop().flatten().unwrap_or_default();
        self.check_finite(&logits, cache.len() - 1)?;
        Ok(logits)
    }

    /// Whether logits (`[vocab]`, f32) that follow `position` can be drawn from.
    ///
    /// # Errors
    /// [`ForwardError::NotFinite`].
    pub fn check_finite(&self, logits: &[f32], position: usize) -> Result<(), ForwardError> {
        if logits.iter().all(|logit| logit.is_finite()) {
            return Ok(());
        }
        Err(ForwardError::NotFinite { what: "logits", layer: self.layers.len(), position })
    }

    /// Whether `ids` are tokens of this model.
    ///
    /// # Errors
    /// [`ForwardError::NoTokens`], [`ForwardError::TokenOutOfVocabulary`].
    pub fn check_ids(&self, ids: &[u32]) -> Result<(), ForwardError> {
        let vocab_size = self.embedding.vocab_size();
        match ids.iter().find(|id| **id as usize >= vocab_size) {
            Some(&id) => Err(ForwardError::TokenOutOfVocabulary { id, vocab_size }),
            None if ids.is_empty() => Err(ForwardError::NoTokens),
            None => Ok(()),
        }
    }

    /// How pages of this model's keys and values look.
    #[must_use]
    pub fn page_layout(&self) -> PageLayout {
        PageLayout::of(&self.config, self.cache_type)
    }

    fn check_cache(&self, cache: &KvCache, ids: &[u32]) -> Result<(), ForwardError> {
        let (layout, context) = (cache.layout(), cache.context().min(self.config.context));
        if layout != self.page_layout() {
            return Err(ForwardError::WrongCache { expected: self.config.layers, got: layout.layers });
        }
        self.check_ids(ids)?;
        let wanted = cache.len() + ids.len();
        if wanted > context { Err(ForwardError::ContextFull { context, wanted }) } else { Ok(()) }
    }
}
