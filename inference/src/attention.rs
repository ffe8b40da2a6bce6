//! Grouped-query attention: "Attention Is All You Need", Vaswani et al., arXiv 1706.03762, equation 1, with query heads
//! that share keys and values as in "GQA", Ainslie et al., arXiv 2305.13245.
//!
//! A position's result depends on its query and on the keys and values before it, and on nothing else: [`attend`]
//! computes every (position, head) with the same operations in the same order, whether the position came in a prompt
//! or was decoded alone.

use neuro_expert_runtime::EngineError;
use neuro_primitives::Rows;

use crate::kv_cache::{HeadShape, LayerCache};
use crate::norm::RmsNorm;
use crate::projection::Projection;
use crate::rope::Rotation;
use crate::sums;

/// The sizes of one attention layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Query heads; a multiple of the key/value heads.
    pub heads: usize,
    /// Key/value heads and their width.
    pub kv: HeadShape,
    /// A position sees itself and the `window - 1` positions before it; all of them if absent.
    pub window: Option<usize>,
}

/// One layer's attention.
pub struct Attention {
    /// The sizes.
    pub shape: AttentionShape,
    /// `[d_model] → [heads × head_dim]`.
    pub query: Projection,
    /// `[d_model] → [kv_heads × head_dim]`.
    pub key: Projection,
    /// `[d_model] → [kv_heads × head_dim]`.
    pub value: Projection,
    /// `[heads × head_dim] → [d_model]`.
    pub output: Projection,
    /// The norms of queries and keys. Their width says what is normalised: each head, or the whole row.
    pub query_key_norm: Option<(RmsNorm, RmsNorm)>,
    /// Queries, keys and values are clamped to ± this after the norm.
    pub clip: Option<f32>,
}

impl Attention {
    /// Attends from `hidden` (`[rows, d_model]`, f32, normalised), whose first row stands at position `first`, and
    /// writes the rows' keys and values into `cache`. `[rows, d_model]`, f32.
    ///
    /// # Errors
    /// When the engine fails. Positions from `first` on are then to be written again.
    pub fn apply(
        &self,
        hidden: &Rows,
        first: usize,
        rotation: &Rotation,
        cache: &mut LayerCache,
    ) -> Result<Rows, EngineError> {
        let (queries, keys, values) = self.project(hidden, rotation)?;
        for (offset, (key, value)) in keys.iter().zip(values.iter()).enumerate() {
            cache.write(first + offset, key, value);
        }
        self.output.apply(&self.attend_rows(&queries, first, cache))
    }

    /// Queries, keys and values of every row: projected, normalised, clipped, rotated.
    fn project(&self, hidden: &Rows, rotation: &Rotation) -> Result<(Rows, Rows, Rows), EngineError> {
        let mut queries = self.query.apply(hidden)?;
        let mut keys = self.key.apply(hidden)?;
        let mut values = self.value.apply(hidden)?;
        if let Some((query_norm, key_norm)) = &self.query_key_norm {
            query_norm.apply_in_place(queries.values_mut());
            key_norm.apply_in_place(keys.values_mut());
        }
        if let Some(limit) = self.clip {
            for rows in [&mut queries, &mut keys, &mut values] {
                rows.values_mut().iter_mut().for_each(|value| *value = value.clamp(-limit, limit));
            }
        }
        for row in 0..hidden.count() {
            rotation.apply(row, queries.row_mut(row));
            rotation.apply(row, keys.row_mut(row));
        }
        Ok((queries, keys, values))
    }

    /// Every row's heads, each over the positions that the row may see. `[rows, heads × head_dim]`, f32.
    fn attend_rows(&self, queries: &Rows, first: usize, cache: &LayerCache) -> Rows {
        let mut attended = Rows::zeros(queries.count(), queries.width());
        let mut scores = Vec::with_capacity(first + queries.count());
        for row in 0..queries.count() {
            let to = first + row + 1;
            let from = self.shape.window.map_or(0, |window| to.saturating_sub(window));
            self.attend_row(queries.row(row), cache, from, to, &mut scores, attended.row_mut(row));
        }
        attended
    }

    fn attend_row(
        &self,
        query: &[f32],
        cache: &LayerCache,
        from: usize,
        to: usize,
        scores: &mut Vec<f32>,
        out: &mut [f32],
    ) {
        let (width, group) = (self.shape.kv.head_dim, self.shape.group());
        for (head, (query, out)) in query.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
            let kv_head = head / group;
            attend(query, cache.keys(kv_head, from, to), cache.values(kv_head, from, to), scores, out);
        }
    }
}

impl AttentionShape {
    /// Query heads that share a key/value head.
    #[must_use]
    pub const fn group(&self) -> usize {
        self.heads / self.kv.kv_heads
    }
}

/// `softmax(q·Kᵀ / √head_dim)·V` of one query (`[head_dim]`, f32) into `out` (`[head_dim]`, f32, zeroed).
///
/// `keys` and `values` come in runs of whole positions (`[positions, head_dim]`, f32), oldest first. Scores are dot
/// products in the order of [`sums`]; the largest is subtracted before exp; the weights are summed in that order too;
/// the weighted values are added position by position, and divided by the weights' sum at the end. `scores` is scratch.
pub fn attend<'a>(
    query: &[f32],
    keys: impl Iterator<Item = &'a [f32]>,
    values: impl Iterator<Item = &'a [f32]>,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let width = query.len();
    let scale = 1.0 / (width as f32).sqrt();
    scores.clear();
    scores.extend(keys.flat_map(|run| run.chunks_exact(width)).map(|key| sums::dot(query, key) * scale));
    let total = exponentiate(scores);
    for (value, weight) in values.flat_map(|run| run.chunks_exact(width)).zip(scores.iter()) {
        sums::add_scaled(out, *weight, value);
    }
    for value in out {
        *value /= total;
    }
}

/// Replaces each score by exp(score − largest) and returns their sum: the numerators and the denominator of a softmax.
pub(crate) fn exponentiate(scores: &mut [f32]) -> f32 {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = libm::expf(*score - largest);
    }
    sums::sum(scores)
}

#[cfg(test)]
mod tests;
