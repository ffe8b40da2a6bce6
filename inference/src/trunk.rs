//! The trunk and its layer loop.

mod loading;

use std::sync::Arc;

use neuro_expert_runtime::Engine;
use neuro_model::{Checkpoint, ModelConfig};
use neuro_primitives::Rows;

use crate::attention::{Attention, Span};
use crate::dense::{Dense, SharedExpert};
use crate::embedding::Embedding;
use crate::error::{ForwardError, LoadError};
use crate::experts::{ExpertLayers, ExpertsError};
use crate::kv_cache::{CacheType, HeadShape, KvCache, LayerCache};
use crate::lm_head::LmHead;
use crate::norm::RmsNorm;
use crate::rope::Rope;
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
        self.check(cache, ids)?;
        let (mut last, chunks) = (Vec::new(), ids.len().div_ceil(MAX_CHUNK_ROWS));
        for (index, chunk) in ids.chunks(MAX_CHUNK_ROWS).enumerate() {
            let wanted = usize::from(index + 1 == chunks);
            last = self.forward_chunk(cache, (chunk, wanted), experts, after_layer)?.into_values();
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

    /// The layer loop. `[ids]` → the hidden states of the last `wanted` rows after the last layer,
    /// `[wanted, d_model]`, f32. The last layer computes nothing else for the others than their keys and values.
    fn forward_chunk(
        &self,
        cache: &mut KvCache,
        (ids, wanted): (&[u32], usize),
        experts: &dyn ExpertLayers,
        after_layer: &mut dyn FnMut(usize, &Rows),
    ) -> Result<Rows, ForwardError> {
        let first = cache.len();
        let rotation = self.rope.rotation(first..first + ids.len());
        let mut hidden = self.embed(ids)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let asking = if index + 1 == self.layers.len() { wanted } else { ids.len() };
            let span = Span { first, asking, rotation: &rotation };
            hidden = layer.apply(hidden, &span, cache.layer_mut(index), experts)?;
            after_layer(index, &hidden);
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
    /// `hidden` (`[rows, d_model]`, f32) → the rows that ask after this layer, `[span.asking, d_model]`, f32.
    fn apply(
        &self,
        mut hidden: Rows,
        span: &Span<'_>,
        cache: &mut LayerCache,
        experts: &dyn ExpertLayers,
    ) -> Result<Rows, ForwardError> {
        let attended = self.attention.apply(&self.attention_norm.apply(&hidden), span, cache)?;
        let skipped = hidden.count() - attended.count();
        if skipped > 0 {
            hidden = hidden.slice(skipped, hidden.count());
        }
        if hidden.count() > 0 {
            sums::add(hidden.values_mut(), attended.values());
            let normed = self.feed_forward_norm.apply(&hidden);
            let fed = self.feed_forward(&normed, span.first + skipped, experts)?;
            sums::add(hidden.values_mut(), fed.values());
        }
        Ok(hidden)
    }

    /// `hidden` (`[rows, d_model]`, f32, normalised), the first row at position `first` → what the feed-forward part
    /// adds to it, `[rows, d_model]`, f32.
    fn feed_forward(&self, hidden: &Rows, first: usize, experts: &dyn ExpertLayers) -> Result<Rows, ForwardError> {
        let block = match &self.feed_forward {
            FeedForward::Dense(dense) => return Ok(dense.apply(hidden)?),
            FeedForward::Experts(block) => block,
        };
        let routes = block.router.route(hidden).map_err(|error| self.router_error(error, first))?;
        let mut sums = experts.run(self.number, hidden, &routes)?;
        check_shape(hidden, &sums)?;
        if let Some(shared) = &block.shared {
            sums::add(sums.values_mut(), shared.apply(hidden)?.values());
        }
        Ok(sums)
    }

    fn router_error(&self, error: RouterError, first: usize) -> ForwardError {
        match error {
            RouterError::Engine(error) => error.into(),
            RouterError::NotFinite { row } => ForwardError::NotFinite {
                what: "router logits",
                layer: usize::from(self.number),
                position: first + row,
            },
        }
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
