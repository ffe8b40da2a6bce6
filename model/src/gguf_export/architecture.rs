//! The keys that say what a model is. Names and meanings: the GGUF specification, and what llama.cpp reads.

use neuro_primitives::TensorType;

use crate::checkpoint::Checkpoint;
use crate::config::{Architecture, ModelConfig, RopeScaling, ScoreFunction};
use crate::gguf_writer::MetadataValue;

/// The name that a family has in the format. Mixtral is llama with experts.
pub(super) fn name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Mixtral => "llama",
        Architecture::Qwen3Moe => "qwen3moe",
        Architecture::Olmoe => "olmoe",
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
    let folder = checkpoint.dir().canonicalize().ok();
    let title = folder.as_deref().and_then(|dir| dir.file_name()).map_or_else(|| "model".into(), |s| s.to_string_lossy());
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
    keys.count("attention.head_count_kv", config.kv_heads);
    keys.count("attention.key_length", config.head_dim);
    keys.count("attention.value_length", config.head_dim);
    keys.put("attention.layer_norm_rms_epsilon", config.rms_eps);
    if let Some(limit) = config.clip_qkv {
        keys.put("attention.clamp_kqv", limit);
    }
    if let Some(window) = config.windows.iter().flatten().next() {
        keys.count("attention.sliding_window", *window);
    }
    keys.count("rope.dimension_count", config.head_dim);
    keys.put("rope.freq_base", config.rope.theta as f32);
    scaling(&config.rope.scaling, keys);
}

fn scaling(scaling: &RopeScaling, keys: &mut Keys) {
    match *scaling {
        RopeScaling::None => {}
        RopeScaling::Linear { factor } => {
            keys.put("rope.scaling.type", "linear");
            keys.put("rope.scaling.factor", factor as f32);
        }
        RopeScaling::Yarn { factor, original_context, beta_fast, beta_slow, .. } => {
            keys.put("rope.scaling.type", "yarn");
            keys.put("rope.scaling.factor", factor as f32);
            keys.count("rope.scaling.original_context_length", original_context as usize);
            keys.put("rope.scaling.yarn_beta_fast", beta_fast as f32);
            keys.put("rope.scaling.yarn_beta_slow", beta_slow as f32);
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
        keys.count("expert_shared_count", shared.width / config.d_expert);
    }
}

fn gating(scores: ScoreFunction) -> u32 {
    match scores {
        ScoreFunction::Softmax => 1,
        ScoreFunction::Sigmoid => 2,
        ScoreFunction::SoftmaxOfChosen => 3,
    }
}
