//! `neuro model inspect PATH`: sizes, experts and routes of a model.

mod routes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use neuro_model::{Checkpoint, GroupScore, ModelConfig, RouterRule, ScoreFunction, names};
use serde_json::{Value, json};

use crate::failure::CommandResult;
use crate::output::{Output, bytes};

/// Options of `neuro model inspect`.
#[derive(Debug, ClapArgs)]
pub struct InspectArgs {
    /// A Hugging Face folder or a GGUF file
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Run this text through the model and show which experts its tokens were sent to
    #[arg(long, value_name = "TEXT")]
    pub routes: Option<String>,
}

/// Opens the checkpoint, which checks every tensor's shape against the configuration, and describes it.
///
/// # Errors
/// When the checkpoint has a fault.
pub fn run(args: &InspectArgs, output: Output) -> CommandResult {
    let checkpoint = Checkpoint::open(&args.path)?;
    let mut facts = describe(&checkpoint)?;
    let routes = args.routes.as_deref().map(|text| routes::follow(&args.path, text)).transpose()?;
    if output.json {
        if let Some(routes) = &routes {
            facts["routes"] = serde_json::to_value(routes)?;
        }
        return output.object(&facts);
    }
    for (name, value) in lines(&checkpoint, &facts) {
        output.line(format!("{name:<14} {value}"))?;
    }
    match routes {
        Some(routes) => output.line(format!("\n{}", routes::table(&routes, output))),
        None => Ok(()),
    }
}

fn lines(checkpoint: &Checkpoint, facts: &Value) -> Vec<(&'static str, String)> {
    let config = checkpoint.config();
    let experts = format!("{} a layer, {} chosen for a token", facts["experts"], facts["top_k"]);
    let mut lines = vec![
        ("architecture", text(&facts["architecture"])),
        ("parameters", format!("{:.2} M", checkpoint.parameters() as f64 / 1e6)),
        ("layers", layers(config)),
        ("experts", experts),
        ("routing", routing(&config.router)),
        ("d_model", text(&facts["d_model"])),
        ("expert width", text(&facts["d_expert"])),
    ];
    if let Some(shared) = config.shared_expert {
        let gate = if shared.gated { ", gated" } else { "" };
        lines.push(("shared expert", format!("{} wide{gate}", shared.width)));
    }
    lines.extend([
        ("attention", attention(config)),
        ("vocabulary", text(&facts["vocab_size"])),
        ("context", text(&facts["context"])),
        ("trunk", format!("{} ({})", bytes(checkpoint.trunk_bytes()), types(&facts["trunk_types"]))),
        ("experts, all", format!("{} ({})", bytes(checkpoint.expert_bytes()), types(&facts["expert_types"]))),
        ("one expert", bytes(number(&facts["expert_bytes_each"]))),
    ]);
    lines
}

fn layers(config: &ModelConfig) -> String {
    match config.dense_layers.len() {
        0 => config.layers.to_string(),
        dense => format!("{}, {dense} of them without experts", config.layers),
    }
}

/// The router's rule in words.
fn routing(rule: &RouterRule) -> String {
    let scores = match rule.scores {
        ScoreFunction::Softmax => "softmax over all",
        ScoreFunction::SoftmaxOfChosen => "softmax over the chosen",
        ScoreFunction::Sigmoid => "sigmoid of each",
    };
    let mut parts = vec![scores.to_owned()];
    if let Some(groups) = rule.groups {
        let score = match groups.score {
            GroupScore::Best => "best expert",
            GroupScore::BestTwo => "two best experts",
        };
        parts.push(format!("{} of {} groups by their {score}", groups.kept, groups.groups));
    }
    let flags = [
        (rule.selection_bias, "a bias for the choice"),
        (rule.bias, "a bias on the logits"),
        (rule.renormalise, "gates sum to one"),
    ];
    parts.extend(flags.into_iter().filter(|(on, _)| *on).map(|(_, text)| text.to_owned()));
    if rule.scale != 1.0 {
        parts.push(format!("gates × {}", rule.scale));
    }
    parts.join(", ")
}

fn attention(config: &ModelConfig) -> String {
    let mut parts = match config.latent {
        Some(latent) => vec![format!("{} heads over a latent of {}", config.heads, latent.kv_rank)],
        None => vec![format!("{} heads of {}, {} for keys and values", config.heads, config.head_dim, config.kv_heads)],
    };
    let windows = config.windows.iter().flatten().count();
    if windows > 0 {
        parts.push(format!("{windows} layers with a window"));
    }
    if config.attention_sinks {
        parts.push("sinks".to_owned());
    }
    parts.join(", ")
}

fn describe(checkpoint: &Checkpoint) -> Result<Value, crate::failure::Failure> {
    let config = checkpoint.config();
    let (mut trunk, mut experts) = (BTreeMap::new(), BTreeMap::new());
    for name in checkpoint.tensor_names() {
        let tensor = checkpoint.tensor(name)?;
        let of_place = if names::expert_of(config, name).is_some() { &mut experts } else { &mut trunk };
        *of_place.entry(tensor.tensor_type.name()).or_insert(0_u64) += tensor.bytes.len() as u64;
    }
    let count = names::experts(config).count() as u64;
    Ok(json!({
        "architecture": config.architecture.to_string(), "parameters": checkpoint.parameters(),
        "layers": config.layers, "moe_layers": config.moe_layers().count(),
        "experts": config.router.experts, "top_k": config.router.top_k, "routing": routing(&config.router),
        "d_model": config.d_model, "d_expert": config.d_expert,
        "heads": config.heads, "kv_heads": config.kv_heads, "head_dim": config.head_dim,
        "vocab_size": config.vocab_size, "context": config.context,
        "trunk_bytes": checkpoint.trunk_bytes(), "expert_bytes": checkpoint.expert_bytes(),
        "expert_bytes_each": checkpoint.expert_bytes() / count.max(1),
        "trunk_types": trunk, "expert_types": experts,
    }))
}

/// `q8_0 700 MB, f32 1 MB`, the largest first.
fn types(value: &Value) -> String {
    let mut all: Vec<(&String, u64)> =
        value.as_object().into_iter().flatten().map(|(name, bytes)| (name, number(bytes))).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let all: Vec<String> = all.into_iter().map(|(name, size)| format!("{name} {}", bytes(size))).collect();
    all.join(", ")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use neuro_model::GroupRule;

    use super::*;

    #[test]
    fn a_rule_reads_like_its_paper() {
        assert_eq!(routing(&RouterRule::softmax(64, 8, false)), "softmax over all");
        let groups = Some(GroupRule { groups: 8, kept: 4, score: GroupScore::BestTwo });
        let deepseek = RouterRule {
            scores: ScoreFunction::Sigmoid,
            groups,
            scale: 2.5,
            selection_bias: true,
            ..RouterRule::softmax(256, 8, true)
        };
        let text = "sigmoid of each, 4 of 8 groups by their two best experts, a bias for the choice, gates sum to one, gates × 2.5";
        assert_eq!(routing(&deepseek), text);
    }

    #[test]
    fn the_largest_type_comes_first() {
        assert_eq!(
            types(&json!({"f32": 10, "q4_k": 5_000_000})),
            format!("q4_k {}, f32 {}", bytes(5_000_000), bytes(10))
        );
    }
}
