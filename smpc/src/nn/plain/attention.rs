//! Attention of one row, in the open.

use super::{Noted, Operation, largest, spread};
use crate::nn::weights::{LayerWeights, ModelWeights, TURN_FRACTION};

/// Keys and values of one layer, `[positions][kv_heads · head_dim]` each.
#[derive(Default)]
pub(super) struct PlainCache {
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
}

impl PlainCache {
    /// Attention of the normalised row u, `[d_model]`, to the same shape.
    pub(super) fn attend(
        &mut self,
        u: &[f64],
        layer: &LayerWeights,
        (weights, number): (&ModelWeights, usize),
        position: usize,
        noted: &mut Noted,
    ) -> Vec<f64> {
        let whole = |matrix: &crate::nn::Matrix| matrix.plainly(0..matrix.outputs(), u);
        let queries = turned(&whole(&layer.query), weights, position);
        let keys = turned(&whole(&layer.key), weights, position);
        let values = whole(&layer.value);
        for all in [&queries, &keys, &values] {
            noted.note_all(Operation::Projections, number, all);
        }
        self.keys.push(keys);
        self.values.push(values);
        let shape = &weights.shape;
        let group = shape.heads / shape.kv_heads;
        let heads = queries.chunks_exact(shape.head_dim).enumerate();
        let joined: Vec<f64> = heads.flat_map(|(head, query)| self.head(query, head / group, number, noted)).collect();
        let output = layer.output.plainly(0..layer.output.outputs(), &joined);
        noted.note_all(Operation::AttentionOutput, number, &output);
        output
    }

    /// One head of the row: `[head_dim]`.
    fn head(&self, query: &[f64], kv_head: usize, number: usize, noted: &mut Noted) -> Vec<f64> {
        let width = query.len();
        let of = |row: &Vec<f64>| -> Vec<f64> { row[kv_head * width..(kv_head + 1) * width].to_vec() };
        let dot = |key: Vec<f64>| query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>();
        let scores: Vec<f64> = self.keys.iter().map(|key| dot(of(key))).collect();
        let highest = scores.iter().copied().fold(f64::MIN, f64::max);
        noted.note_all(Operation::Scores, number, &scores);
        noted.note(Operation::ScoreLevel, number, highest);
        noted.note(Operation::ScoreLowness, number, -highest);
        noted.note(Operation::ScoreSpread, number, spread(&scores));
        let weights: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
        let mut sums = vec![0.0; width];
        for (weight, value) in weights.iter().zip(&self.values) {
            sums.iter_mut().zip(of(value)).for_each(|(sum, value)| *sum += weight * value);
        }
        noted.note(Operation::AttentionSums, number, largest(&sums));
        let whole: f64 = weights.iter().sum();
        sums.iter().map(|sum| sum / whole).collect()
    }
}

/// Every head of x turned by its position.
fn turned(x: &[f64], weights: &ModelWeights, position: usize) -> Vec<f64> {
    let (rotation, width) = (&weights.rotation, weights.shape.head_dim);
    let scale = (-f64::from(TURN_FRACTION)).exp2();
    let turns: Vec<[f64; 2]> =
        (0..width / 2).map(|pair| rotation.turn(position, pair).map(|value| value as i64 as f64 * scale)).collect();
    let mut out = x.to_vec();
    for (from, to) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        for (pair, [cos, sin]) in turns.iter().enumerate() {
            let [one, other] = rotation.places(pair, width);
            to[one] = from[one] * cos - from[other] * sin;
            to[other] = from[other] * cos + from[one] * sin;
        }
    }
    out
}
