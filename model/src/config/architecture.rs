//! The families of models that this engine runs.

use crate::config::ConfigError;
use crate::config::fields::Fields;

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Mixtral: top-2 of 8, gates always renormalised.
    Mixtral,
    /// Qwen3-MoE: norm on each head of queries and keys; some layers may be dense.
    Qwen3Moe,
    /// OLMoE: norm over the full width of queries and keys; gates not renormalised by default.
    Olmoe,
    /// Qwen2-MoE: biases on queries, keys and values; a gated shared expert beside the others.
    Qwen2Moe,
    /// gpt-oss: attention sinks, windows in every other layer, biases everywhere, a clamped activation.
    GptOss,
    /// DeepSeek-V2: latent attention, shared experts, softmax scores that may be limited to groups.
    DeepseekV2,
    /// DeepSeek-V3: as V2, with sigmoid scores and a bias for the choice alone.
    DeepseekV3,
}

impl std::fmt::Display for Architecture {
    /// As `model_type` spells it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.model_type())
    }
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Mixtral, Self::Qwen3Moe, Self::Olmoe, Self::Qwen2Moe, Self::GptOss, Self::DeepseekV2, Self::DeepseekV3];

    /// The name in a file's `model_type`.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Mixtral => "mixtral",
            Self::Qwen3Moe => "qwen3_moe",
            Self::Olmoe => "olmoe",
            Self::Qwen2Moe => "qwen2_moe",
            Self::GptOss => "gpt_oss",
            Self::DeepseekV2 => "deepseek_v2",
            Self::DeepseekV3 => "deepseek_v3",
        }
    }

    /// The name in a file's `architectures`.
    #[must_use]
    pub fn class_name(self) -> &'static str {
        match self {
            Self::Mixtral => "MixtralForCausalLM",
            Self::Qwen3Moe => "Qwen3MoeForCausalLM",
            Self::Olmoe => "OlmoeForCausalLM",
            Self::Qwen2Moe => "Qwen2MoeForCausalLM",
            Self::GptOss => "GptOssForCausalLM",
            Self::DeepseekV2 => "DeepseekV2ForCausalLM",
            Self::DeepseekV3 => "DeepseekV3ForCausalLM",
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

    /// DeepSeek, of either version.
    pub(super) fn is_deepseek(self) -> bool {
        matches!(self, Self::DeepseekV2 | Self::DeepseekV3)
    }
}
