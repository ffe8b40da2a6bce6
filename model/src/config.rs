//! `config.json`: what a model is, in numbers.
//!
//! Fields that the file leaves out have the defaults that the `transformers` library documents for the
//! architecture, since that library leaves out what equals its default when it saves. A setting that would change
//! the arithmetic and that this engine does not have (another rotary scaling, another activation, another packing of
//! weights) is an error, never ignored.
//!
//! Two keys are this project's own, for models that come from files with other layouts: `rope_interleave` (DeepSeek's
//! name, taken for every family: neighbours are rotated together) and `kv_b_split` (see [`LatentAttention::split`]).

mod architecture;
mod attention;
mod defaults;
mod error;
mod feed_forward;
mod fields;
mod rope;
mod router;

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::config::defaults::Defaults;
use crate::config::fields::Fields;

pub use crate::config::architecture::Architecture;
pub use crate::config::attention::{LatentAttention, QueryKeyNorm};
pub use crate::config::error::ConfigError;
pub use crate::config::feed_forward::{HiddenActivation, SharedExpert};
pub use crate::config::rope::{RopePairing, RopeScaling, RopeSettings};
pub use crate::config::router::{GroupRule, GroupScore, RouterRule, ScoreFunction};

/// The greatest value of a width, a head count or a row count. Twice the widest model known (about 2^16 at
/// feed-forward widths); it keeps every product of two of them far inside 64 bits.
pub const MAX_WIDTH: usize = 1 << 20;

/// The greatest vocabulary. The largest in use have about 2^18 tokens.
pub const MAX_VOCABULARY: usize = 1 << 24;

/// The greatest context in tokens. The longest in use have about 2^24.
pub const MAX_CONTEXT: usize = 1 << 28;

/// The greatest number of layers; the name of an expert has 16 bits for it, and no model has a tenth of this.
pub const MAX_LAYERS: usize = 4096;

/// The greatest number of experts in a layer; the name of an expert has 16 bits for it.
pub const MAX_EXPERTS: usize = 4096;

/// What a model is, in numbers. Made by [`ModelConfig::from_json`], which checks that they fit each other.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family, which decides tensor names and the router rule.
    pub architecture: Architecture,
    /// Rows of the embedding, and logits per position.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub d_model: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head; even. `heads * head_dim` need not be `d_model`.
    pub head_dim: usize,
    /// Positions that the model was made for, in tokens (`max_position_embeddings`).
    pub context: usize,
    /// Added to the mean square in RMS norms.
    pub rms_eps: f32,
    /// The rotary position embedding.
    pub rope: RopeSettings,
    /// How rows choose experts in every layer that has them.
    pub router: RouterRule,
    /// Width of an expert's feed-forward network.
    pub d_expert: usize,
    /// Layers without experts, ascending: their feed-forward network is dense and belongs to the trunk.
    pub dense_layers: Vec<usize>,
    /// Width of the dense layers' feed-forward network; unused where `dense_layers` is empty.
    pub d_dense: usize,
    /// The activation of every feed-forward network.
    pub activation: HiddenActivation,
    /// The output projection is the embedding.
    pub tie_embeddings: bool,
    /// Norm on queries and keys before the rotary embedding.
    pub qk_norm: QueryKeyNorm,
    /// Latent attention (DeepSeek), where it takes the place of grouped heads; `heads` is then the number of heads,
    /// and `kv_heads` and `head_dim` say nothing.
    pub latent: Option<LatentAttention>,
    /// Queries, keys and values have biases.
    pub query_key_value_bias: bool,
    /// The attention's output projection has a bias.
    pub output_bias: bool,
    /// Each head has a sink: a logit that takes part in the softmax and adds no value (gpt-oss).
    pub attention_sinks: bool,
    /// Queries, keys and values are clamped to ± this after projection and norm.
    pub clip_qkv: Option<f32>,
    /// For each layer: a position sees this many positions, itself included; `None` sees all. Present only where it
    /// is in force: shorter than the context, and switched on. `[layers]`.
    pub windows: Vec<Option<usize>>,
    /// A dense network beside the experts of every layer that has them; it belongs to the trunk and is added last.
    pub shared_expert: Option<SharedExpert>,
    /// Gate, up and down projections of experts have biases (gpt-oss).
    pub expert_bias: bool,
    /// Layers after the last that predict further tokens. Files may have them, and they are not used.
    pub prediction_layers: usize,
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// The tokens that end an answer.
    pub eos: Vec<u32>,
}

impl ModelConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    ///
    /// Not a JSON object; an architecture, activation, rotary scaling or weight quantisation that is not supported; a
    /// field of another type or out of range; fields that contradict each other.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        let fields = Fields::parse(bytes)?;
        let architecture = Architecture::from_fields(&fields)?;
        refuse_quantised(&fields, architecture)?;
        let config = Self::from_fields(&fields, architecture)?;
        config.check()?;
        Ok(config)
    }

    /// Whether the feed-forward network of `layer` is made of experts.
    #[must_use]
    pub fn is_moe(&self, layer: usize) -> bool {
        layer < self.layers && self.dense_layers.binary_search(&layer).is_err()
    }

    /// The layers that have experts, ascending.
    pub fn moe_layers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.layers).filter(|&layer| self.is_moe(layer))
    }

    /// Width of all query heads together.
    #[must_use]
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key heads together; values have the same.
    #[must_use]
    pub fn key_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    fn from_fields(fields: &Fields, architecture: Architecture) -> Result<Self, ConfigError> {
        let defaults = Defaults::of(architecture);
        let layers = fields.count("num_hidden_layers", defaults.layers, 1..=MAX_LAYERS)?;
        let d_model = fields.count("hidden_size", defaults.d_model, WIDTHS)?;
        let heads = fields.count("num_attention_heads", defaults.heads, WIDTHS)?;
        let context = fields.count("max_position_embeddings", defaults.context, 1..=MAX_CONTEXT)?;
        let d_dense = fields.count("intermediate_size", defaults.d_dense, WIDTHS)?;
        let d_expert = feed_forward::d_expert(architecture, fields, d_dense)?;
        let latent = attention::latent(architecture, fields)?;
        let (kv_heads, head_dim) = match &latent {
            Some(latent) => (heads, latent.nope_dim + latent.rope_dim),
            None => (kv_heads(fields, defaults, heads)?, head_dim(fields, defaults, d_model / heads)?),
        };
        let [query_key_value_bias, output_bias] = attention::biases(architecture, fields)?;
        Ok(Self {
            architecture,
            vocab_size: fields.count("vocab_size", defaults.vocab_size, 1..=MAX_VOCABULARY)?,
            d_model,
            layers,
            heads,
            kv_heads,
            head_dim,
            context,
            rms_eps: fields.positive("rms_norm_eps", defaults.rms_eps)? as f32,
            rope: RopeSettings::read(architecture, fields, context)?,
            router: router::read(architecture, fields)?,
            d_expert,
            dense_layers: feed_forward::dense_layers(architecture, fields, layers)?,
            d_dense,
            activation: HiddenActivation::read(architecture, fields)?,
            tie_embeddings: fields.flag("tie_word_embeddings", false)?,
            qk_norm: attention::qk_norm(architecture),
            latent,
            query_key_value_bias,
            output_bias,
            attention_sinks: architecture == Architecture::GptOss,
            clip_qkv: attention::clip_qkv(architecture, fields)?,
            windows: attention::windows(architecture, fields, layers, context)?,
            shared_expert: feed_forward::shared_expert(architecture, fields, d_expert)?,
            expert_bias: architecture == Architecture::GptOss,
            prediction_layers: fields.count("num_nextn_predict_layers", 0, 0..=MAX_LAYERS)?,
            bos: fields.token("bos_token_id", defaults.bos)?,
            eos: fields.tokens("eos_token_id", defaults.eos)?,
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(ConfigError::Heads { heads: self.heads, kv_heads: self.kv_heads });
        }
        let rotated = self.latent.map_or(self.head_dim, |latent| latent.rope_dim);
        if rotated == 0 || !rotated.is_multiple_of(2) {
            let field = if self.latent.is_some() { "qk_rope_head_dim" } else { "head_dim" };
            return Err(ConfigError::OddHead { field, got: rotated });
        }
        if self.router.top_k > self.router.experts {
            return Err(ConfigError::TopK { top_k: self.router.top_k, experts: self.router.experts });
        }
        if self.moe_layers().next().is_none() {
            return Err(ConfigError::NoExperts { layers: self.layers });
        }
        Ok(())
    }
}

/// The end-of-answer tokens of a `generation_config.json`, or `None` where it names none. They take the place of
/// those of `config.json`, as in `transformers`.
///
/// # Errors
///
/// Not a JSON object, or an `eos_token_id` that is neither a token, a list of tokens nor null.
pub fn generation_eos(bytes: &[u8]) -> Result<Option<Vec<u32>>, ConfigError> {
    let eos = Fields::parse(bytes)?.tokens("eos_token_id", &[])?;
    Ok(Some(eos).filter(|eos| !eos.is_empty()))
}

const WIDTHS: RangeInclusive<usize> = 1..=MAX_WIDTH;

/// A null means "as many as query heads"; a missing field means the architecture's default.
fn kv_heads(fields: &Fields, defaults: &Defaults, heads: usize) -> Result<usize, ConfigError> {
    let default = defaults.kv_heads.filter(|_| !fields.is_null("num_key_value_heads"));
    fields.count("num_key_value_heads", default.unwrap_or(heads), WIDTHS)
}

/// A null means "as many as there are for each query head".
fn head_dim(fields: &Fields, defaults: &Defaults, shared_out: usize) -> Result<usize, ConfigError> {
    let default = defaults.head_dim.filter(|_| !fields.is_null("head_dim"));
    fields.count("head_dim", default.unwrap_or(shared_out), WIDTHS)
}

/// gpt-oss is released in MXFP4; of other packings the arithmetic is not here.
fn refuse_quantised(fields: &Fields, architecture: Architecture) -> Result<(), ConfigError> {
    let Some(settings) = fields.get("quantization_config") else { return Ok(()) };
    let method = settings.get("quant_method").and_then(Value::as_str).unwrap_or("unnamed");
    match (architecture, method) {
        (Architecture::GptOss, "mxfp4") => Ok(()),
        _ => Err(ConfigError::Quantised { method: method.to_owned() }),
    }
}

#[cfg(test)]
mod tests;
