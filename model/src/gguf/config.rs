//! The settings of a GGUF file as a `config.json`.
//!
//! Every field is written that [`ModelConfig::from_json`](crate::ModelConfig::from_json) reads, so that no default of
//! a Hugging Face class stands for what the file says. Two fields are not Hugging Face's: `rope_interleave` for all
//! families whose rotary embedding turns neighbours, and `kv_b_split` where the up projections of keys and values are
//! stored apart.

use serde_json::{Map, Value, json};

use crate::config::{MAX_EXPERTS, MAX_LAYERS};
use crate::gguf::family::Family;
use crate::gguf::{GgufError, GgufFile, GgufModel, rope};

/// What a model is, in the words of a Hugging Face folder.
pub(crate) fn config_json(model: &GgufModel) -> Result<Vec<u8>, GgufError> {
    let family = Family::of(model)?;
    let settings = Settings { model, family, file: model.first() };
    settings.refuse_unknown_arithmetic()?;
    let mut fields = settings.common()?;
    fields.extend(settings.own()?);
    Ok(Value::Object(fields).to_string().into_bytes())
}

/// The settings that begin with the family's name.
pub(super) struct Settings<'a> {
    model: &'a GgufModel,
    family: Family,
    file: &'a GgufFile,
}

type Fields = Map<String, Value>;

impl Settings<'_> {
    pub(super) fn key(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.family.name())
    }

    pub(super) fn file(&self) -> &GgufFile {
        self.file
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn count(&self, suffix: &str) -> Result<Option<u64>, GgufError> {
        self.file.u64(&self.key(suffix))
    }

    /// A number as people write it: as f32, 0.1 is 0.100000001.
    pub(super) fn number(&self, suffix: &str) -> Result<Option<f64>, GgufError> {
        Ok(self.file.f32(&self.key(suffix))?.map(shortest))
    }

    pub(super) fn flag(&self, suffix: &str) -> Result<Option<bool>, GgufError> {
        self.file.bool(&self.key(suffix))
    }

    pub(super) fn wrong(&self, suffix: &str, expected: &str, got: &str) -> GgufError {
        self.file.wrong_text(&self.key(suffix), expected, got)
    }

    fn required(&self, suffix: &str) -> Result<u64, GgufError> {
        self.count(suffix)?.ok_or_else(|| self.file.no_key(&self.key(suffix), "a whole number from 0"))
    }

    /// A number that may be given for each layer, but must be the same for all.
    fn uniform(&self, suffix: &str) -> Result<Option<u64>, GgufError> {
        let key = self.key(suffix);
        if !matches!(self.file.header().value(&key), Some(crate::gguf::Value::Array(_))) {
            return self.count(suffix);
        }
        let numbers = self.file.u64s(&key)?.unwrap_or_default();
        match numbers.split_first() {
            Some((first, rest)) if rest.iter().all(|number| number == first) => Ok(Some(*first)),
            _ => Err(self.wrong(suffix, "the same number for every layer", &format!("{numbers:?}"))),
        }
    }

    fn layers(&self) -> Result<u64, GgufError> {
        let layers = self.required("block_count")?;
        match layers {
            0 => Err(self.wrong("block_count", "layers above 0", "0")),
            _ if layers > MAX_LAYERS as u64 => {
                Err(self.wrong("block_count", &format!("at most {MAX_LAYERS} layers"), &layers.to_string()))
            }
            _ => Ok(layers),
        }
    }

    /// A setting that other engines know and this one has no arithmetic for.
    fn refuse_unknown_arithmetic(&self) -> Result<(), GgufError> {
        for (suffix, harmless) in UNKNOWN_ARITHMETIC {
            let key = self.key(suffix);
            let Some(value) = self.file.header().value(&key) else { continue };
            let number = match value {
                crate::gguf::Value::Float(number) => Some(*number),
                crate::gguf::Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
                crate::gguf::Value::Unsigned(number) => Some(*number as f64),
                _ => None,
            };
            if number != Some(*harmless) {
                return Err(self.file.wrong(&key, format_args!("{harmless}, which is to have no effect"), value));
            }
        }
        Ok(())
    }

    /// What all families have.
    fn common(&self) -> Result<Fields, GgufError> {
        let heads = self.uniform("attention.head_count")?;
        let heads = heads.ok_or_else(|| self.file.no_key(&self.key("attention.head_count"), "a whole number"))?;
        let mut fields = Fields::new();
        let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        let ahead = self.count("nextn_predict_layers")?.unwrap_or(0);
        put("num_hidden_layers", json!(self.layers()?.saturating_sub(ahead)));
        put("num_nextn_predict_layers", json!(ahead));
        put("hidden_size", json!(self.required("embedding_length")?));
        put("max_position_embeddings", json!(self.required("context_length")?));
        put("num_attention_heads", json!(heads));
        put("num_key_value_heads", json!(self.uniform("attention.head_count_kv")?.unwrap_or(heads)));
        let eps = self.number("attention.layer_norm_rms_epsilon")?;
        let eps = eps.ok_or_else(|| self.file.no_key(&self.key("attention.layer_norm_rms_epsilon"), "a number"))?;
        put("rms_norm_eps", json!(eps));
        put("hidden_act", json!("silu"));
        put("num_experts_per_tok", json!(self.count("expert_used_count")?.unwrap_or(0)));
        put("tie_word_embeddings", json!(self.model.tensor("output.weight").is_none()));
        put("rope_parameters", rope::parameters(self)?);
        put("rope_interleave", json!(self.family.turns_neighbours()));
        if let Some(embedding) = self.model.tensor("token_embd.weight") {
            put("vocab_size", json!(embedding.shape.first()));
        }
        put("bos_token_id", json!(super::tokenizer::begin(self.file)?));
        put("eos_token_id", json!(super::tokenizer::ends(self.file)?));
        Ok(fields)
    }

    /// What one family has.
    fn own(&self) -> Result<Fields, GgufError> {
        let value = match self.family {
            Family::Llama => self.mixtral()?,
            Family::Olmoe => self.olmoe()?,
            Family::Qwen2Moe => self.qwen2()?,
            Family::Qwen3Moe => self.qwen3()?,
            Family::GptOss => self.gpt_oss()?,
            Family::Deepseek2 => self.deepseek()?,
        };
        Ok(match value {
            Value::Object(fields) => fields,
            _ => Fields::new(),
        })
    }

    fn mixtral(&self) -> Result<Value, GgufError> {
        self.expect_plain_router()?;
        Ok(json!({
            "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "head_dim": self.head_dim()?,
            "intermediate_size": self.expert_width()?, "num_local_experts": self.experts()?,
            "sliding_window": self.count("attention.sliding_window")?,
        }))
    }

    fn olmoe(&self) -> Result<Value, GgufError> {
        self.expect_plain_router()?;
        Ok(json!({
            "architectures": ["OlmoeForCausalLM"], "model_type": "olmoe", "head_dim": self.head_dim()?,
            "intermediate_size": self.expert_width()?, "num_experts": self.experts()?,
            "norm_topk_prob": self.flag("expert_weights_norm")?.unwrap_or(false),
            "clip_qkv": self.number("attention.clamp_kqv")?, "attention_bias": self.has("attn_q.bias"),
        }))
    }

    /// Files have no key for the gates of Qwen models; all Qwen3-MoE models in use divide them by their sum, and all
    /// Qwen2-MoE models do not.
    fn qwen3(&self) -> Result<Value, GgufError> {
        self.expect_plain_router()?;
        Ok(json!({
            "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "head_dim": self.head_dim()?,
            "intermediate_size": self.dense_width()?, "moe_intermediate_size": self.expert_width()?,
            "num_experts": self.experts()?, "norm_topk_prob": self.flag("expert_weights_norm")?.unwrap_or(true),
            "decoder_sparse_step": 1, "mlp_only_layers": self.dense_layers()?,
            "attention_bias": self.has("attn_q.bias"), "use_sliding_window": false, "sliding_window": null,
        }))
    }

    fn qwen2(&self) -> Result<Value, GgufError> {
        self.expect_plain_router()?;
        let width = self.count("expert_shared_feed_forward_length")?;
        let width = width.or_else(|| self.rows("ffn_gate_shexp.weight"));
        Ok(json!({
            "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe", "head_dim": self.head_dim()?,
            "intermediate_size": self.dense_width()?, "moe_intermediate_size": self.expert_width()?,
            "shared_expert_intermediate_size": width, "num_experts": self.experts()?,
            "norm_topk_prob": self.flag("expert_weights_norm")?.unwrap_or(false),
            "decoder_sparse_step": 1, "mlp_only_layers": self.dense_layers()?,
            "qkv_bias": self.has("attn_q.bias"), "use_sliding_window": false, "sliding_window": null,
        }))
    }

    /// Layers see a window and all positions in turn, the first one a window; files have no key for it.
    fn gpt_oss(&self) -> Result<Value, GgufError> {
        self.expect_router(&[0, 3], "3 (softmax of the chosen)")?;
        let window = self.count("attention.sliding_window")?;
        let kind = |layer: u64| {
            if layer.is_multiple_of(2) && window.is_some() { "sliding_attention" } else { "full_attention" }
        };
        Ok(json!({
            "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "head_dim": self.head_dim()?,
            "intermediate_size": self.expert_width()?, "num_local_experts": self.experts()?,
            "sliding_window": window, "layer_types": (0..self.layers()?).map(kind).collect::<Vec<_>>(),
            "attention_bias": self.has("attn_q.bias"), "swiglu_limit": 7.0, "swiglu_alpha": 1.702,
        }))
    }

    fn deepseek(&self) -> Result<Value, GgufError> {
        let sigmoid = self.router_rule()? == 2;
        self.expect_router(&[0, 1, 2], "1 (softmax) or 2 (sigmoid)")?;
        let groups = self.count("expert_group_count")?.filter(|&groups| groups > 1);
        let kept = self.count("expert_group_used_count")?.filter(|_| groups.is_some());
        let (class, kind) =
            if sigmoid { ("DeepseekV3ForCausalLM", "deepseek_v3") } else { ("DeepseekV2ForCausalLM", "deepseek_v2") };
        let method = match (sigmoid, groups) {
            (true, _) => "noaux_tc",
            (false, Some(_)) => "group_limited_greedy",
            (false, None) => "greedy",
        };
        let mut value = json!({
            "architectures": [class], "model_type": kind, "topk_method": method,
            "scoring_func": if sigmoid { "sigmoid" } else { "softmax" },
            "intermediate_size": self.dense_width()?, "moe_intermediate_size": self.expert_width()?,
            "n_routed_experts": self.experts()?, "n_shared_experts": self.count("expert_shared_count")?.unwrap_or(0),
            "n_group": groups.unwrap_or(1), "topk_group": kept.unwrap_or(1),
            "routed_scaling_factor": self.weights_scale()?.unwrap_or(1.0),
            "norm_topk_prob": self.flag("expert_weights_norm")?.unwrap_or(false),
            "first_k_dense_replace": self.count("leading_dense_block_count")?.unwrap_or(0), "moe_layer_freq": 1,
            "attention_bias": self.has("attn_q_a.bias"), "kv_b_split": self.has("attn_k_b.weight"),
        });
        if let (Some(fields), Value::Object(latent)) = (value.as_object_mut(), self.latent()?) {
            fields.extend(latent);
        }
        Ok(value)
    }

    /// Widths of latent attention. Newer files give the heads' widths under `_mla`, and under the plain keys those of
    /// the latent vectors.
    fn latent(&self) -> Result<Value, GgufError> {
        let rope = self.required("rope.dimension_count")?;
        let suffix = if self.count("attention.key_length_mla")?.is_some() { "_mla" } else { "" };
        let key = self.required(&format!("attention.key_length{suffix}"))?;
        let nope = key.checked_sub(rope).filter(|&nope| nope > 0).ok_or_else(|| {
            self.wrong(
                &format!("attention.key_length{suffix}"),
                &format!("more than {rope}, the rotated part"),
                &key.to_string(),
            )
        })?;
        Ok(json!({
            "q_lora_rank": self.count("attention.q_lora_rank")?.filter(|&rank| rank > 0),
            "kv_lora_rank": self.required("attention.kv_lora_rank")?,
            "qk_rope_head_dim": rope, "qk_nope_head_dim": nope,
            "v_head_dim": self.required(&format!("attention.value_length{suffix}"))?,
            "num_key_value_heads": self.uniform("attention.head_count")?,
        }))
    }

    /// The width of a head; keys, values and the rotary embedding must have the same.
    fn head_dim(&self) -> Result<u64, GgufError> {
        let [key, value, rope] = ["attention.key_length", "attention.value_length", "rope.dimension_count"];
        let width = match (self.count(key)?, self.count(rope)?, self.uniform("attention.head_count")?) {
            (Some(width), _, _) | (None, Some(width), _) => width,
            (None, None, Some(heads)) if heads > 0 => self.required("embedding_length")? / heads,
            _ => 0,
        };
        for suffix in [value, rope] {
            if let Some(other) = self.count(suffix)?.filter(|&other| other != width) {
                return Err(self.wrong(suffix, &format!("{width}, the width of a head"), &other.to_string()));
            }
        }
        Ok(width)
    }

    fn experts(&self) -> Result<u64, GgufError> {
        let experts = self.count("expert_count")?.unwrap_or(0);
        if experts > MAX_EXPERTS as u64 {
            return Err(self.wrong("expert_count", &format!("at most {MAX_EXPERTS} experts"), &experts.to_string()));
        }
        Ok(experts)
    }

    /// Mixtral files give the experts' width as that of the feed-forward network.
    fn expert_width(&self) -> Result<u64, GgufError> {
        match self.count("expert_feed_forward_length")?.filter(|&width| width > 0) {
            Some(width) => Ok(width),
            None => Ok(self
                .uniform("feed_forward_length")?
                .filter(|&width| width > 0)
                .or_else(|| self.rows("ffn_gate_exps.weight"))
                .ok_or_else(|| self.file.no_key(&self.key("expert_feed_forward_length"), "a whole number above 0"))?),
        }
    }

    /// The width of dense layers; where there are none, files may leave it out.
    fn dense_width(&self) -> Result<u64, GgufError> {
        match self.uniform("feed_forward_length")?.filter(|&width| width > 0) {
            Some(width) => Ok(width),
            None => self.expert_width(),
        }
    }

    /// The layers that have a dense network, by their tensors.
    fn dense_layers(&self) -> Result<Vec<u64>, GgufError> {
        let has = |layer: u64, stem: &str| self.model.tensor(&format!("blk.{layer}.{stem}.weight")).is_some();
        Ok((0..self.layers()?).filter(|&layer| has(layer, "ffn_gate") && !has(layer, "ffn_gate_inp")).collect())
    }

    fn weights_scale(&self) -> Result<Option<f64>, GgufError> {
        Ok(self.number("expert_weights_scale")?.filter(|&scale| scale != 0.0))
    }

    fn router_rule(&self) -> Result<u64, GgufError> {
        Ok(self.count("expert_gating_func")?.unwrap_or(0))
    }

    fn expect_router(&self, rules: &[u64], expected: &str) -> Result<(), GgufError> {
        let rule = self.router_rule()?;
        if rules.contains(&rule) { Ok(()) } else { Err(self.wrong("expert_gating_func", expected, &rule.to_string())) }
    }

    /// Softmax over all experts, no groups, nothing multiplied.
    fn expect_plain_router(&self) -> Result<(), GgufError> {
        self.expect_router(&[0, 1], "1 (softmax)")?;
        if let Some(groups) = self.count("expert_group_count")?.filter(|&groups| groups > 1) {
            return Err(self.wrong("expert_group_count", "one group", &groups.to_string()));
        }
        match self.weights_scale()?.filter(|&scale| scale != 1.0) {
            Some(scale) => Err(self.wrong("expert_weights_scale", "1", &scale.to_string())),
            None => Ok(()),
        }
    }

    /// Whether the first layer has a tensor called so.
    fn has(&self, name: &str) -> bool {
        self.model.tensor(&format!("blk.0.{name}")).is_some()
    }

    /// The rows of a tensor, which may be stacked, in the first layer that has it.
    fn rows(&self, name: &str) -> Option<u64> {
        let layers = self.layers().ok()?;
        let tensor = (0..layers).find_map(|layer| self.model.tensor(&format!("blk.{layer}.{name}")))?;
        tensor.shape.iter().rev().nth(1).map(|&rows| rows as u64)
    }
}

/// The number with the fewest digits that is the same as f32.
pub(super) fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// Settings that change the arithmetic, and the value at which they do not.
const UNKNOWN_ARITHMETIC: &[(&str, f64)] = &[
    ("attention.causal", 1.0),
    ("attention.scale", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attention.temperature_scale", 0.0),
    ("attn_logit_softcapping", 0.0),
    ("final_logit_softcapping", 0.0),
    ("logit_scale", 0.0),
    ("residual_scale", 0.0),
    ("embedding_scale", 0.0),
    ("use_parallel_residual", 0.0),
];

#[cfg(test)]
mod tests;
