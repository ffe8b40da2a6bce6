//! The round's tensors in the participant's model: whole tensors, rows of them, or adapters beside them.

use std::ops::Range;

use neuro_fl_aggregator::trainer_contract::TensorEntry;

use super::RoundFailure;
use crate::choice::{Stretch, TrainedParts};
use crate::low_rank::{self, LowRank};
use crate::weights::{Matrix, Weights};

/// Ends of the names of adapters.
const ADAPTERS: [&str; 2] = [".lora_a", ".lora_b"];

/// What a round trains of a model.
#[derive(Debug)]
pub(super) struct RoundTensors {
    /// In the order of the round's vector.
    pub(super) parts: TrainedParts,
    /// The adapters among them.
    pub(super) low_rank: Option<LowRank>,
}

impl RoundTensors {
    /// Finds the round's tensors in `weights`; adapters are put there.
    pub(super) fn of(entries: &[TensorEntry], weights: &mut Weights, alpha: Option<f32>) -> Result<Self, RoundFailure> {
        let low_rank = adapters(entries, weights, alpha)?;
        let stretches: Vec<Stretch> =
            entries.iter().map(|entry| stretch(entry, weights)).collect::<Result<_, RoundFailure>>()?;
        Ok(Self { parts: TrainedParts::of_stretches(stretches, weights)?, low_rank })
    }
}

/// One tensor of the round; its shape must be the model's.
fn stretch(entry: &TensorEntry, weights: &Weights) -> Result<Stretch, RoundFailure> {
    let (name, rows) = split(&entry.name);
    let matrix = weights.get(name)?;
    let all = 0..matrix.rows();
    let mut expected = matrix.shape.clone();
    if let (Some(rows), Some(first)) = (&rows, expected.first_mut()) {
        *first = rows.len();
    }
    if expected != entry.shape {
        return Err(RoundFailure::Shape { name: entry.name.clone(), expected, got: entry.shape.clone() });
    }
    let rows = rows.unwrap_or_else(|| all.clone());
    Ok(Stretch { name: name.to_owned(), all: rows == all, rows, width: matrix.width() })
}

/// `name[from..to]` in two; other names are whole tensors.
fn split(text: &str) -> (&str, Option<Range<usize>>) {
    let parsed = || {
        let (name, rows) = text.strip_suffix(']')?.rsplit_once('[')?;
        let (from, to) = rows.split_once("..")?;
        Some((name, from.parse().ok()?..to.parse().ok()?))
    };
    parsed().map_or((text, None), |(name, rows)| (name, Some(rows)))
}

/// The adapters that the round trains, put into `weights` with the round's shapes; their values come with the round.
fn adapters(
    entries: &[TensorEntry],
    weights: &mut Weights,
    alpha: Option<f32>,
) -> Result<Option<LowRank>, RoundFailure> {
    let of_kind =
        |kind: usize| entries.iter().filter_map(move |entry| Some((entry.name.strip_suffix(ADAPTERS[kind])?, entry)));
    let [firsts, seconds] = [0, 1].map(|kind| of_kind(kind).collect::<Vec<_>>());
    let names = |found: &[(&str, &TensorEntry)]| found.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let projections = names(&firsts);
    if projections != names(&seconds) {
        let got = format!("{} of the first and {} of the second kind", firsts.len(), seconds.len());
        return Err(RoundFailure::Adapters { expected: "in pairs of .lora_a and .lora_b", got });
    }
    let Some((_, first)) = firsts.first() else { return Ok(None) };
    let rank = first.shape.first().copied().unwrap_or_default();
    for ((projection, a), (_, b)) in firsts.iter().zip(&seconds) {
        let matrix = weights.get(projection)?;
        let expected = [vec![rank, matrix.width()], vec![matrix.rows(), rank]];
        for (entry, expected) in [a, b].into_iter().zip(expected) {
            if entry.shape != expected {
                return Err(RoundFailure::Shape { name: entry.name.clone(), expected, got: entry.shape.clone() });
            }
        }
        let names = low_rank::names(projection);
        for (name, entry) in names.into_iter().zip([a, b]) {
            let values = vec![0.0; entry.shape.iter().product()];
            weights.insert(name, Matrix { shape: entry.shape.clone(), values });
        }
    }
    Ok(Some(LowRank { projections, rank, alpha: alpha.unwrap_or(rank as f32) }))
}
