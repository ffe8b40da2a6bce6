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
    /// A rotary embedding whose frequencies are made in a way that this engine does not have.
    #[error("rotary embedding of type {got:?} is not supported; supported are \"default\", \"linear\" and \"yarn\"")]
    RopeType {
        /// The value of `rope_type` (or `type`).
        got: String,
    },
    /// Weights in a packed format.
    #[error(
        "weights quantised with {method:?} are not supported; expected float32, float16 or bfloat16, or MXFP4 for gpt-oss"
    )]
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
    #[error("{field} is {got}, expected an even number above 0")]
    OddHead {
        /// `head_dim`, or `qk_rope_head_dim` of latent attention.
        field: &'static str,
        /// How many elements of a head are rotated.
        got: usize,
    },
    /// A field without a default is not there.
    #[error("field {field:?} is missing")]
    MissingField {
        /// The field's name.
        field: &'static str,
    },
    /// Two settings that cannot both hold.
    #[error("{first} and {second} contradict each other")]
    Contradiction {
        /// A setting.
        first: String,
        /// Another.
        second: String,
    },
    /// Groups that the experts cannot be shared out to, or that have too few experts to choose from.
    #[error("{experts} experts, {top_k} of them chosen, do not fit n_group {groups} and topk_group {kept}")]
    Groups {
        /// Experts per layer.
        experts: usize,
        /// Groups.
        groups: usize,
        /// Groups that take part.
        kept: usize,
        /// Experts per row.
        top_k: usize,
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
    pub(super) fn contradiction(first: &str, second: &str) -> Self {
        Self::Contradiction { first: first.to_owned(), second: second.to_owned() }
    }

    /// Never: the same bytes fail the same way.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}
