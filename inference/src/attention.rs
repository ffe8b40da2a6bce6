//! Grouped-query attention: "Attention Is All You Need", Vaswani et al., arXiv 1706.03762, equation 1, with query heads
//! that share keys and values as in "GQA", Ainslie et al., arXiv 2305.13245.
//!
//! A position's result depends on its query and on the keys and values before it, and on nothing else: [`attend`]
//! computes every (position, head) with the same operations in the same order, whether the position came in a prompt
//! or was decoded alone.

use neuro_expert_runtime::EngineError;
use neuro_expert_runtime::kernels::InstructionSet;
use neuro_expert_runtime::kernels::attention::{Queries, attend};
use neuro_primitives::Rows;

use crate::kv_cache::{HeadShape, LayerCache};
use crate::norm::RmsNorm;
use crate::projection::Projection;
use crate::rope::Rotation;

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
        let (kv, heads) = (self.shape.kv, self.shape.group());
        let scale = 1.0 / (kv.key_dim as f32).sqrt();
        let groups = query.chunks_exact(heads * kv.key_dim).zip(out.chunks_exact_mut(heads * kv.value_dim));
        for (head, (values, out)) in groups.enumerate() {
            let queries = Queries { values, heads, scale, sinks: None };
            let (keys, values) = (cache.keys(head, from, to), cache.values(head, from, to));
            attend(InstructionSet::current(), &queries, keys, values, scores, out);
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

#[cfg(test)]
mod tests;
