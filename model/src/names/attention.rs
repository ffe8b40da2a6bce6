//! The tensors of an attention, by grouped heads or by latent vectors.

use crate::config::{LatentAttention, ModelConfig, QueryKeyNorm};
use crate::names::ProjectionNames;

/// The tensors of one layer's attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttentionNames {
    /// Queries share keys and values in groups.
    Grouped {
        /// `[query_width, d_model]`.
        query: ProjectionNames,
        /// `[key_width, d_model]`.
        key: ProjectionNames,
        /// `[key_width, d_model]`.
        value: ProjectionNames,
        /// `[d_model, query_width]`.
        output: ProjectionNames,
        /// Norm on queries: `[head_dim]` or `[query_width]`.
        query_norm: Option<String>,
        /// Norm on keys: `[head_dim]` or `[key_width]`.
        key_norm: Option<String>,
        /// One logit per head that adds no value: `[heads]`.
        sinks: Option<String>,
    },
    /// Keys and values are made of one short vector per position; widths are those of
    /// [`LatentAttention`](crate::LatentAttention).
    Latent {
        /// Queries.
        query: LatentQueryNames,
        /// The latent vector, then the part of all keys that has a position: `[kv_rank + rope_dim, d_model]`.
        kv_down: ProjectionNames,
        /// Norm on the latent vector: `[kv_rank]`.
        kv_norm: String,
        /// From the latent vector to keys and values.
        kv_up: KvUpNames,
        /// `[d_model, heads * value_dim]`.
        output: ProjectionNames,
    },
}

/// How latent attention makes queries: `heads * (nope_dim + rope_dim)` wide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LatentQueryNames {
    /// At once.
    Direct {
        /// `[heads * (nope_dim + rope_dim), d_model]`.
        weight: String,
    },
    /// By way of a short vector.
    LowRank {
        /// `[query_rank, d_model]`.
        down: ProjectionNames,
        /// Norm on the short vector: `[query_rank]`.
        norm: String,
        /// `[heads * (nope_dim + rope_dim), query_rank]`.
        up: String,
    },
}

/// How keys and values without a position are made of the latent vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvUpNames {
    /// For each head its key's rows, then its value's: `[heads * (nope_dim + value_dim), kv_rank]`.
    Joint(String),
    /// Apart.
    Split {
        /// For each head the transposed projection: `[heads * kv_rank, nope_dim]`.
        key: String,
        /// `[heads * value_dim, kv_rank]`.
        value: String,
    },
}

/// The tensors of the attention whose names begin with `prefix`.
pub(super) fn names(config: &ModelConfig, prefix: &str) -> AttentionNames {
    match &config.latent {
        Some(latent) => latent_names(config, latent, prefix),
        None => grouped_names(config, prefix),
    }
}

fn grouped_names(config: &ModelConfig, prefix: &str) -> AttentionNames {
    let norm = |name: &str| (config.qk_norm != QueryKeyNorm::None).then(|| weight(prefix, name));
    let bias = config.query_key_value_bias;
    AttentionNames::Grouped {
        query: projection(prefix, "q_proj", bias),
        key: projection(prefix, "k_proj", bias),
        value: projection(prefix, "v_proj", bias),
        output: projection(prefix, "o_proj", config.output_bias),
        query_norm: norm("q_norm"),
        key_norm: norm("k_norm"),
        sinks: config.attention_sinks.then(|| format!("{prefix}.sinks")),
    }
}

/// Biases are on the projections from and to the hidden state, but for direct queries.
fn latent_names(config: &ModelConfig, latent: &LatentAttention, prefix: &str) -> AttentionNames {
    let query = match latent.query_rank {
        None => LatentQueryNames::Direct { weight: weight(prefix, "q_proj") },
        Some(_) => LatentQueryNames::LowRank {
            down: projection(prefix, "q_a_proj", config.query_key_value_bias),
            norm: weight(prefix, "q_a_layernorm"),
            up: weight(prefix, "q_b_proj"),
        },
    };
    let kv_up = if latent.split {
        KvUpNames::Split { key: weight(prefix, "k_b_proj"), value: weight(prefix, "v_b_proj") }
    } else {
        KvUpNames::Joint(weight(prefix, "kv_b_proj"))
    };
    AttentionNames::Latent {
        query,
        kv_down: projection(prefix, "kv_a_proj_with_mqa", config.query_key_value_bias),
        kv_norm: weight(prefix, "kv_a_layernorm"),
        kv_up,
        output: projection(prefix, "o_proj", config.output_bias),
    }
}

fn weight(prefix: &str, name: &str) -> String {
    format!("{prefix}.{name}.weight")
}

fn projection(prefix: &str, name: &str, bias: bool) -> ProjectionNames {
    ProjectionNames { weight: weight(prefix, name), bias: bias.then(|| format!("{prefix}.{name}.bias")) }
}
