//! What the tensors of a checkpoint are called, and what shape each must have.
//!
//! Weights of linear layers are stored `[out, in]`. The trunk is everything but the experts' three projections: the
//! router belongs to it, and so does an expert that every row goes through. Names are those of Hugging Face folders
//! with one tensor per expert (`model.layers.N.…`); files that stack experts are presented as if they had these.

mod attention;
mod feed_forward;
mod shapes;

use std::ops::Range;

use neuro_primitives::ExpertId;

use crate::config::ModelConfig;

pub use crate::names::attention::{AttentionNames, KvUpNames, LatentQueryNames};

/// The embedding: `[vocab_size, d_model]`.
pub const EMBEDDING: &str = "model.embed_tokens.weight";

/// The norm before the output projection: `[d_model]`.
pub const FINAL_NORM: &str = "model.norm.weight";

/// The output projection where it is not the embedding: `[vocab_size, d_model]`.
pub const OUTPUT: &str = "lm_head.weight";

/// A tensor of the trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkTensor {
    /// Its name.
    pub name: String,
    /// Its shape, the slowest dimension first.
    pub shape: Vec<usize>,
}

/// The three projections of a gated feed-forward network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpertTensorNames {
    /// `[width, d_model]`.
    pub gate: String,
    /// `[width, d_model]`.
    pub up: String,
    /// `[d_model, width]`.
    pub down: String,
    /// The biases of gate (`[width]`), up (`[width]`) and down (`[d_model]`).
    pub biases: Option<[String; 3]>,
}

/// A linear layer: a weight and, where the model has one there, a bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionNames {
    /// `[out, in]`.
    pub weight: String,
    /// `[out]`.
    pub bias: Option<String>,
}

/// The dense network beside a layer's experts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedExpertNames {
    /// Its projections; the width is that of [`SharedExpert`](crate::SharedExpert).
    pub network: ExpertTensorNames,
    /// What its output is weighted by, before the sigmoid: `[1, d_model]`.
    pub gate: Option<String>,
}

/// What follows the attention of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedForwardNames {
    /// Experts, chosen by a router.
    Moe {
        /// Logits: `[experts, d_model]`.
        router: ProjectionNames,
        /// Added to the scores for the choice alone: `[experts]`.
        selection_bias: Option<String>,
        /// The network that every row goes through besides.
        shared: Option<SharedExpertNames>,
    },
    /// One dense network in the trunk, `d_dense` wide.
    Dense(ExpertTensorNames),
}

/// The trunk's tensors of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerTensorNames {
    /// The norm before the attention: `[d_model]`.
    pub input_norm: String,
    /// The attention.
    pub attention: AttentionNames,
    /// The norm before the feed-forward network: `[d_model]`.
    pub feed_forward_norm: String,
    /// The router and what belongs to it, or the dense network.
    pub feed_forward: FeedForwardNames,
}

/// The tensor with the output projection: the embedding where the two are tied.
#[must_use]
pub fn output(config: &ModelConfig) -> &'static str {
    if config.tie_embeddings { EMBEDDING } else { OUTPUT }
}

/// The trunk's tensors of `layer`.
#[must_use]
pub fn layer(config: &ModelConfig, layer: usize) -> LayerTensorNames {
    let prefix = format!("model.layers.{layer}");
    LayerTensorNames {
        input_norm: format!("{prefix}.input_layernorm.weight"),
        attention: attention::names(config, &format!("{prefix}.self_attn")),
        feed_forward_norm: format!("{prefix}.post_attention_layernorm.weight"),
        feed_forward: feed_forward::names(config, layer),
    }
}

/// The tensors of expert `id`.
#[must_use]
pub fn expert(config: &ModelConfig, id: ExpertId) -> ExpertTensorNames {
    feed_forward::expert(config, id)
}

/// The shapes of an expert's gate, up and down projections.
#[must_use]
pub fn expert_shapes(config: &ModelConfig) -> [[usize; 2]; 3] {
    feed_forward::shapes(config.d_model, config.d_expert)
}

/// The lengths of the biases of an expert's gate, up and down projections.
#[must_use]
pub fn expert_bias_lengths(config: &ModelConfig) -> [usize; 3] {
    expert_shapes(config).map(|[outputs, _]| outputs)
}

/// All experts of the model, ascending.
pub fn experts(config: &ModelConfig) -> impl Iterator<Item = ExpertId> + '_ {
    config.moe_layers().flat_map(|layer| {
        let ids: Range<u16> = 0..short(config.router.experts);
        ids.map(move |expert| ExpertId { layer: short(layer), expert })
    })
}

/// Every tensor of the trunk with its shape, in the order in which a forward pass meets them.
#[must_use]
pub fn trunk(config: &ModelConfig) -> Vec<TrunkTensor> {
    shapes::trunk(config)
}

/// The expert that the tensor `name` belongs to, or `None` for tensors of the trunk, for experts that the
/// configuration does not have, and for names that are not of this architecture.
#[must_use]
pub fn expert_of(config: &ModelConfig, name: &str) -> Option<ExpertId> {
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let rest = rest.strip_prefix(feed_forward::block(config.architecture))?.strip_prefix(".experts.")?;
    let (expert, rest) = rest.split_once('.')?;
    let id = ExpertId { layer: canonical_number(layer)?, expert: canonical_number(expert)? };
    let known = feed_forward::is_expert_suffix(config, rest);
    let exists = config.is_moe(usize::from(id.layer)) && usize::from(id.expert) < config.router.experts;
    (known && exists).then_some(id)
}

/// Whether `name` may lie in a file of this model and is not used: frequencies that older files store although they
/// follow from the configuration, the copy of a tied output projection, and layers after the last that predict further
/// tokens.
#[must_use]
pub fn is_ignorable(config: &ModelConfig, name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq") || (config.tie_embeddings && name == OUTPUT) || predicts_ahead(config, name)
}

fn predicts_ahead(config: &ModelConfig, name: &str) -> bool {
    let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    let number = layer.and_then(|(number, _)| canonical_number(number));
    number.is_some_and(|number| (config.layers..config.layers + config.prediction_layers).contains(&number.into()))
}

/// A number as names have it: no sign and no leading zero, so that every expert has one name only.
fn canonical_number(text: &str) -> Option<u16> {
    let number: u16 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Layers and experts are below 2^16: the configuration was checked for it.
fn short(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
