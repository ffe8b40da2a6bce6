//! From a checkpoint to what rounds begin with, and from a round's weights to a checkpoint that anything can run.

use std::fs;
use std::path::Path;

use neuro_fl_aggregator::trainer_contract::TensorEntry;
use neuro_fl_aggregator::{Flat, Layout, LayoutError};
use neuro_model::Checkpoint;
use neuro_model::tensor_file::TensorTable;

use super::RoundFailure;
use super::round_tensors::RoundTensors;
use crate::error::ModelError;
use crate::low_rank::{self, LowRank};
use crate::weights::Weights;

/// The safetensors file that a round of adapters begins with: for each projection of `model` (a checkpoint) that `finds`
/// says yes to, `A` `[rank, in]` drawn small from `seed` and `B` `[out, rank]` zero.
///
/// # Errors
/// A checkpoint that cannot be read, a rank of 0, or no such projection.
pub fn adapters(
    model: &Path,
    finds: impl Fn(&str) -> bool,
    rank: usize,
    seed: u64,
) -> Result<(usize, Vec<u8>), RoundFailure> {
    let mut weights = Weights::read(&Checkpoint::open(model).map_err(ModelError::from)?)?;
    let found = weights.iter().filter(|(name, matrix)| matrix.shape.len() == 2 && finds(name));
    let projections: Vec<String> = found.map(|(name, _)| name.to_owned()).collect();
    if projections.is_empty() || rank == 0 {
        let got = format!("{} projections and a rank of {rank}", projections.len());
        return Err(RoundFailure::Adapters { expected: "beside at least one projection, of rank 1 or more", got });
    }
    let names: Vec<String> = projections.iter().flat_map(|name| low_rank::names(name)).collect();
    let count = projections.len();
    LowRank { projections, rank, alpha: rank as f32 }.attach(&mut weights, seed)?;
    Ok((count, file_of(&weights, |name| names.iter().any(|known| known == name))?))
}

/// Writes a checkpoint into the folder `out`: the one at `model` with the values of `round`, a safetensors file that a
/// round ended with. Adapters are added to their projections, `alpha / rank` times, by default once. All tensors are
/// stored in f32, since a round's values are. Returns how many values are the round's.
///
/// # Errors
/// A checkpoint or a file that cannot be used, tensors that the model does not have, a folder that cannot be written.
pub fn apply(model: &Path, round: &Path, alpha: Option<f32>, out: &Path) -> Result<usize, RoundFailure> {
    let checkpoint = Checkpoint::open(model).map_err(ModelError::from)?;
    let mut weights = Weights::read(&checkpoint)?;
    let bytes = fs::read(round).map_err(|source| RoundFailure::io(round, source))?;
    let wrong = |why: LayoutError| RoundFailure::file(round, why);
    let table = TensorTable::from_bytes(&bytes).map_err(|error| wrong(error.into()))?;
    let entries: Vec<TensorEntry> =
        table.iter().map(|(name, entry)| TensorEntry { name: name.to_owned(), shape: entry.shape.clone() }).collect();
    let layout = Layout::of_shapes(entries.iter().map(|entry| (entry.name.as_str(), entry.shape.clone())));
    let layout = layout.map_err(wrong)?;
    let tensors = RoundTensors::of(&entries, &mut weights, alpha)?;
    tensors.parts.write(&layout.read(&bytes).map_err(wrong)?.0, &mut weights)?;
    if let Some(low_rank) = &tensors.low_rank {
        low_rank.merge(&mut weights)?;
    }
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        fs::write(&path, bytes).map_err(|source| RoundFailure::io(&path, source))
    };
    fs::create_dir_all(out).map_err(|source| RoundFailure::io(out, source))?;
    for asset in checkpoint.assets() {
        write(&asset.name, &asset.bytes)?;
    }
    write("model.safetensors", &file_of(&weights, |_| true)?)?;
    Ok(layout.entries())
}

/// The tensors that `keep` says yes to as a safetensors file, f32.
fn file_of(weights: &Weights, keep: impl Fn(&str) -> bool) -> Result<Vec<u8>, RoundFailure> {
    let kept: Vec<_> = weights.iter().filter(|(name, _)| keep(name)).collect();
    let written = Layout::of_shapes(kept.iter().map(|(name, matrix)| (*name, matrix.shape.clone())))
        .and_then(|layout| layout.write(&Flat(kept.iter().flat_map(|(_, matrix)| matrix.values.clone()).collect())));
    written.map_err(|why| RoundFailure::Task { why: why.to_string() })
}
