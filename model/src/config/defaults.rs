//! What `transformers` assumes for fields that a file leaves out: the defaults of its configuration classes.

use crate::config::Architecture;

/// The defaults of one family.
pub(super) struct Defaults {
    pub(super) vocab_size: usize,
    pub(super) d_model: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// `None`: as many as query heads.
    pub(super) kv_heads: Option<usize>,
    /// `None`: `d_model / heads`.
    pub(super) head_dim: Option<usize>,
    pub(super) context: usize,
    pub(super) rms_eps: f64,
    pub(super) rope_theta: f64,
    pub(super) d_dense: usize,
    /// `None`: experts are as wide as `intermediate_size` says, and have no width of their own.
    pub(super) d_expert: Option<usize>,
    pub(super) experts: usize,
    /// 0: the file must say it.
    pub(super) top_k: usize,
    pub(super) bos: Option<u32>,
    pub(super) eos: &'static [u32],
}

impl Defaults {
    /// The defaults of `architecture`.
    pub(super) fn of(architecture: Architecture) -> &'static Self {
        match architecture {
            Architecture::Mixtral => &MIXTRAL,
            Architecture::Qwen3Moe => &QWEN3_MOE,
            Architecture::Olmoe => &OLMOE,
            Architecture::Qwen2Moe => &QWEN2_MOE,
            Architecture::GptOss => &GPT_OSS,
            Architecture::DeepseekV2 => &DEEPSEEK_V2,
            Architecture::DeepseekV3 => &DEEPSEEK_V3,
        }
    }
}

const MIXTRAL: Defaults = Defaults {
    vocab_size: 32_000,
    d_model: 4096,
    layers: 32,
    heads: 32,
    kv_heads: Some(8),
    head_dim: None,
    context: 131_072,
    rms_eps: 1e-5,
    rope_theta: 1e6,
    d_dense: 14_336,
    d_expert: None,
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
    head_dim: None,
    context: 32_768,
    rms_eps: 1e-6,
    rope_theta: 1e4,
    d_dense: 6144,
    d_expert: Some(768),
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
    head_dim: None,
    context: 4096,
    rms_eps: 1e-5,
    rope_theta: 1e4,
    d_dense: 2048,
    d_expert: None,
    experts: 64,
    top_k: 8,
    bos: None,
    eos: &[50_279],
};

const QWEN2_MOE: Defaults = Defaults {
    vocab_size: 151_936,
    d_model: 2048,
    layers: 24,
    heads: 16,
    kv_heads: Some(16),
    head_dim: None,
    context: 32_768,
    rms_eps: 1e-6,
    rope_theta: 1e4,
    d_dense: 5632,
    d_expert: Some(1408),
    experts: 60,
    top_k: 4,
    bos: None,
    eos: &[],
};

const GPT_OSS: Defaults = Defaults {
    vocab_size: 201_088,
    d_model: 2880,
    layers: 36,
    heads: 64,
    kv_heads: Some(8),
    head_dim: Some(64),
    context: 131_072,
    rms_eps: 1e-5,
    rope_theta: 1.5e5,
    d_dense: 2880,
    d_expert: None,
    experts: 128,
    top_k: 4,
    bos: None,
    eos: &[],
};

const DEEPSEEK_V2: Defaults = Defaults {
    vocab_size: 102_400,
    d_model: 4096,
    layers: 32,
    heads: 32,
    kv_heads: None,
    head_dim: None,
    context: 2048,
    rms_eps: 1e-6,
    rope_theta: 1e4,
    d_dense: 11_008,
    d_expert: Some(1407),
    experts: 64,
    top_k: 0,
    bos: Some(1),
    eos: &[2],
};

const DEEPSEEK_V3: Defaults = Defaults {
    vocab_size: 129_280,
    d_model: 7168,
    layers: 61,
    heads: 128,
    kv_heads: None,
    head_dim: None,
    context: 4096,
    rms_eps: 1e-6,
    rope_theta: 1e4,
    d_dense: 18_432,
    d_expert: Some(2048),
    experts: 256,
    top_k: 8,
    bos: Some(0),
    eos: &[1],
};
