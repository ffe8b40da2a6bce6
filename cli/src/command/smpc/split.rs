//! `neuro smpc split`: a private model's weights as shares for three parties.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use neuro_model::Checkpoint;
use neuro_node::smpc_role::secret_weights::{self, MAX_LARGEST, Manifest, OwnerLimits, SecretWeightsError};
use serde_json::json;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style};
use crate::runtime;

/// Options of `neuro smpc split`.
#[derive(Debug, ClapArgs)]
pub struct SplitArgs {
    /// The model: a Hugging Face folder or a GGUF file
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Where the folders party-0, party-1, party-2 and public go
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Tokens that one client key may be told
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub queries: u64,
    /// Of a token, tell the indices and values of the K largest logits; of one, only its index
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LARGEST)))]
    pub top_k: u32,
}

/// Splits the model.
///
/// # Errors
/// A model that private inference does not cover, or a folder that is there already.
pub fn run(global: &GlobalArgs, args: &SplitArgs, output: Output) -> CommandResult {
    let key = runtime::data_dir(global)?.node_key()?;
    let checkpoint = Checkpoint::open(&args.model)?;
    let limits = OwnerLimits { queries: args.queries, largest: args.top_k };
    let manifest = secret_weights::split(&checkpoint, &args.out, &key, limits).map_err(failure)?;
    if output.json {
        return output.object(&json!({
            "model": manifest.hash().to_string(),
            "owner": manifest.owner.to_string(),
            "queries": limits.queries,
            "largest": limits.largest,
            "tied": manifest.tied,
        }));
    }
    let folder = args.out.display().to_string();
    output.line(format!("model    {}", manifest.hash()))?;
    output.line(format!("owner    {}", manifest.owner))?;
    output.line(format!("opened   {}", opened(&manifest)))?;
    output.line(format!("queries  {} tokens a client key", limits.queries))?;
    output.line(format!(
        "folders  {}: party-0, party-1, party-2, and public for clients",
        output.paint(Style::Copy, &folder)
    ))?;
    eprintln!(
        "any two of the three folders together are the model: send each to its party alone, and delete them here"
    );
    eprintln!("public: configuration, tokenizer and embedding table");
    if manifest.tied {
        eprintln!(
            "{} this model's output matrix is its embedding table, so it is public too",
            output.paint(Style::Error, "beware:")
        );
    }
    Ok(())
}

/// What is told of a token.
pub(super) fn opened(manifest: &Manifest) -> String {
    match manifest.limits.largest {
        1 => "the index of the largest logit of each token".to_owned(),
        largest => format!("indices and values of the {largest} largest logits of each token"),
    }
}

fn failure(error: SecretWeightsError) -> Failure {
    match &error {
        SecretWeightsError::Exists { .. } => Failure::new(Outcome::Refused, error).hint("name a new folder with --out"),
        _ => Failure::new(Outcome::Failed, error),
    }
}
