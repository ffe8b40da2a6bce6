//! The tensors of feed-forward networks: routers, experts, and dense ones.

use neuro_primitives::ExpertId;

use crate::config::{Architecture, ModelConfig, SharedExpert};
use crate::names::{ExpertTensorNames, FeedForwardNames, ProjectionNames, SharedExpertNames};

/// What follows the attention of `layer`.
pub(super) fn names(config: &ModelConfig, layer: usize) -> FeedForwardNames {
    let prefix = prefix(config.architecture, layer);
    if !config.is_moe(layer) {
        return FeedForwardNames::Dense(network(config.architecture, &prefix, false));
    }
    let router = format!("{prefix}.{}", router(config.architecture));
    FeedForwardNames::Moe {
        selection_bias: config.router.selection_bias.then(|| format!("{router}.e_score_correction_bias")),
        router: ProjectionNames {
            weight: format!("{router}.weight"),
            bias: config.router.bias.then(|| format!("{router}.bias")),
        },
        shared: config.shared_expert.map(|expert| shared(config.architecture, &prefix, expert)),
    }
}

/// The tensors of expert `id`.
pub(super) fn expert(config: &ModelConfig, id: ExpertId) -> ExpertTensorNames {
    let prefix = format!("{}.experts.{}", prefix(config.architecture, usize::from(id.layer)), id.expert);
    network(config.architecture, &prefix, config.expert_bias)
}

/// The shapes of gate, up and down.
pub(super) fn shapes(d_model: usize, width: usize) -> [[usize; 2]; 3] {
    [[width, d_model], [width, d_model], [d_model, width]]
}

/// The part of a name that says "feed-forward network with experts".
pub(super) fn block(architecture: Architecture) -> &'static str {
    if architecture == Architecture::Mixtral { "block_sparse_moe" } else { "mlp" }
}

/// Whether an expert has a tensor whose name ends so after its number: `up_proj.weight`.
pub(super) fn is_expert_suffix(config: &ModelConfig, suffix: &str) -> bool {
    let Some((projection, kind)) = suffix.split_once('.') else { return false };
    let kinds: &[&str] = if config.expert_bias { &["weight", "bias"] } else { &["weight"] };
    projections(config.architecture).contains(&projection) && kinds.contains(&kind)
}

fn prefix(architecture: Architecture, layer: usize) -> String {
    format!("model.layers.{layer}.{}", block(architecture))
}

fn router(architecture: Architecture) -> &'static str {
    if architecture == Architecture::GptOss { "router" } else { "gate" }
}

fn shared(architecture: Architecture, prefix: &str, expert: SharedExpert) -> SharedExpertNames {
    let name = if architecture == Architecture::Qwen2Moe { "shared_expert" } else { "shared_experts" };
    SharedExpertNames {
        network: network(architecture, &format!("{prefix}.{name}"), false),
        gate: expert.gated.then(|| format!("{prefix}.{name}_gate.weight")),
    }
}

fn network(architecture: Architecture, prefix: &str, biased: bool) -> ExpertTensorNames {
    let names = |kind: &str| projections(architecture).map(|projection| format!("{prefix}.{projection}.{kind}"));
    let [gate, up, down] = names("weight");
    ExpertTensorNames { gate, up, down, biases: biased.then(|| names("bias")) }
}

/// Gate, up and down. Mixtral numbers them in the order gate, down, up.
fn projections(architecture: Architecture) -> [&'static str; 3] {
    match architecture {
        Architecture::Mixtral => ["w1", "w3", "w2"],
        _ => ["gate_proj", "up_proj", "down_proj"],
    }
}
