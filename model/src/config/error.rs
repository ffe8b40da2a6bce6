//! What can be wrong with a `config.json`.

use crate::config::Architecture;

/// A `config.json` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not a JSON object.
    #[error("expected a JSON object: {0}")]
    Json(#[from] serde_json::Error),
    /// A family of models that this engine does not have.
    #[error("architecture {got:?} is not supported; supported are {}", Architecture::supported())]
    UnknownArchitecture {
        /// What the file says, in `architectures` or `model_type`.
        got: String,
    },
    /// Neither `architectures` nor `model_type` is there.
    #[error("neither \"architectures\" nor \"model_type\" is given; supported are {}", Architecture::supported())]
    NoArchitecture,
    /// An activation that this engine does not have.
    #[error("activation {got:?} is not supported; supported is \"silu\"")]
    UnknownActivation {
        /// The value of `hidden_act`.
        got: String,
    },
    /// A rotary embedding other than the plain one.
    #[error("rotary embedding of type {got:?} is not supported; supported is \"default\"")]
    RopeType {
        /// The value of `rope_type` (or `type`).
        got: String,
    },
    /// Weights in a packed format.
    #[error("weights quantised with {method:?} are not supported; expected float32, float16 or bfloat16")]
    Quantised {
        /// The value of `quant_method`.
        method: String,
    },
    /// A field with a value that it cannot have.
    #[error("field {field:?}: expected {expected}, got {got}")]
    Field {
        /// The field's name.
        field: String,
        /// What it may be.
        expected: String,
        /// Its JSON text, cut after 100 characters.
        got: String,
    },
    /// Query heads cannot be shared out among key heads.
    #[error("num_attention_heads is {heads}, expected a multiple of num_key_value_heads, {kv_heads}")]
    Heads {
        /// Query heads.
        heads: usize,
        /// Key and value heads.
        kv_heads: usize,
    },
    /// The rotary embedding turns pairs.
    #[error("head_dim is {head_dim}, expected an even number above 0")]
    OddHead {
        /// Width of one head.
        head_dim: usize,
    },
    /// More experts per row than there are.
    #[error("num_experts_per_tok is {top_k}, expected at most the number of experts, {experts}")]
    TopK {
        /// Experts per row.
        top_k: usize,
        /// Experts per layer.
        experts: usize,
    },
    /// A dense model: there is nothing to share out.
    #[error("none of the {layers} layers has experts; expected a mixture-of-experts model")]
    NoExperts {
        /// Layers in all.
        layers: usize,
    },
}

impl ConfigError {
    /// Never: the same bytes fail the same way.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}
