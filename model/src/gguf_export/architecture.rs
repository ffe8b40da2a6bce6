//! The keys that say what a model is. Names and meanings: the GGUF specification, and what llama.cpp reads.

use neuro_primitives::TensorType;

use crate::checkpoint::Checkpoint;
use crate::config::{Architecture, LatentAttention, ModelConfig, RopeScaling, ScoreFunction};
use crate::gguf_export::silent;
use crate::gguf_writer::MetadataValue;

/// The name that a family has in the format. Mixtral is llama with experts.
pub(super) fn name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Mixtral => "llama",
        Architecture::Qwen3Moe => "qwen3moe",
        Architecture::Olmoe => "olmoe",
        Architecture::Qwen2Moe => "qwen2moe",
        Architecture::GptOss => "gpt-oss",
        Architecture::DeepseekV2 | Architecture::DeepseekV3 => "deepseek2",
    }
}

pub(super) fn metadata(checkpoint: &Checkpoint, tensor_type: TensorType) -> Vec<(String, MetadataValue)> {
    let config = checkpoint.config();
    let mut keys = Keys { prefix: name(config.architecture), all: Vec::new() };
    general(checkpoint, tensor_type, &mut keys);
    sizes(config, &mut keys);
    attention(config, &mut keys);
    experts(config, &mut keys);
    keys.all
}

struct Keys {
    prefix: &'static str,
    all: Vec<(String, MetadataValue)>,
}

impl Keys {
    fn general(&mut self, key: &str, value: impl Into<MetadataValue>) {
        self.all.push((format!("general.{key}"), value.into()));
    }

    fn put(&mut self, key: &str, value: impl Into<MetadataValue>) {
        self.all.push((format!("{}.{key}", self.prefix), value.into()));
    }

    /// The configuration bounds all of its numbers far below 2^32.
    fn count(&mut self, key: &str, count: usize) {
        self.put(key, u32::try_from(count).unwrap_or(u32::MAX));
    }
}

fn general(checkpoint: &Checkpoint, tensor_type: TensorType, keys: &mut Keys) {
    let place = checkpoint.path().canonicalize().ok();
    let title = place.as_deref().and_then(|place| place.file_stem());
    let title = title.map_or_else(|| "model".into(), |title| title.to_string_lossy());
    keys.general("architecture", keys.prefix);
    keys.general("type", "model");
    keys.general("name", &*title);
    keys.general("file_type", file_type(tensor_type));
    keys.general("quantization_version", 2);
}

/// The number for "mostly of this type".
fn file_type(tensor_type: TensorType) -> u32 {
    match tensor_type {
        TensorType::F32 => 0,
        TensorType::F16 => 1,
        TensorType::Q4_0 => 2,
        TensorType::Q8_0 => 7,
        TensorType::Q4K => 14,
        TensorType::Q5K => 16,
        TensorType::Q6K => 18,
        TensorType::Iq4Nl => 25,
        TensorType::BF16 => 32,
        TensorType::Mxfp4 => 38,
    }
}

fn sizes(config: &ModelConfig, keys: &mut Keys) {
    keys.count("context_length", config.context);
    keys.count("embedding_length", config.d_model);
    keys.count("block_count", config.layers);
    let width = if config.dense_layers.is_empty() { config.d_expert } else { config.d_dense };
    keys.count("feed_forward_length", width);
    keys.count("vocab_size", config.vocab_size);
}

fn attention(config: &ModelConfig, keys: &mut Keys) {
    keys.count("attention.head_count", config.heads);
    match &config.latent {
        Some(latent) => latent_attention(config, latent, keys),
        None => {
            keys.count("attention.head_count_kv", config.kv_heads);
            keys.count("attention.key_length", config.head_dim);
            keys.count("attention.value_length", config.head_dim);
            keys.count("rope.dimension_count", config.head_dim);
        }
    }
    keys.put("attention.layer_norm_rms_epsilon", config.rms_eps);
    if let Some(limit) = config.clip_qkv {
        keys.put("attention.clamp_kqv", limit);
    }
    if let Some(window) = config.windows.iter().flatten().next() {
        keys.count("attention.sliding_window", *window);
    }
    keys.put("rope.freq_base", config.rope.theta as f32);
    scaling(&config.rope.scaling, keys);
}

/// Where the up projections are apart, heads share the latent vector as their one key, and the plain keys describe that.
fn latent_attention(config: &ModelConfig, latent: &LatentAttention, keys: &mut Keys) {
    let key = latent.nope_dim + latent.rope_dim;
    if let Some(rank) = latent.query_rank {
        keys.count("attention.q_lora_rank", rank);
    }
    keys.count("attention.kv_lora_rank", latent.kv_rank);
    keys.count("rope.dimension_count", latent.rope_dim);
    if latent.split {
        keys.count("attention.head_count_kv", 1);
        keys.count("attention.key_length", latent.kv_rank + latent.rope_dim);
        keys.count("attention.value_length", latent.kv_rank);
        keys.count("attention.key_length_mla", key);
        keys.count("attention.value_length_mla", latent.value_dim);
    } else {
        keys.count("attention.head_count_kv", config.heads);
        keys.count("attention.key_length", key);
        keys.count("attention.value_length", latent.value_dim);
    }
}

fn scaling(scaling: &RopeScaling, keys: &mut Keys) {
    match *scaling {
        RopeScaling::None => {}
        RopeScaling::Linear { factor } => {
            keys.put("rope.scaling.type", "linear");
            keys.put("rope.scaling.factor", factor as f32);
        }
        RopeScaling::Yarn {
            factor, original_context, beta_fast, beta_slow, score_factor, attention_factor, ..
        } => {
            keys.put("rope.scaling.type", "yarn");
            keys.put("rope.scaling.factor", factor as f32);
            keys.count("rope.scaling.original_context_length", original_context as usize);
            keys.put("rope.scaling.yarn_beta_fast", beta_fast as f32);
            keys.put("rope.scaling.yarn_beta_slow", beta_slow as f32);
            if score_factor != 1.0 {
                // The factor is (1 + multiplier · ln factor)².
                keys.put("rope.scaling.yarn_log_multiplier", ((score_factor.sqrt() - 1.0) / factor.ln()) as f32);
            }
            // Readers multiply it by what follows from the stretch.
            let own = attention_factor / silent::attention_factor(factor, score_factor);
            if (own - 1.0).abs() > silent::ROUNDING {
                keys.put("rope.scaling.attn_factor", own as f32);
            }
        }
    }
}

fn experts(config: &ModelConfig, keys: &mut Keys) {
    let router = &config.router;
    keys.count("expert_count", router.experts);
    keys.count("expert_used_count", router.top_k);
    keys.count("expert_feed_forward_length", config.d_expert);
    keys.put("expert_weights_norm", router.renormalise);
    keys.put("expert_gating_func", gating(router.scores));
    if router.scale != 1.0 {
        keys.put("expert_weights_scale", router.scale);
    }
    if let Some(groups) = router.groups {
        keys.count("expert_group_count", groups.groups);
        keys.count("expert_group_used_count", groups.kept);
    }
    if let Some(shared) = config.shared_expert {
        keys.count("expert_shared_feed_forward_length", shared.width);
        if config.latent.is_some() {
            keys.count("expert_shared_count", shared.width / config.d_expert);
        }
    }
    if config.latent.is_some() {
        keys.count("leading_dense_block_count", config.dense_layers.len());
    }
}

fn gating(scores: ScoreFunction) -> u32 {
    match scores {
        ScoreFunction::Softmax => 1,
        ScoreFunction::Sigmoid => 2,
        ScoreFunction::SoftmaxOfChosen => 3,
    }
}
