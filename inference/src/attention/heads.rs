//! Queries of many heads against a layer's cache.

use neuro_primitives::Rows;

use crate::kv_cache::{HeadShape, LayerCache};
use crate::{parallel, sums};

/// The heads of one attention layer.
pub struct Heads {
    /// Query heads; a multiple of the key/value heads.
    pub count: usize,
    /// What the cache holds per position.
    pub kv: HeadShape,
    /// What a dot product of query and key is multiplied by.
    pub scale: f32,
    /// A position sees itself and the `window - 1` positions before it; all of them if absent.
    pub window: Option<usize>,
    /// `[heads]`, f32: a logit of each head that takes part in its softmax and adds no value.
    pub sinks: Option<Vec<f32>>,
}

/// One query of one head.
pub struct Query<'a> {
    /// `[key_dim]`, f32.
    pub values: &'a [f32],
    /// What its dot products are multiplied by.
    pub scale: f32,
    /// The head's sink.
    pub sink: Option<f32>,
}

impl Heads {
    /// Every query over the positions that it may see. `queries`: `[rows, heads × key_dim]`, f32, the first at position
    /// `first`. `[rows, heads × value_dim]`, f32.
    pub fn attend(&self, queries: &Rows, first: usize, cache: &LayerCache) -> Rows {
        let items = queries.count() * self.count;
        let work = items * (first + queries.count()) * self.kv.key_dim;
        let attended = parallel::collect(items, work, |index| {
            let (row, head) = (index / self.count, index % self.count);
            self.attend_one(queries.row(row), head, first + row + 1, cache)
        });
        Rows::new(self.count * self.kv.value_dim, attended.concat())
    }

    /// One head of one row, which sees positions below `to`. `[value_dim]`, f32.
    fn attend_one(&self, row: &[f32], head: usize, to: usize, cache: &LayerCache) -> Vec<f32> {
        let width = self.kv.key_dim;
        let from = self.window.map_or(0, |window| to.saturating_sub(window));
        let query = Query {
            values: &row[head * width..(head + 1) * width],
            scale: self.scale,
            sink: self.sinks.as_ref().map(|sinks| sinks[head]),
        };
        let (mut scores, mut out) = (Vec::with_capacity(to - from), vec![0.0; self.kv.value_dim]);
        let kv_head = head / (self.count / self.kv.kv_heads);
        attend(&query, || cache.positions(kv_head, from, to), &mut scores, &mut out);
        out
    }
}

/// `softmax(scale · q·Kᵀ)·V` of one query into `out` (`[value_dim]`, f32, zeroed).
pub fn attend<'a, I: Iterator<Item = (&'a [f32], &'a [f32])>>(
    query: &Query<'_>,
    positions: impl Fn() -> I,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    scores.clear();
    scores.extend(positions().map(|(key, _)| sums::dot(query.values, key) * query.scale));
    scores.extend(query.sink);
    let total = exponentiate(scores);
    for ((_, value), weight) in positions().zip(scores.iter()) {
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
