//! Query heads that share keys and values: "GQA", Ainslie et al., arXiv 2305.13245.

use neuro_expert_runtime::EngineError;
use neuro_primitives::Rows;

use super::{Heads, Span};
use crate::kv_cache::PagePool;
use crate::norm::RmsNorm;
use crate::projection::Projection;

/// One layer's attention with grouped heads.
pub struct GroupedAttention {
    /// The heads.
    pub heads: Heads,
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

impl GroupedAttention {
    /// As [`super::Attention::apply`].
    pub(super) fn apply(&self, hidden: &Rows, span: &Span<'_>, pool: &mut PagePool) -> Result<Rows, EngineError> {
        let (keys, values) = self.keys_and_values(hidden, span)?;
        span.write(pool, |row| (keys.row(row), values.row(row)));
        let asking = span.asking();
        if asking.is_empty() {
            return Ok(Rows::zeros(0, hidden.width()));
        }
        let queries = self.queries(hidden, span, &asking)?;
        self.output.apply(&self.heads.attend(&queries, span, pool))
    }

    /// The queries of the rows `asking`, normalised, clipped, rotated. `[asking, heads × head_dim]`, f32.
    pub(super) fn queries(&self, hidden: &Rows, span: &Span<'_>, asking: &[usize]) -> Result<Rows, EngineError> {
        let mut queries = self.query.apply(&Span::gathered(hidden, asking))?;
        if let Some((norm, _)) = &self.query_key_norm {
            norm.apply_in_place(queries.values_mut());
        }
        self.clip(&mut queries);
        for (index, row) in asking.iter().enumerate() {
            span.rotation.apply(*row, queries.row_mut(index));
        }
        Ok(queries)
    }

    /// Keys (normalised, clipped, rotated) and values (clipped) of every row. `[rows, kv_heads × head_dim]` each, f32.
    pub(super) fn keys_and_values(&self, hidden: &Rows, span: &Span<'_>) -> Result<(Rows, Rows), EngineError> {
        let (mut keys, mut values) = (self.key.apply(hidden)?, self.value.apply(hidden)?);
        if let Some((_, norm)) = &self.query_key_norm {
            norm.apply_in_place(keys.values_mut());
        }
        self.clip(&mut keys);
        self.clip(&mut values);
        for row in 0..keys.count() {
            span.rotation.apply(row, keys.row_mut(row));
        }
        Ok((keys, values))
    }

    fn clip(&self, rows: &mut Rows) {
        if let Some(limit) = self.clip {
            rows.values_mut().iter_mut().for_each(|value| *value = value.clamp(-limit, limit));
        }
    }
}
