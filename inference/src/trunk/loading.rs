//! Builds a trunk from a checkpoint, one tensor at a time.
//!
//! A tensor is converted to f32 and handed to the engine before the next is read, so that loading takes the memory of
//! the finished trunk and of one tensor more.

use std::sync::Arc;

use neuro_expert_runtime::{Engine, ExpertWeights, Linear, Weight, blocks};
use neuro_model::names::{self, ExpertTensorNames, FeedForwardNames, LayerTensorNames, ProjectionNames};
use neuro_model::{Checkpoint, ModelConfig};

use super::{FeedForward, Layer, Trunk};
use crate::attention::{Attention, AttentionShape};
use crate::dense::Dense;
use crate::embedding::Embedding;
use crate::error::LoadError;
use crate::kv_cache::{CacheType, HeadShape};
use crate::lm_head::LmHead;
use crate::norm::RmsNorm;
use crate::projection::Projection;
use crate::rope::Rope;
use crate::router::Router;

/// Reads tensors, counts them, and builds the parts of a trunk.
pub(super) struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    config: &'a ModelConfig,
    engine: Arc<dyn Engine>,
    progress: &'a mut dyn FnMut(u64),
    /// Stored bytes read so far.
    bytes_done: u64,
    /// Bytes that the parts built so far take.
    resident_bytes: u64,
}

impl<'a> Loader<'a> {
    /// A loader that has read nothing yet.
    pub(super) fn new(checkpoint: &'a Checkpoint, engine: Arc<dyn Engine>, progress: &'a mut dyn FnMut(u64)) -> Self {
        Self { checkpoint, config: checkpoint.config(), engine, progress, bytes_done: 0, resident_bytes: 0 }
    }

    /// Reads the whole trunk.
    pub(super) fn trunk(mut self) -> Result<Trunk, LoadError> {
        let embedding = self.embedding()?;
        // The configuration bounds the layers far below 2^16.
        let layers = (0_u16..).zip(0..self.config.layers).map(|(number, layer)| self.layer(number, layer));
        let layers = layers.collect::<Result<_, _>>()?;
        let lm_head = self.lm_head()?;
        Ok(Trunk {
            config: self.config.clone(),
            cache_type: CacheType::of(self.checkpoint),
            embedding,
            rope: Rope::new(self.config.head_dim, self.config.rope.theta),
            layers,
            lm_head,
            resident_bytes: self.resident_bytes,
        })
    }

    fn embedding(&mut self) -> Result<Embedding, LoadError> {
        let table = self.checkpoint.tensor(names::EMBEDDING)?;
        let embedding = Embedding::new(&table, self.config.vocab_size, self.config.d_model)
            .map_err(|source| LoadError::Elements { name: names::EMBEDDING.to_owned(), source })?;
        self.resident_bytes += embedding.resident_bytes();
        self.count(table.bytes.len());
        Ok(embedding)
    }

    fn layer(&mut self, number: u16, layer: usize) -> Result<Layer, LoadError> {
        let names = names::layer(self.config, layer);
        Ok(Layer {
            number,
            attention_norm: self.norm(&names.input_norm)?,
            attention: self.attention(layer, &names)?,
            feed_forward_norm: self.norm(&names.feed_forward_norm)?,
            feed_forward: self.feed_forward(number, &names.feed_forward)?,
        })
    }

    fn attention(&mut self, layer: usize, names: &LayerTensorNames) -> Result<Attention, LoadError> {
        let config = self.config;
        let query_key_norm = match (&names.query_norm, &names.key_norm) {
            (Some(query), Some(key)) => Some((self.norm(query)?, self.norm(key)?)),
            _ => None,
        };
        Ok(Attention {
            shape: AttentionShape { heads: config.heads, kv: HeadShape::of(config), window: config.windows[layer] },
            query: self.projection(&names.query)?,
            key: self.projection(&names.key)?,
            value: self.projection(&names.value)?,
            output: self.projection(&names.output)?,
            query_key_norm,
            clip: config.clip_qkv,
        })
    }

    fn feed_forward(&mut self, layer: u16, names: &FeedForwardNames) -> Result<FeedForward, LoadError> {
        match names {
            FeedForwardNames::Moe { router } => {
                let projection = Projection::new(self.linear(router)?, None);
                Ok(FeedForward::Experts(Router::new(self.config.router, projection)))
            }
            FeedForwardNames::Dense(names) => self.dense(layer, names).map(FeedForward::Dense),
        }
    }

    fn dense(&mut self, layer: u16, names: &ExpertTensorNames) -> Result<Dense, LoadError> {
        let weights = ExpertWeights {
            gate: self.weight(&names.gate)?,
            up: self.weight(&names.up)?,
            down: self.weight(&names.down)?,
            biases: None,
            activation: self.config.activation,
        };
        let name = format!("the dense network of layer {layer}");
        let network = self.engine.expert(&weights).map_err(|source| LoadError::Engine { name, source })?;
        self.resident_bytes += network.resident_bytes();
        Ok(Dense::new(network))
    }

    fn lm_head(&mut self) -> Result<LmHead, LoadError> {
        let norm = self.norm(names::FINAL_NORM)?;
        Ok(LmHead::new(norm, Projection::new(self.linear(names::output(self.config))?, None)))
    }

    fn norm(&mut self, name: &str) -> Result<RmsNorm, LoadError> {
        let norm = RmsNorm::new(self.values(name)?, self.config.rms_eps);
        self.resident_bytes += norm.resident_bytes();
        Ok(norm)
    }

    fn projection(&mut self, names: &ProjectionNames) -> Result<Projection, LoadError> {
        let linear = self.linear(&names.weight)?;
        let bias = names.bias.as_ref().map(|name| self.values(name)).transpose()?;
        self.resident_bytes += bias.as_deref().map_or(0, |bias| size_of_val(bias) as u64);
        Ok(Projection::new(linear, bias))
    }

    fn linear(&mut self, name: &str) -> Result<Box<dyn Linear>, LoadError> {
        let weight = self.weight(name)?;
        let refused = |source| LoadError::Engine { name: name.to_owned(), source };
        let linear = self.engine.linear(&weight).map_err(refused)?;
        self.resident_bytes += linear.resident_bytes();
        Ok(linear)
    }

    /// A tensor of two dimensions, `[out, in]`.
    fn weight(&mut self, name: &str) -> Result<Weight<'a>, LoadError> {
        let tensor = self.checkpoint.tensor(name)?;
        self.count(tensor.bytes.len());
        Weight::new(tensor).map_err(|source| LoadError::Engine { name: name.to_owned(), source })
    }

    /// A tensor's values as f32, all finite.
    fn values(&mut self, name: &str) -> Result<Vec<f32>, LoadError> {
        let tensor = self.checkpoint.tensor(name)?;
        let values = blocks::finite_f32(tensor.tensor_type, &tensor.bytes)
            .map_err(|source| LoadError::Elements { name: name.to_owned(), source })?;
        self.count(tensor.bytes.len());
        Ok(values)
    }

    fn count(&mut self, bytes: usize) {
        self.bytes_done += bytes as u64;
        (self.progress)(self.bytes_done);
    }
}
