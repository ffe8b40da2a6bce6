//! More experts for a model: the first step of "Branch-Train-MiX" (Sukhbaatar et al., arXiv 2403.07816) and of
//! "FlexOlmo" (Shi et al., arXiv 2507.07024).
//!
//! A new expert begins as the copy of an old one, its row of the router as the copy of that expert's row. The old
//! experts and their rows keep their bits, so whatever is not routed to a new expert is computed as before.

use neuro_model::ModelConfig;
use neuro_model::names;
use neuro_primitives::ExpertId;
use serde_json::Value;

use crate::choice;
use crate::error::ModelError;
use crate::weights::Weights;

/// The keys that say how many experts there are, one of which each family uses.
const COUNTS: [&str; 2] = ["num_local_experts", "num_experts"];

/// `config.json` and weights of the same model with one more expert in every layer for each of `copies`, the number of
/// the old expert that it begins as.
///
/// # Errors
/// A configuration that is not JSON or has no number of experts; an expert that is not there.
pub fn with_more_experts(config: &[u8], weights: &Weights, copies: &[u16]) -> Result<(Vec<u8>, Weights), ModelError> {
    let unusable = |error: String| ModelError::Config(error);
    let old = ModelConfig::from_json(config).map_err(|error| unusable(error.to_string()))?;
    let mut json: Value = serde_json::from_slice(config).map_err(|error| unusable(error.to_string()))?;
    let key = COUNTS.into_iter().find(|key| json.get(key).is_some());
    let key = key.ok_or_else(|| unusable(format!("expected one of {COUNTS:?}, got none")))?;
    json[key] = Value::from(old.router.experts + copies.len());
    let grown = serde_json::to_vec_pretty(&json).map_err(|error| unusable(error.to_string()))?;
    let new = ModelConfig::from_json(&grown).map_err(|error| unusable(error.to_string()))?;
    let mut weights = weights.clone();
    for (layer, router) in choice::routers(&old) {
        for (added, copy) in copies.iter().enumerate() {
            let ids = [usize::from(*copy), old.router.experts + added];
            let [from, to] = ids.map(|expert| ExpertId { layer: layer as u16, expert: expert as u16 });
            copy_expert((&old, &new), &mut weights, from, to)?;
            append_row(&mut weights, &router, usize::from(*copy))?;
        }
    }
    Ok((grown, weights))
}

fn copy_expert(
    (old, new): (&ModelConfig, &ModelConfig),
    weights: &mut Weights,
    from: ExpertId,
    to: ExpertId,
) -> Result<(), ModelError> {
    let (source, target) = (names::expert(old, from), names::expert(new, to));
    for (source, target) in
        [(source.gate, target.gate), (source.up, target.up), (source.down, target.down)]
    {
        let matrix = weights.get(&source)?.clone();
        weights.insert(target, matrix);
    }
    Ok(())
}

fn append_row(weights: &mut Weights, name: &str, row: usize) -> Result<(), ModelError> {
    let matrix = weights.get_mut(name)?;
    let (rows, width) = (matrix.rows(), matrix.width());
    if row >= rows {
        return Err(ModelError::Rows { name: name.to_owned(), rows, from: row, to: row + 1 });
    }
    matrix.values.extend_from_within(row * width..(row + 1) * width);
    matrix.shape[0] = rows + 1;
    Ok(())
}

#[cfg(test)]
mod tests;
