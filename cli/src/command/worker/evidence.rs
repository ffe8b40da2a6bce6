//! `neuro worker evidence FILE --model DIR`: so that anyone can judge whether a worker answered wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args as ClapArgs;
use neuro_model::Checkpoint;
use neuro_node::evidence::{Judge, read_evidence};
use neuro_protocol::{Evidence, Verdict};
use serde_json::json;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;
use crate::runtime;

/// Options of `neuro worker evidence`.
#[derive(Debug, ClapArgs)]
pub struct EvidenceArgs {
    /// The evidence
    pub file: PathBuf,
    /// The model that it is about: a Hugging Face folder or a GGUF file
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
}

/// Judges the evidence in this process.
///
/// # Errors
/// When a file cannot be read, or the evidence shows nothing.
pub fn run(global: &GlobalArgs, args: &EvidenceArgs, output: Output) -> CommandResult {
    let evidence = read(&args.file)?;
    let checkpoint = Arc::new(Checkpoint::open(&args.model)?);
    let judge = Judge::new(checkpoint, &runtime::data_dir(global)?)?;
    show(&evidence, &judge.judge(&evidence), output)
}

fn read(file: &Path) -> Result<Evidence, Failure> {
    read_evidence(file).map_err(|error| {
        let outcome = if error.is_unfounded() { Outcome::Refused } else { Outcome::Failed };
        Failure::message(outcome, format!("{}: {error}", file.display()))
    })
}

fn show(evidence: &Evidence, verdict: &Verdict, output: Output) -> CommandResult {
    let (expert, task) = (evidence.expert, evidence.task.0);
    let (word, worker) = match verdict {
        Verdict::Wrong { worker, .. } => ("wrong", worker),
        Verdict::Right { worker } => ("right", worker),
        Verdict::Unfounded(reason) => return Err(Failure::message(Outcome::Refused, format!("unfounded: {reason}"))),
    };
    if output.json {
        let (expert, worker) = (expert.to_string(), worker.to_string());
        return output.object(&json!({"verdict": word, "worker": worker, "expert": expert, "task": task}));
    }
    output.line(format!("{word}: worker {} on {expert} in task {task}", worker.short()))
}
