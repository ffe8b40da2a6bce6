//! `config.json`: what a model is, in numbers.
//!
//! Fields that the file leaves out have the defaults that the `transformers` library documents for the
//! architecture, since that library leaves out what equals its default when it saves. A setting that would change
//! the arithmetic and that this engine does not have (a scaled rotary embedding, another activation, quantised
//! weights) is an error, never ignored.

mod architecture;
mod error;
mod fields;
mod rope;

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::config::fields::Fields;

pub use crate::config::architecture::{
    Architecture, GroupRule, GroupScore, HiddenActivation, QueryKeyNorm, RouterRule, ScoreFunction,
};
pub use crate::config::error::ConfigError;

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
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// The tokens that end an answer.
    pub eos: Vec<u32>,
}

/// The rotary position embedding: "RoFormer", Su et al., arXiv 2104.09864.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeSettings {
    /// Base of the frequencies.
    pub theta: f64,
    /// Which elements of a head make a pair.
    pub pairing: RopePairing,
    /// How the frequencies are stretched for contexts longer than the model was first trained on.
    pub scaling: RopeScaling,
}

/// Which elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairing {
    /// Element `i` with element `i + n/2`: Hugging Face checkpoints, and GGUF's qwen, olmoe and gpt-oss.
    Halves,
    /// Element `2i` with element `2i + 1`: DeepSeek, and GGUF's llama.
    Neighbours,
}

/// How rotary frequencies are stretched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All frequencies divided by `factor`.
    Linear {
        /// How much longer the context is.
        factor: f64,
    },
    /// "YaRN", Peng et al., arXiv 2309.00071: low frequencies are divided, high ones kept, with a ramp between.
    Yarn {
        /// How much longer the context is.
        factor: f64,
        /// Positions that the model was first trained on.
        original_context: f64,
        /// Rotations over the original context above which a frequency is kept.
        beta_fast: f64,
        /// Rotations over the original context below which a frequency is divided.
        beta_slow: f64,
        /// Whether the ramp's ends are rounded to whole dimensions (`truncate`).
        truncate: bool,
        /// What sines and cosines are multiplied by.
        attention_factor: f64,
        /// What attention scores are multiplied by besides `1/√width` (DeepSeek's `mscale_all_dim`, squared; else 1).
        score_factor: f64,
    },
}

/// Latent attention: "DeepSeek-V2", arXiv 2405.04434, section 2.1. Keys and values of all heads are made of one short
/// vector per position, which is what the cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatentAttention {
    /// Width of the queries' latent vector; `None` where queries are projected at once.
    pub query_rank: Option<usize>,
    /// Width of the keys' and values' latent vector.
    pub kv_rank: usize,
    /// Elements of a head's query and key without a position.
    pub nope_dim: usize,
    /// Elements of a head's query with a position; the key's are shared by all heads.
    pub rope_dim: usize,
    /// Elements of a head's value.
    pub value_dim: usize,
    /// The checkpoint has the up projections of keys and values apart, keys transposed (`attn_k_b`, `attn_v_b` of
    /// GGUF), and not in one (`kv_b_proj`).
    pub split: bool,
}

/// A dense network beside the experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedExpert {
    /// Its width; that of several shared experts together.
    pub width: usize,
    /// Its output is multiplied by `sigmoid(x · gate)`, one number per row (Qwen2-MoE).
    pub gated: bool,
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
        refuse_quantised(&fields)?;
        let config = Self::from_fields(&fields, Architecture::from_fields(&fields)?)?;
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
        let defaults = architecture.defaults();
        let layers = fields.count("num_hidden_layers", defaults.layers, 1..=MAX_LAYERS)?;
        let d_model = fields.count("hidden_size", defaults.d_model, WIDTHS)?;
        let heads = fields.count("num_attention_heads", defaults.heads, WIDTHS)?;
        let context = fields.count("max_position_embeddings", defaults.context, 1..=MAX_CONTEXT)?;
        let d_dense = fields.count("intermediate_size", defaults.d_dense, WIDTHS)?;
        Ok(Self {
            architecture,
            vocab_size: fields.count("vocab_size", defaults.vocab_size, 1..=MAX_VOCABULARY)?,
            d_model,
            layers,
            heads,
            kv_heads: fields.count(
                "num_key_value_heads",
                kv_heads_default(fields, defaults.kv_heads, heads),
                WIDTHS,
            )?,
            head_dim: fields.count("head_dim", d_model / heads, WIDTHS)?,
            context,
            rms_eps: fields.positive("rms_norm_eps", defaults.rms_eps)? as f32,
            rope: RopeSettings {
                theta: rope::theta(fields, defaults.rope_theta)?,
                pairing: RopePairing::Halves,
                scaling: RopeScaling::None,
            },
            router: architecture.router(fields)?,
            d_expert: architecture.d_expert(fields, d_dense)?,
            dense_layers: architecture.dense_layers(fields, layers)?,
            d_dense,
            activation: HiddenActivation::from_fields(fields)?,
            tie_embeddings: fields.flag("tie_word_embeddings", false)?,
            qk_norm: architecture.qk_norm(),
            latent: None,
            query_key_value_bias: architecture.attention_bias(fields)?,
            output_bias: architecture.attention_bias(fields)?,
            attention_sinks: false,
            clip_qkv: architecture.clip_qkv(fields)?,
            windows: vec![architecture.sliding_window(fields)?.filter(|&window| window < context); layers],
            shared_expert: None,
            expert_bias: false,
            bos: fields.token("bos_token_id", defaults.bos)?,
            eos: fields.tokens("eos_token_id", defaults.eos)?,
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(ConfigError::Heads { heads: self.heads, kv_heads: self.kv_heads });
        }
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) {
            return Err(ConfigError::OddHead { head_dim: self.head_dim });
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
fn kv_heads_default(fields: &Fields, default: Option<usize>, heads: usize) -> usize {
    if fields.is_null("num_key_value_heads") { heads } else { default.unwrap_or(heads) }
}

fn refuse_quantised(fields: &Fields) -> Result<(), ConfigError> {
    let Some(settings) = fields.get("quantization_config") else { return Ok(()) };
    let method = settings.get("quant_method").and_then(Value::as_str).unwrap_or("unnamed");
    Err(ConfigError::Quantised { method: method.to_owned() })
}

#[cfg(test)]
mod tests;
