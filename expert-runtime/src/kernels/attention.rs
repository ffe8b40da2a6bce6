//! Attention of query heads over the keys and values of the head that they share.
//!
//! For each query head: scores are `dot(query, key) · scale` ([`super::functions::dot`]); the largest, sink included,
//! is subtracted before exp; the weights are summed in lanes, the sink's last; the weighted values are added position
//! by position, each product fused with its addition, and divided by the weights' sum at the end. So a head's result
//! depends on its query, its sink, its keys and its values: neither on how they are cut into runs nor on its neighbours.

use super::functions::{exponential, halves, sums};
use super::instruction_set::InstructionSet;
use super::vectors::{Body, LANES, Vectors, run};

/// Query heads that share a key/value head.
#[derive(Debug, Clone, Copy)]
pub struct Queries<'a> {
    /// `[heads, key_dim]`, f32.
    pub values: &'a [f32],
    /// How many heads; at least one.
    pub heads: usize,
    /// Every score is multiplied by it.
    pub scale: f32,
    /// A logit for each head that takes part in the softmax and adds no value. `[heads]`, f32.
    pub sinks: Option<&'a [f32]>,
}

/// Rows that lie side by side, one for each position, the oldest first.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// `[positions, stride]`.
    pub elements: Elements<'a>,
    /// Elements from a row to the next. Only the first of them count where a row is wider than what it is read for.
    pub stride: usize,
}

/// Elements of keys or values.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    /// f32.
    F32(&'a [f32]),
    /// The bits of f16.
    F16(&'a [u16]),
}

impl Run<'_> {
    /// How many positions it has.
    #[must_use]
    pub const fn positions(&self) -> usize {
        let elements = match self.elements {
            Elements::F32(values) => values.len(),
            Elements::F16(halves) => halves.len(),
        };
        match elements.checked_div(self.stride) {
            Some(positions) => positions,
            None => 0,
        }
    }
}

/// `softmax(q·Kᵀ · scale)·V` of every head of `queries` into `out` (`[heads, value_dim]`, f32, overwritten).
///
/// `keys` have rows of at least `key_dim` elements, `values` of at least `value_dim`, for the same positions; for
/// latent attention both are the same rows. `scratch` is left with what its memory held.
pub fn attend<'a>(
    set: InstructionSet,
    queries: &Queries<'_>,
    keys: impl Iterator<Item = Run<'a>> + Clone,
    values: impl Iterator<Item = Run<'a>>,
    scratch: &mut Vec<f32>,
    out: &mut [f32],
) {
    run(set, Attention { queries, keys, values, scratch, out });
}

struct Attention<'q, K, W> {
    queries: &'q Queries<'q>,
    keys: K,
    values: W,
    scratch: &'q mut Vec<f32>,
    out: &'q mut [f32],
}

impl<'a, K: Iterator<Item = Run<'a>> + Clone, W: Iterator<Item = Run<'a>>> Body for Attention<'_, K, W> {
    type Output = ();

    #[inline(always)]
    fn compute<V: Vectors>(self, vectors: V) {
        let Self { queries, keys, values, scratch, out } = self;
        let positions: usize = keys.clone().map(|run| run.positions()).sum();
        if positions == 0 || queries.heads == 0 {
            return out.fill(0.0);
        }
        // Scores of all heads, `[heads, positions]`, then the sums of their weights, `[heads]`.
        scratch.clear();
        scratch.resize(queries.heads * (positions + 1), 0.0);
        let (scores, totals) = scratch.split_at_mut(queries.heads * positions);
        let mut from = 0;
        for run in keys {
            score_run(vectors, queries, run, scores, positions, from);
            from += run.positions();
        }
        for (head, (scores, total)) in scores.chunks_exact_mut(positions).zip(totals.iter_mut()).enumerate() {
            *total = exponential::exponentiate(vectors, scores, queries.sinks.map(|sinks| sinks[head]));
        }
        out.fill(0.0);
        let mut from = 0;
        for run in values {
            weigh_run(vectors, run, scores, positions, from, out, queries.heads);
            from += run.positions();
        }
        let width = out.len() / queries.heads;
        for (out, total) in out.chunks_exact_mut(width.max(1)).zip(totals.iter()) {
            for value in out {
                *value /= *total;
            }
        }
    }
}

/// The scores of one run's keys, at `from` of each head's `positions`.
#[inline(always)]
fn score_run<V: Vectors>(
    vectors: V,
    queries: &Queries<'_>,
    run: Run<'_>,
    scores: &mut [f32],
    positions: usize,
    from: usize,
) {
    let width = queries.values.len() / queries.heads;
    for (query, scores) in queries.values.chunks_exact(width.max(1)).zip(scores.chunks_exact_mut(positions)) {
        let scores = &mut scores[from..from + run.positions()];
        match run.elements {
            Elements::F32(keys) => {
                for (key, score) in keys.chunks_exact(run.stride).zip(scores) {
                    *score = sums::dot(vectors, query, &key[..width]) * queries.scale;
                }
            }
            Elements::F16(keys) => {
                for (key, score) in keys.chunks_exact(run.stride).zip(scores) {
                    *score = dot_halves(vectors, query, &key[..width]) * queries.scale;
                }
            }
        }
    }
}

/// [`sums::dot`] with f16 on the right.
#[inline(always)]
fn dot_halves<V: Vectors>(vectors: V, left: &[f32], right: &[u16]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (left_blocks, left_rest) = left.as_chunks::<LANES>();
    let (right_blocks, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left_blocks.iter().zip(right_blocks) {
        sums::add_products(vectors, &mut lanes, left, &vectors.widen(right));
    }
    let right = halves::widen_rest(vectors, right_rest);
    for (lane, (left, right)) in lanes.iter_mut().zip(left_rest.iter().zip(&right)) {
        *lane = vectors.fused(*left, *right, *lane);
    }
    sums::fold(lanes)
}

/// Lanes of `out` that are summed together, over all positions of a run, without leaving the registers.
const TILE: usize = 4 * LANES;

/// Adds one run's values to every head's sum, with the weights at `from` of its `positions`.
#[inline(always)]
fn weigh_run<V: Vectors>(
    vectors: V,
    run: Run<'_>,
    weights: &[f32],
    positions: usize,
    from: usize,
    out: &mut [f32],
    heads: usize,
) {
    let width = out.len() / heads;
    for (out, weights) in out.chunks_exact_mut(width.max(1)).zip(weights.chunks_exact(positions)) {
        let weights = &weights[from..from + run.positions()];
        let (tiles, rest) = out.as_chunks_mut::<TILE>();
        for (index, tile) in tiles.iter_mut().enumerate() {
            weigh_blocks(vectors, run, weights, index * TILE, tile);
        }
        let start = width - rest.len();
        let (blocks, last) = rest.as_chunks_mut::<LANES>();
        for (index, block) in blocks.iter_mut().enumerate() {
            weigh_blocks(vectors, run, weights, start + index * LANES, block);
        }
        weigh_last(vectors, run, weights, width - last.len(), last);
    }
}

/// Adds the elements `start..start + N` of each row, times its weight, to `out`. 16 divides `N`.
#[inline(always)]
fn weigh_blocks<V: Vectors, const N: usize>(
    vectors: V,
    run: Run<'_>,
    weights: &[f32],
    start: usize,
    out: &mut [f32; N],
) {
    let mut lanes = *out;
    match run.elements {
        Elements::F32(values) => {
            for (row, weight) in values.chunks_exact(run.stride).zip(weights) {
                if let Some(values) = row[start..].first_chunk::<N>() {
                    for lane in 0..N {
                        lanes[lane] = vectors.fused(*weight, values[lane], lanes[lane]);
                    }
                }
            }
        }
        Elements::F16(halves) => {
            for (row, weight) in halves.chunks_exact(run.stride).zip(weights) {
                let (blocks, _) = row[start..start + N].as_chunks::<LANES>();
                let (targets, _) = lanes.as_chunks_mut::<LANES>();
                for (target, block) in targets.iter_mut().zip(blocks) {
                    let values = vectors.widen(block);
                    for lane in 0..LANES {
                        target[lane] = vectors.fused(*weight, values[lane], target[lane]);
                    }
                }
            }
        }
    }
    *out = lanes;
}

/// The same for the last elements of a row, fewer than [`LANES`].
#[inline(always)]
fn weigh_last<V: Vectors>(vectors: V, run: Run<'_>, weights: &[f32], start: usize, out: &mut [f32]) {
    if out.is_empty() {
        return;
    }
    let end = start + out.len();
    match run.elements {
        Elements::F32(values) => {
            for (row, weight) in values.chunks_exact(run.stride).zip(weights) {
                sums::add_scaled(vectors, out, *weight, &row[start..end]);
            }
        }
        Elements::F16(halves) => {
            for (row, weight) in halves.chunks_exact(run.stride).zip(weights) {
                let values = halves::widen_rest(vectors, &row[start..end]);
                sums::add_scaled(vectors, out, *weight, &values);
            }
        }
    }
}

#[cfg(test)]
mod tests;
