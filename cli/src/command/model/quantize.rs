//! `neuro model quantize SOURCE OUT.gguf --type q4_k`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use neuro_expert_runtime::conversion::{Conversion, Override, PlannedTensor, TypeChoice};
use neuro_model::{Checkpoint, TensorType};
use serde_json::json;

use crate::failure::CommandResult;
use crate::output::{Output, bytes};
use crate::progress;

/// Options of `neuro model quantize`.
#[derive(Debug, ClapArgs)]
pub struct QuantizeArgs {
    /// A Hugging Face folder or a GGUF file
    pub source: PathBuf,
    /// The GGUF file to write
    pub out: PathBuf,
    /// The type of the weights: f32, f16, bf16, q8_0, q6_k, q5_k, q4_k, q4_0, iq4_nl or mxfp4
    #[arg(long = "type", value_name = "TYPE", value_parser = tensor_type)]
    pub tensor_type: TensorType,
    /// Another type for tensors by name, such as 'blk.*.ffn_down_exps.weight=q6_k'; the first match counts
    #[arg(long = "override", value_name = "PATTERN=TYPE")]
    pub overrides: Vec<Override>,
    /// Threads that compute; all cores by default
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Reads a type as the command line has it.
fn tensor_type(name: &str) -> Result<TensorType, String> {
    let names = TensorType::ALL.map(TensorType::name).join(", ");
    TensorType::from_name(name).ok_or_else(|| format!("expected one of {names}"))
}

/// Writes the file and says what is in it.
///
/// # Errors
/// When the source has a fault, cannot be written in the format, or the disk refuses.
pub fn run(args: &QuantizeArgs, output: Output) -> CommandResult {
    if let Some(threads) = args.threads {
        neuro_expert_runtime::set_threads(threads)?;
    }
    let checkpoint = Checkpoint::open(&args.source)?;
    let choice = TypeChoice { tensor_type: Some(args.tensor_type), overrides: args.overrides.clone() };
    let conversion = Conversion::plan(&checkpoint, &choice)?;
    let bar = progress::bytes("quantising", conversion.source_bytes());
    conversion.write(&args.out, &mut |taken| bar.inc(taken))?;
    bar.finish_and_clear();
    report(args, &conversion, output)
}

/// Tensors and bytes of one type.
#[derive(Debug, Default, Clone, Copy)]
struct Share {
    tensors: usize,
    bytes: u64,
}

fn report(args: &QuantizeArgs, conversion: &Conversion<'_>, output: Output) -> CommandResult {
    let mut shares: BTreeMap<TensorType, Share> = BTreeMap::new();
    for tensor in conversion.tensors() {
        let share = shares.entry(tensor.tensor_type).or_default();
        share.tensors += 1;
        share.bytes += tensor.bytes()?;
    }
    let size = std::fs::metadata(&args.out)?.len();
    let fallen: Vec<&PlannedTensor> = conversion.tensors().iter().filter(|tensor| tensor.fell_back()).collect();
    if output.json {
        return output.object(&json!({
            "file": args.out, "bytes": size, "source_bytes": conversion.source_bytes(),
            "types": shares.iter().map(|(tensor_type, share)| {
                (tensor_type.name(), json!({"tensors": share.tensors, "bytes": share.bytes}))
            }).collect::<BTreeMap<_, _>>(),
            "fallbacks": fallen.iter().map(|tensor| json!({
                "tensor": tensor.export.name, "wanted": tensor.wanted.name(), "type": tensor.tensor_type.name(),
            })).collect::<Vec<_>>(),
        }));
    }
    let before = bytes(conversion.source_bytes());
    output.line(format!("{}: {}, from {before} of weights", args.out.display(), bytes(size)))?;
    let rows: Vec<Vec<String>> = shares
        .iter()
        .map(|(tensor_type, share)| vec![tensor_type.to_string(), share.tensors.to_string(), bytes(share.bytes)])
        .collect();
    output.line(output.table(&["type", "tensors", "size"], &rows))?;
    for ((wanted, used), count) in fallbacks(&fallen) {
        output.line(format!("{count} tensors are {used}: their rows are not whole {wanted} blocks"))?;
    }
    Ok(())
}

fn fallbacks(fallen: &[&PlannedTensor]) -> BTreeMap<(TensorType, TensorType), usize> {
    let mut counts = BTreeMap::new();
    for tensor in fallen {
        *counts.entry((tensor.wanted, tensor.tensor_type)).or_default() += 1;
    }
    counts
}
