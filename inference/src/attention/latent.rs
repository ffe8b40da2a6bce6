//! Latent attention: "DeepSeek-V2", arXiv 2405.04434, section 2.1.
//!
//! All heads' keys and values are linear in one latent vector `c` per position: head `h` has the key `(U_h·c, r)`, with
//! a rotated part `r` that the heads share, and the value `V_h·c`. So `q·U_h·c = (U_hᵀ·q)·c`: the query is taken into
//! the latent space once, attention runs there, and `V_h` is applied to its result. The cache holds `(c, r)` alone, one
//! key/value head whose value is the beginning of its key; keys and values of heads are never made.

use neuro_expert_runtime::{EngineError, Linear};
use neuro_primitives::Rows;

use super::{Heads, Span};
use crate::kv_cache::PagePool;
use crate::norm::RmsNorm;
use crate::parallel;
use crate::projection::Projection;

/// One layer's latent attention.
pub struct LatentAttention {
    /// The heads, over one key/value head: keys of `kv_rank + rope_dim` elements, values of `kv_rank`.
    pub heads: Heads,
    /// Elements of a head's query without a position.
    pub nope_dim: usize,
    /// Elements of a head's query with a position, after those without.
    pub rope_dim: usize,
    /// `[d_model] → [heads × (nope_dim + rope_dim)]`.
    pub query: LatentQuery,
    /// `[d_model] → [kv_rank + rope_dim]`: the latent vector before its norm, and the shared key.
    pub down: Projection,
    /// The norm of the latent vector.
    pub norm: RmsNorm,
    /// `U_hᵀ` of each head: `[nope_dim] → [kv_rank]`.
    pub key_up: HeadProjections,
    /// `V_h` of each head: `[kv_rank] → [value_dim]`.
    pub value_up: HeadProjections,
    /// `[heads × value_dim] → [d_model]`.
    pub output: Projection,
}

/// How queries are made.
pub enum LatentQuery {
    /// In one product.
    Direct(Projection),
    /// Through a latent vector of their own.
    LowRank {
        /// `[d_model] → [query_rank]`.
        down: Projection,
        /// The norm of the latent vector.
        norm: RmsNorm,
        /// `[query_rank] → [heads × (nope_dim + rope_dim)]`.
        up: Projection,
    },
}

/// A matrix of its own for every head: `[input] → [output]` each.
pub struct HeadProjections {
    /// One a head.
    pub linears: Vec<Box<dyn Linear>>,
    /// Elements that a head takes.
    pub input: usize,
    /// Elements that a head puts out.
    pub output: usize,
}

impl LatentAttention {
    /// As [`super::Attention::apply`].
    pub(super) fn apply(&self, hidden: &Rows, span: &Span<'_>, pool: &mut PagePool) -> Result<Rows, EngineError> {
        let latents = self.latents(hidden, span)?;
        span.write(pool, |row| (latents.row(row), &[]));
        let asking = span.asking();
        if asking.is_empty() {
            return Ok(Rows::zeros(0, hidden.width()));
        }
        let queries = self.queries(hidden, span, &asking)?;
        let attended = self.heads.attend(&queries, span, pool);
        self.output.apply(&self.value_up.apply(&attended)?)
    }

    /// What the cache keeps of every row: the normalised latent vector and the rotated shared key.
    /// `[rows, kv_rank + rope_dim]`, f32.
    pub(super) fn latents(&self, hidden: &Rows, span: &Span<'_>) -> Result<Rows, EngineError> {
        let mut latents = self.down.apply(hidden)?;
        for row in 0..latents.count() {
            let (latent, shared_key) = latents.row_mut(row).split_at_mut(self.heads.kv.value_dim);
            self.norm.apply_in_place(latent);
            span.rotation.apply(row, shared_key);
        }
        Ok(latents)
    }

    /// The queries of the rows `asking`, in the cache's space. `[asking, heads × (kv_rank + rope_dim)]`, f32.
    fn queries(&self, hidden: &Rows, span: &Span<'_>, asking: &[usize]) -> Result<Rows, EngineError> {
        let mut queries = self.query.apply(&Span::gathered(hidden, asking))?;
        let width = self.nope_dim + self.rope_dim;
        for (index, row) in asking.iter().enumerate() {
            for head in queries.row_mut(index).chunks_exact_mut(width) {
                span.rotation.apply(*row, &mut head[self.nope_dim..]);
            }
        }
        let split = |from: usize, to: usize| {
            let values = queries.values().chunks_exact(width).flat_map(|head| &head[from..to]).copied();
            Rows::new(self.heads.count * (to - from), values.collect())
        };
        let latent = self.key_up.apply(&split(0, self.nope_dim))?;
        Ok(self.joined(&latent, &split(self.nope_dim, width)))
    }

    /// Head by head, `latent` (`[rows, heads × kv_rank]`) and then `rotated` (`[rows, heads × rope_dim]`).
    fn joined(&self, latent: &Rows, rotated: &Rows) -> Rows {
        let heads =
            latent.values().chunks_exact(self.heads.kv.value_dim).zip(rotated.values().chunks_exact(self.rope_dim));
        let values = heads.flat_map(|(latent, rotated)| latent.iter().chain(rotated)).copied().collect();
        Rows::new(self.heads.count * self.heads.kv.key_dim, values)
    }
}

impl LatentQuery {
    /// `hidden` (`[rows, d_model]`, f32) → `[rows, heads × (nope_dim + rope_dim)]`, f32, not rotated.
    pub(super) fn apply(&self, hidden: &Rows) -> Result<Rows, EngineError> {
        match self {
            Self::Direct(projection) => projection.apply(hidden),
            Self::LowRank { down, norm, up } => {
                let mut latent = down.apply(hidden)?;
                norm.apply_in_place(latent.values_mut());
                up.apply(&latent)
            }
        }
    }
}

impl HeadProjections {
    /// `rows` (`[rows, heads × input]`, f32) → `[rows, heads × output]`, f32.
    fn apply(&self, rows: &Rows) -> Result<Rows, EngineError> {
        let heads = self.linears.len();
        let work = rows.count() * heads * self.input * self.output;
        let outputs = parallel::collect(heads, work, |head| {
            let values = rows.iter().flat_map(|row| &row[head * self.input..(head + 1) * self.input]);
            self.linears[head].apply(&Rows::new(self.input, values.copied().collect()))
        });
        let outputs: Vec<Rows> = outputs.into_iter().collect::<Result<_, _>>()?;
        let values = (0..rows.count()).flat_map(|row| outputs.iter().flat_map(move |output| output.row(row)));
        Ok(Rows::new(heads * self.output, values.copied().collect()))
    }
}
