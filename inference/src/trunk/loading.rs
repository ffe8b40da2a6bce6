//! Builds a trunk from a checkpoint, one tensor at a time.
//!
//! A tensor is handed to the engine as it is stored before the next is read, so that loading takes the memory of the
//! finished trunk and of one tensor more.

mod attention;
mod feed_forward;

use std::borrow::Cow;
use std::sync::Arc;

use neuro_expert_runtime::{Engine, Linear, Weight, blocks};
use neuro_model::names::{self, ProjectionNames};
use neuro_model::{Checkpoint, ModelConfig, TensorData};

use super::{Layer, Trunk};
use crate::embedding::Embedding;
use crate::error::LoadError;
use crate::kv_cache::CacheType;
use crate::lm_head::LmHead;
use crate::norm::RmsNorm;
use crate::projection::Projection;
use crate::rope::Rope;

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
    /// Mapped bytes that were read and whose pages are still counted as this process's memory.
    mapped: Vec<&'a [u8]>,
}

impl<'a> Loader<'a> {
    /// A loader that has read nothing yet.
    pub(super) fn new(checkpoint: &'a Checkpoint, engine: Arc<dyn Engine>, progress: &'a mut dyn FnMut(u64)) -> Self {
        Self {
            checkpoint,
            config: checkpoint.config(),
            engine,
            progress,
            bytes_done: 0,
            resident_bytes: 0,
            mapped: Vec::new(),
        }
    }

    /// Reads the whole trunk.
    pub(super) fn trunk(mut self) -> Result<Trunk, LoadError> {
        let embedding = self.embedding()?;
        // The configuration bounds the layers far below 2^16.
        let layers = (0_u16..).zip(0..self.config.layers).map(|(number, layer)| self.layer(number, layer));
        let layers = layers.collect::<Result<_, _>>()?;
        let lm_head = self.lm_head()?;
        let rotated = self.config.latent.map_or(self.config.head_dim, |latent| latent.rope_dim);
        Ok(Trunk {
            config: self.config.clone(),
            cache_type: CacheType::of(self.checkpoint),
            embedding,
            rope: Rope::new(rotated, &self.config.rope),
            layers,
            lm_head,
            resident_bytes: self.resident_bytes,
        })
    }

    fn embedding(&mut self) -> Result<Embedding, LoadError> {
        let table = self.tensor(names::EMBEDDING)?;
        let embedding = Embedding::new(&table, self.config.vocab_size, self.config.d_model)
            .map_err(|source| LoadError::Elements { name: names::EMBEDDING.to_owned(), source })?;
        self.resident_bytes += embedding.resident_bytes();
        self.release();
        Ok(embedding)
    }

    fn layer(&mut self, number: u16, layer: usize) -> Result<Layer, LoadError> {
        let names = names::layer(self.config, layer);
        let layer = Layer {
            number,
            attention_norm: self.norm(&names.input_norm, self.config.rms_eps)?,
            attention: self.attention(layer, &names.attention)?,
            feed_forward_norm: self.norm(&names.feed_forward_norm, self.config.rms_eps)?,
            feed_forward: self.feed_forward(number, &names.feed_forward)?,
        };
        self.release();
        Ok(layer)
    }

    fn lm_head(&mut self) -> Result<LmHead, LoadError> {
        let norm = self.norm(names::FINAL_NORM, self.config.rms_eps)?;
        let projection = Projection::new(self.linear(names::output(self.config))?, None);
        self.release();
        Ok(LmHead::new(norm, projection))
    }

    /// Gives up the pages of what was read: the engine has its own copy, and a model is to take memory once.
    fn release(&mut self) {
        self.mapped.drain(..).for_each(|bytes| self.checkpoint.release(bytes));
    }

    fn norm(&mut self, name: &str, epsilon: f32) -> Result<RmsNorm, LoadError> {
        Ok(RmsNorm::new(self.values(name)?, epsilon))
    }

    fn projection(&mut self, names: &ProjectionNames) -> Result<Projection, LoadError> {
        let linear = self.linear(&names.weight)?;
        Ok(Projection::new(linear, self.optional_values(names.bias.as_deref())?))
    }

    fn linear(&mut self, name: &str) -> Result<Box<dyn Linear>, LoadError> {
        let weight = self.weight(name)?;
        self.linear_of(&weight)
    }

    fn linear_of(&mut self, weight: &Weight<'_>) -> Result<Box<dyn Linear>, LoadError> {
        let linear = self.engine.linear(weight).map_err(|source| refused(weight.name, source))?;
        self.resident_bytes += linear.resident_bytes();
        Ok(linear)
    }

    /// A tensor of two dimensions, `[out, in]`.
    fn weight(&mut self, name: &str) -> Result<Weight<'a>, LoadError> {
        Weight::new(self.tensor(name)?).map_err(|source| refused(name, source))
    }

    /// A tensor's values as f32, all finite.
    fn values(&mut self, name: &str) -> Result<Vec<f32>, LoadError> {
        let tensor = self.tensor(name)?;
        let values = blocks::finite_f32(tensor.tensor_type, &tensor.bytes)
            .map_err(|source| LoadError::Elements { name: name.to_owned(), source })?;
        self.resident_bytes += size_of_val(values.as_slice()) as u64;
        Ok(values)
    }

    fn optional_values(&mut self, name: Option<&str>) -> Result<Option<Vec<f32>>, LoadError> {
        name.map(|name| self.values(name)).transpose()
    }

    fn tensor(&mut self, name: &str) -> Result<TensorData<'a>, LoadError> {
        let tensor = self.checkpoint.tensor(name)?;
        self.bytes_done += tensor.bytes.len() as u64;
        if let Cow::Borrowed(bytes) = tensor.bytes {
            self.mapped.push(bytes);
        }
        (self.progress)(self.bytes_done);
        Ok(tensor)
    }
}

fn refused(name: &str, source: neuro_expert_runtime::EngineError) -> LoadError {
    LoadError::Engine { name: name.to_owned(), source }
}
