//! What follows the attention: widths, activations, and which layers have experts.

use crate::config::defaults::Defaults;
use crate::config::fields::{Fields, wrong};
use crate::config::{Architecture, ConfigError, MAX_WIDTH};

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

/// A dense network beside the experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedExpert {
    /// Its width; that of several shared experts together.
    pub width: usize,
    /// Its output is multiplied by `sigmoid(x · gate)`, one number per row (Qwen2-MoE).
    pub gated: bool,
}

impl HiddenActivation {
    pub(super) fn read(architecture: Architecture, fields: &Fields) -> Result<Self, ConfigError> {
        match fields.text("hidden_act")? {
            None | Some("silu" | "swish") => {}
            Some(other) => return Err(ConfigError::UnknownActivation { got: other.to_owned() }),
        }
        if let (true, Some(value)) = (fields.flag("mlp_bias", false)?, fields.get("mlp_bias")) {
            return Err(wrong("mlp_bias", "false", value));
        }
        if architecture != Architecture::GptOss {
            return Ok(Self::Silu);
        }
        let alpha = fields.positive("swiglu_alpha", 1.702)? as f32;
        Ok(Self::ClampedSwiglu { alpha, limit: fields.positive("swiglu_limit", 7.0)? as f32 })
    }
}

/// The width of an expert. Families with dense layers have two widths, and `intermediate_size` is that of dense ones.
pub(super) fn d_expert(architecture: Architecture, fields: &Fields, intermediate: usize) -> Result<usize, ConfigError> {
    match Defaults::of(architecture).d_expert {
        Some(default) => fields.count("moe_intermediate_size", default, 1..=MAX_WIDTH),
        None => Ok(intermediate),
    }
}

/// The layers without experts, ascending.
pub(super) fn dense_layers(
    architecture: Architecture,
    fields: &Fields,
    layers: usize,
) -> Result<Vec<usize>, ConfigError> {
    match architecture {
        Architecture::Qwen3Moe | Architecture::Qwen2Moe => listed_dense(fields, layers),
        Architecture::DeepseekV2 => leading_dense(fields, layers, 0),
        Architecture::DeepseekV3 => leading_dense(fields, layers, 3),
        Architecture::Mixtral | Architecture::Olmoe | Architecture::GptOss => Ok(Vec::new()),
    }
}

/// Qwen: a layer has experts where it is not listed and its number, from 1, is a multiple of the step.
fn listed_dense(fields: &Fields, layers: usize) -> Result<Vec<usize>, ConfigError> {
    let listed = fields.counts("mlp_only_layers")?;
    if let (Some(beyond), Some(value)) = (listed.iter().find(|&&layer| layer >= layers), fields.get("mlp_only_layers"))
    {
        return Err(wrong("mlp_only_layers", format_args!("layers below {layers} and not {beyond}"), value));
    }
    let step = fields.count("decoder_sparse_step", 1, 1..=usize::MAX)?;
    Ok((0..layers).filter(|layer| listed.contains(layer) || !(layer + 1).is_multiple_of(step)).collect())
}

/// DeepSeek: a layer has experts where the dense ones at the beginning are over and its number, from 0, is a multiple
/// of the frequency.
fn leading_dense(fields: &Fields, layers: usize, default: usize) -> Result<Vec<usize>, ConfigError> {
    let leading = fields.count("first_k_dense_replace", default, 0..=MAX_WIDTH)?;
    let frequency = fields.count("moe_layer_freq", 1, 1..=MAX_WIDTH)?;
    Ok((0..layers).filter(|&layer| layer < leading || !layer.is_multiple_of(frequency)).collect())
}

/// The network beside the experts.
pub(super) fn shared_expert(
    architecture: Architecture,
    fields: &Fields,
    d_expert: usize,
) -> Result<Option<SharedExpert>, ConfigError> {
    let several = |default| {
        let default = if fields.is_null("n_shared_experts") { 0 } else { default };
        let number = fields.count("n_shared_experts", default, 0..=MAX_SHARED_EXPERTS)?;
        Ok((number > 0).then_some(SharedExpert { width: number * d_expert, gated: false }))
    };
    match architecture {
        Architecture::Qwen2Moe => {
            let width = fields.count("shared_expert_intermediate_size", 5632, 1..=MAX_WIDTH)?;
            Ok(Some(SharedExpert { width, gated: true }))
        }
        Architecture::DeepseekV2 => several(2),
        Architecture::DeepseekV3 => several(1),
        Architecture::Mixtral | Architecture::Qwen3Moe | Architecture::Olmoe | Architecture::GptOss => Ok(None),
    }
}

/// The greatest number of shared experts. Models have one to four; together they are one network, whose width must
/// stay far inside 64 bits.
const MAX_SHARED_EXPERTS: usize = 1024;
