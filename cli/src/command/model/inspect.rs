//! `neuro model inspect DIR`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use neuro_model::Checkpoint;
use serde_json::{Value, json};

use crate::failure::CommandResult;
use crate::output::{Output, bytes};

/// Options of `neuro model inspect`.
#[derive(Debug, ClapArgs)]
pub struct InspectArgs {
    /// A Hugging Face folder
    pub dir: PathBuf,
}

/// Opens the checkpoint, which checks every tensor's shape against the configuration, and describes it.
///
/// # Errors
/// When the checkpoint has a fault.
pub fn run(args: &InspectArgs, output: Output) -> CommandResult {
    let checkpoint = Checkpoint::open(&args.dir)?;
    let facts = describe(&checkpoint);
    if output.json {
        return output.object(&facts);
    }
    let rows = [
        ("architecture", text(&facts["architecture"])),
        ("parameters", format!("{:.2} M", checkpoint.parameters() as f64 / 1e6)),
        ("layers", text(&facts["layers"])),
        ("experts", format!("{} a layer, {} chosen for a token", facts["experts"], facts["top_k"])),
        ("d_model", text(&facts["d_model"])),
        ("expert width", text(&facts["d_expert"])),
        (
            "attention",
            format!("{} heads of {}, {} for keys and values", facts["heads"], facts["head_dim"], facts["kv_heads"]),
        ),
        ("vocabulary", text(&facts["vocab_size"])),
        ("context", text(&facts["context"])),
        ("trunk", format!("{} ({} as f32)", bytes(checkpoint.trunk_bytes()), bytes(number(&facts["trunk_f32_bytes"])))),
        (
            "experts, all",
            format!("{} ({} as f32)", bytes(checkpoint.expert_bytes()), bytes(number(&facts["expert_f32_bytes"]))),
        ),
    ];
    for (name, value) in rows {
        output.line(format!("{name:<14} {value}"))?;
    }
    Ok(())
}

fn describe(checkpoint: &Checkpoint) -> Value {
    let config = checkpoint.config();
    let expert_parameters = 3 * config.d_model as u64 * config.d_expert as u64;
    let moe_layers = (0..config.layers).filter(|&layer| config.is_moe(layer)).count() as u64;
    let all_experts = expert_parameters * moe_layers * config.router.experts as u64;
    json!({
        "architecture": config.architecture.to_string(), "parameters": checkpoint.parameters(),
        "layers": config.layers, "moe_layers": moe_layers,
        "experts": config.router.experts, "top_k": config.router.top_k,
        "d_model": config.d_model, "d_expert": config.d_expert,
        "heads": config.heads, "kv_heads": config.kv_heads, "head_dim": config.head_dim,
        "vocab_size": config.vocab_size, "context": config.context,
        "trunk_bytes": checkpoint.trunk_bytes(), "expert_bytes": checkpoint.expert_bytes(),
        "trunk_f32_bytes": (checkpoint.parameters() - all_experts) * 4, "expert_f32_bytes": all_experts * 4,
    })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}
