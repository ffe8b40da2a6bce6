//! The families of models that this engine runs, and how each reads the fields that they do not share.
//!
//! Defaults are those of the configuration classes of `transformers` (`MixtralConfig`, `Qwen3MoeConfig`,
//! `OlmoeConfig`).

use crate::config::fields::{Fields, wrong};
use crate::config::{ConfigError, MAX_CONTEXT, MAX_EXPERTS, MAX_WIDTH};

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Mixtral: top-2 of 8, gates always renormalised.
    Mixtral,
    /// Qwen3-MoE: norm on each head of queries and keys; some layers may be dense.
    Qwen3Moe,
    /// OLMoE: norm over the full width of queries and keys; gates not renormalised by default.
    Olmoe,
}

impl std::fmt::Display for Architecture {
    /// As `model_type` spells it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mixtral => "mixtral",
            Self::Qwen3Moe => "qwen3_moe",
            Self::Olmoe => "olmoe",
        })
    }
}

/// The activation of a feed-forward network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HiddenActivation {
    /// `gate · sigmoid(gate) · up`.
    Silu,
    /// gpt-oss: `gate · sigmoid(alpha · gate) · (up + 1)`, with the gate clamped to at most `limit` and up to `±limit`.
    ClampedSwiglu {
        /// Steepness of the sigmoid; 1.702 in the released models.
        alpha: f32,
        /// Where gate and up are clamped; 7 in the released models.
        limit: f32,
    },
}

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

/// How a row chooses its experts: logits to scores, the best `top_k` by score (plus selection bias), ties to the lowest
/// id, and scores to gates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouterRule {
    /// Experts in a layer.
    pub experts: usize,
    /// Experts that a row goes to.
    pub top_k: usize,
    /// From logits to scores.
    pub scores: ScoreFunction,
    /// The chosen gates are divided by their sum.
    pub renormalise: bool,
    /// What the gates are multiplied by at the end (`routed_scaling_factor`); 1 where models have none.
    pub scale: f32,
    /// Only experts of the best groups may be chosen.
    pub groups: Option<GroupRule>,
    /// The router has a bias that is added to the logits (gpt-oss).
    pub bias: bool,
    /// There is a bias that is added to the scores for the choice alone, not for the gates (DeepSeek-V3).
    pub selection_bias: bool,
}

impl RouterRule {
    /// Softmax over all `experts`, the best `top_k`.
    #[must_use]
    pub const fn softmax(experts: usize, top_k: usize, renormalise: bool) -> Self {
        let scores = ScoreFunction::Softmax;
        Self { experts, top_k, scores, renormalise, scale: 1.0, groups: None, bias: false, selection_bias: false }
    }
}

/// From a router's logits to scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreFunction {
    /// Softmax over all experts.
    Softmax,
    /// The choice by logits, then softmax over the chosen alone (gpt-oss).
    SoftmaxOfChosen,
    /// The sigmoid of each (DeepSeek-V3).
    Sigmoid,
}

/// Experts lie in equal groups, neighbours together; only the best groups take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupRule {
    /// Groups of a layer; divides the experts.
    pub groups: usize,
    /// Groups that take part.
    pub kept: usize,
    /// What makes a group good.
    pub score: GroupScore,
}

/// The score of a group of experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupScore {
    /// Its best expert's (DeepSeek-V2).
    Best,
    /// The sum of its two best experts' (DeepSeek-V3).
    BestTwo,
}

/// What `transformers` assumes for fields that a file leaves out.
pub(super) struct Defaults {
    pub(super) vocab_size: usize,
    pub(super) d_model: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// `None`: as many as query heads.
    pub(super) kv_heads: Option<usize>,
    pub(super) context: usize,
    pub(super) rms_eps: f64,
    pub(super) rope_theta: f64,
    pub(super) d_dense: usize,
    pub(super) experts: usize,
    pub(super) top_k: usize,
    pub(super) bos: Option<u32>,
    pub(super) eos: &'static [u32],
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mixtral, Self::Qwen3Moe, Self::Olmoe];

    /// The name in a file's `model_type`.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Mixtral => "mixtral",
            Self::Qwen3Moe => "qwen3_moe",
            Self::Olmoe => "olmoe",
        }
    }

    /// The name in a file's `architectures`.
    #[must_use]
    pub fn class_name(self) -> &'static str {
        match self {
            Self::Mixtral => "MixtralForCausalLM",
            Self::Qwen3Moe => "Qwen3MoeForCausalLM",
            Self::Olmoe => "OlmoeForCausalLM",
        }
    }

    /// The names of all, for people.
    #[must_use]
    pub fn supported() -> String {
        Self::ALL
            .map(|architecture| format!("{} ({})", architecture.class_name(), architecture.model_type()))
            .join(", ")
    }

    /// `architectures` says which head the model has and so decides; `model_type` alone is enough.
    pub(super) fn from_fields(fields: &Fields) -> Result<Self, ConfigError> {
        let listed = fields.get("architectures").and_then(|list| list.get(0)).and_then(|name| name.as_str());
        let Some(name) = listed.map_or_else(|| fields.text("model_type"), |name| Ok(Some(name)))? else {
            return Err(ConfigError::NoArchitecture);
        };
        let found = Self::ALL.into_iter().find(|known| [known.class_name(), known.model_type()].contains(&name));
        found.ok_or_else(|| ConfigError::UnknownArchitecture { got: name.to_owned() })
    }

    pub(super) fn qk_norm(self) -> QueryKeyNorm {
        match self {
            Self::Mixtral => QueryKeyNorm::None,
            Self::Qwen3Moe => QueryKeyNorm::PerHead,
            Self::Olmoe => QueryKeyNorm::FullWidth,
        }
    }

    pub(super) fn router(self, fields: &Fields) -> Result<RouterRule, ConfigError> {
        let defaults = self.defaults();
        let named = ["num_local_experts", "num_experts"].into_iter().find(|field| fields.get(field).is_some());
        let experts = fields.count(named.unwrap_or("num_experts"), defaults.experts, 0..=MAX_EXPERTS)?;
        if experts == 0 {
            return Err(ConfigError::NoExperts {
                layers: fields.count("num_hidden_layers", defaults.layers, 0..=MAX_WIDTH)?,
            });
        }
        let top_k = fields.count("num_experts_per_tok", defaults.top_k, 1..=MAX_EXPERTS)?;
        let renormalise = self == Self::Mixtral || fields.flag("norm_topk_prob", false)?;
        Ok(RouterRule::softmax(experts, top_k, renormalise))
    }

    /// Qwen3-MoE has two widths: its experts' own one, and `intermediate_size` for dense layers.
    pub(super) fn d_expert(self, fields: &Fields, intermediate: usize) -> Result<usize, ConfigError> {
        match self {
            Self::Qwen3Moe => fields.count("moe_intermediate_size", 768, 1..=MAX_WIDTH),
            Self::Mixtral | Self::Olmoe => Ok(intermediate),
        }
    }

    /// Qwen3-MoE: a layer has experts where it is not listed and its number, from 1, is a multiple of the step.
    pub(super) fn dense_layers(self, fields: &Fields, layers: usize) -> Result<Vec<usize>, ConfigError> {
        if self != Self::Qwen3Moe {
            return Ok(Vec::new());
        }
        let listed = fields.counts("mlp_only_layers")?;
        if let (Some(beyond), Some(value)) =
            (listed.iter().find(|&&layer| layer >= layers), fields.get("mlp_only_layers"))
        {
            return Err(wrong("mlp_only_layers", format_args!("layers below {layers} and not {beyond}"), value));
        }
        let step = fields.count("decoder_sparse_step", 1, 1..=usize::MAX)?;
        Ok((0..layers).filter(|layer| listed.contains(layer) || !(layer + 1).is_multiple_of(step)).collect())
    }

    pub(super) fn attention_bias(self, fields: &Fields) -> Result<bool, ConfigError> {
        Ok(self != Self::Mixtral && fields.flag("attention_bias", false)?)
    }

    pub(super) fn clip_qkv(self, fields: &Fields) -> Result<Option<f32>, ConfigError> {
        if self != Self::Olmoe || fields.get("clip_qkv").is_none() {
            return Ok(None);
        }
        fields.positive("clip_qkv", 1.0).map(|limit| Some(limit as f32))
    }

    /// Mixtral's window is in force where it is given, Qwen3-MoE's only where it is switched on too.
    pub(super) fn sliding_window(self, fields: &Fields) -> Result<Option<usize>, ConfigError> {
        let (on, default) = match self {
            Self::Mixtral => (fields.get("sliding_window").is_some(), 0),
            Self::Qwen3Moe => (fields.flag("use_sliding_window", false)? && !fields.is_null("sliding_window"), 4096),
            Self::Olmoe => (false, 0),
        };
        on.then(|| fields.count("sliding_window", default, 1..=MAX_CONTEXT)).transpose()
    }

    pub(super) fn defaults(self) -> &'static Defaults {
        match self {
            Self::Mixtral => &MIXTRAL,
            Self::Qwen3Moe => &QWEN3_MOE,
            Self::Olmoe => &OLMOE,
        }
    }
}

impl HiddenActivation {
    pub(super) fn from_fields(fields: &Fields) -> Result<Self, ConfigError> {
        match fields.text("hidden_act")? {
            None | Some("silu" | "swish") => Ok(Self::Silu),
            Some(other) => Err(ConfigError::UnknownActivation { got: other.to_owned() }),
        }
    }
}

const MIXTRAL: Defaults = Defaults {
    vocab_size: 32_000,
    d_model: 4096,
    layers: 32,
    heads: 32,
    kv_heads: Some(8),
    context: 131_072,
    rms_eps: 1e-5,
    rope_theta: 1e6,
    d_dense: 14_336,
    experts: 8,
    top_k: 2,
    bos: Some(1),
    eos: &[2],
};

const QWEN3_MOE: Defaults = Defaults {
    vocab_size: 151_936,
    d_model: 2048,
    layers: 24,
    heads: 32,
    kv_heads: Some(4),
    context: 32_768,
    rms_eps: 1e-6,
    rope_theta: 1e4,
    d_dense: 6144,
    experts: 128,
    top_k: 8,
    bos: None,
    eos: &[],
};

const OLMOE: Defaults = Defaults {
    vocab_size: 50_304,
    d_model: 2048,
    layers: 16,
    heads: 16,
    kv_heads: None,
    context: 4096,
    rms_eps: 1e-5,
    rope_theta: 1e4,
    d_dense: 2048,
    experts: 64,
    top_k: 8,
    bos: None,
    eos: &[50_279],
};
