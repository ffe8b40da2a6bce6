//! How positions attend to each other: norms, biases, windows, latent vectors.

use serde_json::Value;

use crate::config::fields::{Fields, wrong};
use crate::config::{Architecture, ConfigError, MAX_CONTEXT, MAX_WIDTH};

/// RMS norm on queries and keys, after projection and before the rotary embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKeyNorm {
    /// No norm.
    None,
    /// Each head by itself; weight: `[head_dim]`.
    PerHead,
    /// All heads together; weights: `[query_width]` and `[key_width]`.
    FullWidth,
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

pub(super) fn qk_norm(architecture: Architecture) -> QueryKeyNorm {
    match architecture {
        Architecture::Qwen3Moe => QueryKeyNorm::PerHead,
        Architecture::Olmoe => QueryKeyNorm::FullWidth,
        _ => QueryKeyNorm::None,
    }
}

/// Whether there are biases on queries, keys and values, and on the output.
pub(super) fn biases(architecture: Architecture, fields: &Fields) -> Result<[bool; 2], ConfigError> {
    match architecture {
        Architecture::Mixtral => Ok([false; 2]),
        Architecture::Qwen2Moe => Ok([fields.flag("qkv_bias", true)?, false]),
        Architecture::GptOss => Ok([fields.flag("attention_bias", true)?; 2]),
        _ => Ok([fields.flag("attention_bias", false)?; 2]),
    }
}

pub(super) fn clip_qkv(architecture: Architecture, fields: &Fields) -> Result<Option<f32>, ConfigError> {
    if architecture != Architecture::Olmoe || fields.get("clip_qkv").is_none() {
        return Ok(None);
    }
    fields.positive("clip_qkv", 1.0).map(|limit| Some(limit as f32))
}

/// The settings of latent attention; `None` for families with grouped heads.
pub(super) fn latent(architecture: Architecture, fields: &Fields) -> Result<Option<LatentAttention>, ConfigError> {
    let split = fields.flag("kv_b_split", false)?;
    if !architecture.is_deepseek() {
        let refused = fields.get("kv_b_split").filter(|_| split);
        return refused.map_or(Ok(None), |value| Err(wrong("kv_b_split", "false without latent attention", value)));
    }
    let width = |field, default| fields.count(field, default, 1..=MAX_WIDTH);
    Ok(Some(LatentAttention {
        query_rank: (!fields.is_null("q_lora_rank")).then(|| width("q_lora_rank", 1536)).transpose()?,
        kv_rank: width("kv_lora_rank", 512)?,
        nope_dim: width("qk_nope_head_dim", 128)?,
        rope_dim: width("qk_rope_head_dim", 64)?,
        value_dim: width("v_head_dim", 128)?,
        split,
    }))
}

/// The window of each layer, `None` where it is not shorter than the context.
pub(super) fn windows(
    architecture: Architecture,
    fields: &Fields,
    layers: usize,
    context: usize,
) -> Result<Vec<Option<usize>>, ConfigError> {
    let window = window(architecture, fields)?;
    let sliding = match architecture {
        Architecture::Qwen2Moe => {
            let last = fields.count("max_window_layers", 28, 0..=MAX_WIDTH)?;
            let on = fields.flag("use_sliding_window", false)?;
            sliding_layers(fields, layers, |layer| on && layer < last && layer % 2 == 0)?
        }
        Architecture::GptOss => sliding_layers(fields, layers, |layer| layer % 2 == 0)?,
        _ => vec![window.is_some(); layers],
    };
    if window.is_none() && sliding.contains(&true) {
        return Err(ConfigError::contradiction(
            "layer_types (with sliding_attention)",
            "sliding_window (switched off)",
        ));
    }
    let in_force = window.filter(|&window| window < context);
    Ok(sliding.into_iter().map(|sliding| in_force.filter(|_| sliding)).collect())
}

/// The window's length where it is switched on. Mixtral's is where it is given, Qwen's only where it is switched on
/// too.
fn window(architecture: Architecture, fields: &Fields) -> Result<Option<usize>, ConfigError> {
    let given = !fields.is_null("sliding_window");
    let (on, default) = match architecture {
        Architecture::Mixtral => (fields.get("sliding_window").is_some(), 0),
        Architecture::Qwen3Moe | Architecture::Qwen2Moe => (given && fields.flag("use_sliding_window", false)?, 4096),
        Architecture::GptOss => (given, 128),
        Architecture::Olmoe | Architecture::DeepseekV2 | Architecture::DeepseekV3 => (false, 0),
    };
    on.then(|| fields.count("sliding_window", default, 1..=MAX_CONTEXT)).transpose()
}

/// `layer_types`, or what `default` says of each layer where there is none.
fn sliding_layers(fields: &Fields, layers: usize, default: impl Fn(usize) -> bool) -> Result<Vec<bool>, ConfigError> {
    let Some(value) = fields.get("layer_types") else { return Ok((0..layers).map(default).collect()) };
    let bad = || wrong("layer_types", format_args!("{layers} times full_attention or sliding_attention"), value);
    let list = value.as_array().filter(|list| list.len() == layers).ok_or_else(bad)?;
    list.iter().map(|item| is_sliding(item).ok_or_else(bad)).collect()
}

fn is_sliding(layer_type: &Value) -> Option<bool> {
    match layer_type.as_str()? {
        "sliding_attention" => Some(true),
        "full_attention" => Some(false),
        _ => None,
    }
}
