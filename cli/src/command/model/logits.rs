//! `neuro model logits DIR --ids 1,2,3`: so that anyone can check the arithmetic.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args as ClapArgs;
use neuro_inference::{LocalExperts, Trunk};
use neuro_model::Checkpoint;
use serde_json::json;

use crate::failure::CommandResult;
use crate::output::Output;

/// Options of `neuro model logits`.
#[derive(Debug, ClapArgs)]
pub struct LogitsArgs {
    /// A Hugging Face folder
    pub dir: PathBuf,
    /// Token ids of the prompt
    #[arg(long, value_delimiter = ',', required = true, value_name = "ID,ID,…")]
    pub ids: Vec<u32>,
}

/// Computes in this process.
///
/// # Errors
/// When the checkpoint has a fault or an id lies beyond the vocabulary.
pub fn run(args: &LogitsArgs, output: Output) -> CommandResult {
    let checkpoint = Arc::new(Checkpoint::open(&args.dir)?);
    let engine = neuro_expert_runtime::default_engine();
    let trunk = Trunk::load(&checkpoint, Arc::clone(&engine), &mut |_| {})?;
    let experts = LocalExperts::load(&checkpoint, engine, None, &mut |_| {})?;
    let logits = trunk.forward(&mut trunk.new_cache(), &args.ids, &experts)?;
    let argmax = neuro_inference::sampler::greedy(&logits);
    if output.json {
        return output.object(&json!({"logits": logits, "argmax": argmax}));
    }
    let mut best: Vec<(usize, f32)> = logits.iter().copied().enumerate().collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let rows: Vec<Vec<String>> =
        best.iter().take(10).map(|(id, logit)| vec![id.to_string(), format!("{logit:.6}")]).collect();
    output.line(output.table(&["id", "logit"], &rows))
}
