//! `neuro model split SOURCE OUT_DIR --shards N`.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use neuro_expert_runtime::conversion::{Conversion, Part, SplitRule, TypeChoice};
use neuro_model::Checkpoint;
use neuro_model::mapped_file::MappedFile;
use neuro_primitives::Hash;
use serde_json::{Value, json};

use crate::failure::{CommandResult, Failure};
use crate::output::{Output, bytes};
use crate::progress;

/// Options of `neuro model split`.
#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("rule").required(true))]
pub struct SplitArgs {
    /// A GGUF file or a Hugging Face folder; weights keep their types
    pub source: PathBuf,
    /// The folder to write into
    pub out_dir: PathBuf,
    /// How many files: the first with the trunk, the others with whole layers of experts
    #[arg(long, value_name = "N", group = "rule")]
    pub shards: Option<usize>,
    /// As few files as have at most this many bytes of weights each
    #[arg(long, value_name = "BYTES", group = "rule")]
    pub max_size: Option<u64>,
}

/// Writes the parts and a `manifest.json` that lists what is in each.
///
/// # Errors
/// When the source has a fault, cannot be cut so, or the disk refuses.
pub fn run(args: &SplitArgs, output: Output) -> CommandResult {
    let checkpoint = Checkpoint::open(&args.source)?;
    let conversion = Conversion::plan(&checkpoint, &TypeChoice::default())?;
    std::fs::create_dir_all(&args.out_dir)?;
    let rule = match (args.shards, args.max_size) {
        (Some(count), _) => SplitRule::Parts(count),
        (None, limit) => SplitRule::MaxBytes(limit.unwrap_or(u64::MAX)),
    };
    let bar = progress::bytes("splitting", conversion.source_bytes());
    let parts = conversion.write_split(&args.out_dir, &name(&args.source), rule, &mut |taken| bar.inc(taken))?;
    bar.finish_and_clear();
    let files = parts.iter().map(|part| describe(&args.out_dir, part)).collect::<Result<Vec<_>, _>>()?;
    let manifest = json!({"format": 1, "architecture": checkpoint.config().architecture.model_type(), "files": files});
    write_manifest(&args.out_dir, &manifest)?;
    if output.json {
        return output.object(&manifest);
    }
    show(&parts, &files, output)
}

/// The source's name without an ending, and without the numbers of a part.
fn name(source: &Path) -> String {
    let whole = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    let stem = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
    let stem = stem.map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let part = stem.rsplit_once("-of-").filter(|(_, count)| number(count));
    let base = part.and_then(|(rest, _)| rest.rsplit_once('-')).filter(|(_, at)| number(at));
    base.map_or_else(|| stem.to_string(), |(base, _)| base.to_owned())
}

fn describe(folder: &Path, part: &Part) -> Result<Value, Failure> {
    let file = MappedFile::open(&folder.join(&part.file))?;
    let experts: Vec<Value> = part
        .experts
        .iter()
        .map(|range| json!({"layer": range.layer, "first": range.experts.start, "count": range.experts.len()}))
        .collect();
    Ok(json!({
        "file": part.file, "bytes": file.bytes().len(), "blake3": Hash::of(file.bytes()).to_string(),
        "experts": experts, "tensors": part.tensors,
    }))
}

/// Under another name first, so that nobody reads half of it.
fn write_manifest(folder: &Path, manifest: &Value) -> Result<(), Failure> {
    let temporary = folder.join("manifest.json.partial");
    std::fs::write(&temporary, format!("{}\n", serde_json::to_string_pretty(manifest)?))?;
    Ok(std::fs::rename(temporary, folder.join("manifest.json"))?)
}

fn show(parts: &[Part], files: &[Value], output: Output) -> CommandResult {
    let rows: Vec<Vec<String>> = parts
        .iter()
        .zip(files)
        .map(|(part, file)| {
            let layers = match (part.experts.first(), part.experts.last()) {
                (Some(first), Some(last)) => format!("{}..={}", first.layer, last.layer),
                _ => "none".to_owned(),
            };
            vec![part.file.clone(), part.tensors.len().to_string(), layers, bytes(file["bytes"].as_u64().unwrap_or(0))]
        })
        .collect();
    output.line(output.table(&["file", "tensors", "layers of experts", "size"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_after_their_source() {
        assert_eq!(name(Path::new("/models/a-Q4_K.gguf")), "a-Q4_K");
        assert_eq!(name(Path::new("/models/a-00001-of-00003.gguf")), "a");
        assert_eq!(name(Path::new("/models/one-of-many.gguf")), "one-of-many");
    }
}
