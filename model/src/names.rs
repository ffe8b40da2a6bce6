//! What the tensors of a checkpoint are called, and what shape each must have.
//!
//! Weights of linear layers are stored `[out, in]`. The trunk is everything but the experts' three projections: the
//! router belongs to it. Names are those on disk (`model.layers.N.…`), which every version of `transformers` writes.

use std::ops::Range;

use neuro_primitives::ExpertId;

use crate::config::{Architecture, ModelConfig, QueryKeyNorm};

/// The embedding: `[vocab_size, d_model]`.
pub const EMBEDDING: &str = "model.embed_tokens.weight";

/// The norm before the output projection: `[d_model]`.
pub const FINAL_NORM: &str = "model.norm.weight";

/// The output projection where it is not the embedding: `[vocab_size, d_model]`.
pub const OUTPUT: &str = "lm_head.weight";

/// A tensor of the trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkTensor {
    /// Its name on disk.
    pub name: String,
    /// Its shape, the slowest dimension first.
    pub shape: Vec<usize>,
}

/// The three projections of a gated feed-forward network: `down(silu(gate(x)) · up(x))`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpertTensorNames {
    /// `[width, d_model]`.
    pub gate: String,
    /// `[width, d_model]`.
    pub up: String,
    /// `[d_model, width]`.
    pub down: String,
}

/// A linear layer: a weight and, where the model has attention biases, a bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionNames {
    /// `[out, in]`.
    pub weight: String,
    /// `[out]`.
    pub bias: Option<String>,
}

/// What follows the attention of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedForwardNames {
    /// Experts, chosen by a router.
    Moe {
        /// `[experts, d_model]`.
        router: String,
    },
    /// One dense network in the trunk, `d_dense` wide.
    Dense(ExpertTensorNames),
}

/// The trunk's tensors of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerTensorNames {
    /// The norm before the attention: `[d_model]`.
    pub input_norm: String,
    /// Queries: `[query_width, d_model]`.
    pub query: ProjectionNames,
    /// Keys: `[key_width, d_model]`.
    pub key: ProjectionNames,
    /// Values: `[key_width, d_model]`.
    pub value: ProjectionNames,
    /// The attention's output: `[d_model, query_width]`.
    pub output: ProjectionNames,
    /// Norm on queries: `[head_dim]` or `[query_width]`.
    pub query_norm: Option<String>,
    /// Norm on keys: `[head_dim]` or `[key_width]`.
    pub key_norm: Option<String>,
    /// The norm before the feed-forward network: `[d_model]`.
    pub feed_forward_norm: String,
    /// The router, or the dense network.
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
    let projection = |name: &str| ProjectionNames {
        weight: format!("{prefix}.self_attn.{name}.weight"),
        bias: (if name == "o_proj" { config.output_bias } else { config.query_key_value_bias })
            .then(|| format!("{prefix}.self_attn.{name}.bias")),
    };
    let norm = |name: &str| (config.qk_norm != QueryKeyNorm::None).then(|| format!("{prefix}.self_attn.{name}.weight"));
    LayerTensorNames {
        input_norm: format!("{prefix}.input_layernorm.weight"),
        query: projection("q_proj"),
        key: projection("k_proj"),
        value: projection("v_proj"),
        output: projection("o_proj"),
        query_norm: norm("q_norm"),
        key_norm: norm("k_norm"),
        feed_forward_norm: format!("{prefix}.post_attention_layernorm.weight"),
        feed_forward: feed_forward(config, layer),
    }
}

/// The tensors of expert `id`.
#[must_use]
pub fn expert(config: &ModelConfig, id: ExpertId) -> ExpertTensorNames {
    let prefix = format!("{}.experts.{}", moe_prefix(config.architecture, usize::from(id.layer)), id.expert);
    let [gate, up, down] = expert_suffixes(config.architecture).map(|suffix| format!("{prefix}.{suffix}.weight"));
    ExpertTensorNames { gate, up, down }
}

/// The shapes of an expert's gate, up and down projections.
#[must_use]
pub fn expert_shapes(config: &ModelConfig) -> [[usize; 2]; 3] {
    feed_forward_shapes(config.d_model, config.d_expert)
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
    let mut all = Shapes::default();
    all.push(EMBEDDING, &[config.vocab_size, config.d_model]);
    for index in 0..config.layers {
        layer_tensors(config, index, &mut all);
    }
    all.push(FINAL_NORM, &[config.d_model]);
    if !config.tie_embeddings {
        all.push(OUTPUT, &[config.vocab_size, config.d_model]);
    }
    all.0
}

/// The expert that the tensor `name` belongs to, or `None` for tensors of the trunk, for experts that the
/// configuration does not have, and for names that are not of this architecture.
#[must_use]
pub fn expert_of(config: &ModelConfig, name: &str) -> Option<ExpertId> {
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let rest = rest.strip_prefix(moe_block(config.architecture))?.strip_prefix(".experts.")?;
    let (expert, rest) = rest.split_once('.')?;
    let id = ExpertId { layer: canonical_number(layer)?, expert: canonical_number(expert)? };
    let known =
        rest.strip_suffix(".weight").is_some_and(|suffix| expert_suffixes(config.architecture).contains(&suffix));
    let exists = config.is_moe(usize::from(id.layer)) && usize::from(id.expert) < config.router.experts;
    (known && exists).then_some(id)
}

/// Whether `name` may lie in a file of this model and is not used: frequencies that older files store although they
/// follow from the configuration, and the copy of a tied output projection.
#[must_use]
pub fn is_ignorable(config: &ModelConfig, name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq") || (config.tie_embeddings && name == OUTPUT)
}

fn feed_forward(config: &ModelConfig, layer: usize) -> FeedForwardNames {
    let prefix = moe_prefix(config.architecture, layer);
    if config.is_moe(layer) {
        return FeedForwardNames::Moe { router: format!("{prefix}.gate.weight") };
    }
    let [gate, up, down] = expert_suffixes(config.architecture).map(|suffix| format!("{prefix}.{suffix}.weight"));
    FeedForwardNames::Dense(ExpertTensorNames { gate, up, down })
}

#[derive(Default)]
struct Shapes(Vec<TrunkTensor>);

impl Shapes {
    fn push(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.push(TrunkTensor { name: name.into(), shape: shape.to_vec() });
    }

    fn projection(&mut self, names: ProjectionNames, output: usize, input: usize) {
        self.push(names.weight, &[output, input]);
        if let Some(bias) = names.bias {
            self.push(bias, &[output]);
        }
    }
}

fn layer_tensors(config: &ModelConfig, index: usize, all: &mut Shapes) {
    let (d_model, query, key) = (config.d_model, config.query_width(), config.key_width());
    let names = layer(config, index);
    all.push(names.input_norm, &[d_model]);
    all.projection(names.query, query, d_model);
    all.projection(names.key, key, d_model);
    all.projection(names.value, key, d_model);
    let (query_norm, key_norm) = match config.qk_norm {
        QueryKeyNorm::FullWidth => (query, key),
        QueryKeyNorm::PerHead | QueryKeyNorm::None => (config.head_dim, config.head_dim),
    };
    names.query_norm.into_iter().for_each(|name| all.push(name, &[query_norm]));
    names.key_norm.into_iter().for_each(|name| all.push(name, &[key_norm]));
    all.projection(names.output, d_model, query);
    all.push(names.feed_forward_norm, &[d_model]);
    match names.feed_forward {
        FeedForwardNames::Moe { router } => all.push(router, &[config.router.experts, d_model]),
        FeedForwardNames::Dense(dense) => {
            let shapes = feed_forward_shapes(d_model, config.d_dense);
            [dense.gate, dense.up, dense.down].into_iter().zip(shapes).for_each(|(name, shape)| all.push(name, &shape));
        }
    }
}

fn feed_forward_shapes(d_model: usize, width: usize) -> [[usize; 2]; 3] {
    [[width, d_model], [width, d_model], [d_model, width]]
}

fn moe_prefix(architecture: Architecture, layer: usize) -> String {
    format!("model.layers.{layer}.{}", moe_block(architecture))
}

fn moe_block(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Mixtral => "block_sparse_moe",
        Architecture::Qwen3Moe | Architecture::Olmoe => "mlp",
    }
}

/// Gate, up and down. Mixtral numbers them in the order gate, down, up.
fn expert_suffixes(architecture: Architecture) -> [&'static str; 3] {
    match architecture {
        Architecture::Mixtral => ["w1", "w3", "w2"],
        Architecture::Qwen3Moe | Architecture::Olmoe => ["gate_proj", "up_proj", "down_proj"],
    }
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
