//! The same model in the open, in floating point, with the weights that parties compute with: for ranges.
//!
//! It takes one row at a time and notes, for every operation that holds in a range only, how large its values become.
//! What an operation means for fixed point is in [`Operation`].

mod attention;
mod operation;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use operation::Operation;

use super::weights::{LayerWeights, Matrix, ModelShape, ModelWeights, WEIGHT_FRACTION};
use attention::PlainCache;

/// Weighed and added up in so many places at once, in this order: the same on every machine.
const LANES: usize = 8;

/// The largest values of each operation of each layer, one of each row that went through. The layer after the last is
/// what follows the blocks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Noted {
    rows: usize,
    values: BTreeMap<(Operation, usize), Vec<f64>>,
}

impl Noted {
    /// Rows that went through.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Every operation with its layer and its `[rows]` values.
    pub fn values(&self) -> impl Iterator<Item = (Operation, usize, &[f64])> {
        self.values.iter().map(|((operation, layer), values)| (*operation, *layer, &values[..]))
    }

    /// Takes over what another decoder noted.
    pub fn append(&mut self, other: Self) {
        self.rows += other.rows;
        for (key, values) in other.values {
            self.values.entry(key).or_default().extend(values);
        }
    }

    /// Keeps `value` if it is the row's largest.
    fn note(&mut self, operation: Operation, layer: usize, value: f64) {
        let values = self.values.entry((operation, layer)).or_default();
        if values.len() < self.rows {
            values.push(value);
        } else if let Some(last) = values.last_mut() {
            *last = last.max(value);
        }
    }

    fn note_all(&mut self, operation: Operation, layer: usize, values: &[f64]) {
        self.note(operation, layer, largest(values));
    }
}

/// One prompt that is continued row by row.
pub struct PlainDecoder {
    weights: Arc<ModelWeights>,
    caches: Vec<PlainCache>,
    position: usize,
}

impl PlainDecoder {
    /// Before the first row.
    #[must_use]
    pub fn new(weights: Arc<ModelWeights>) -> Self {
        let caches = weights.layers.iter().map(|_| PlainCache::default()).collect();
        Self { weights, caches, position: 0 }
    }

    /// Takes the next row's embedding, `[d_model]`, and gives the logits after it, `[vocabulary]`.
    pub fn advance(&mut self, embedding: &[f32], noted: &mut Noted) -> Vec<f64> {
        let weights = Arc::clone(&self.weights);
        noted.rows += 1;
        let mut hidden: Vec<f64> = embedding.iter().copied().map(f64::from).collect();
        for (number, (layer, cache)) in weights.layers.iter().zip(&mut self.caches).enumerate() {
            // The first norm sees embeddings, which are known: see `embedding`.
            let normal = match number {
                0 => normalised(&hidden, weights.rms_eps).1,
                _ => norm(&hidden, weights.rms_eps, number, noted),
            };
            let attended = cache.attend(&normal, layer, (&weights, number), self.position, noted);
            add(&mut hidden, &attended);
            let normal = norm(&hidden, weights.rms_eps, number, noted);
            add(&mut hidden, &mix(&normal, layer, &weights.shape, number, noted));
        }
        self.position += 1;
        let after = weights.layers.len();
        let logits = weights.output.plainly(0..weights.output.outputs(), &norm(&hidden, weights.rms_eps, after, noted));
        noted.note_all(Operation::Logits, after, &logits);
        logits
    }
}

/// What the first norm makes of an embedding, `[d_model]`: all of them are known, so no tail is needed.
#[must_use]
pub fn embedding(values: &[f32], rms_eps: f64) -> [(Operation, f64); 2] {
    let values: Vec<f64> = values.iter().copied().map(f64::from).collect();
    let (sum, _) = normalised(&values, rms_eps);
    [(Operation::EmbeddingSum, sum), (Operation::EmbeddingSmallness, -sum.log2())]
}

impl Matrix {
    /// Rows `outputs` of the matrix times x, `[inputs]`.
    fn plainly(&self, outputs: std::ops::Range<usize>, x: &[f64]) -> Vec<f64> {
        let scale = (-f64::from(WEIGHT_FRACTION)).exp2();
        self.public_rows(outputs).map(|row| dot(row, x) * scale).collect()
    }
}

/// Σ w x, in [`LANES`] sums.
fn dot(weights: &[i32], x: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (weights, rest) = weights.as_chunks::<LANES>();
    let (x, last) = x.as_chunks::<LANES>();
    for (weights, x) in weights.iter().zip(x) {
        for lane in 0..LANES {
            sums[lane] += f64::from(weights[lane]) * x[lane];
        }
    }
    let rest: f64 = rest.iter().zip(last).map(|(weight, x)| f64::from(*weight) * x).sum();
    sums.iter().sum::<f64>() + rest
}

fn norm(x: &[f64], eps: f64, layer: usize, noted: &mut Noted) -> Vec<f64> {
    let (sum, normal) = normalised(x, eps);
    noted.note(Operation::NormSum, layer, sum);
    noted.note(Operation::NormSmallness, layer, -sum.log2());
    normal
}

/// The sum of squares, and x over its root.
fn normalised(x: &[f64], eps: f64) -> (f64, Vec<f64>) {
    let sum = x.iter().map(|x| x * x).sum::<f64>() + eps * x.len() as f64;
    let root = (sum / x.len() as f64).sqrt();
    (sum, x.iter().map(|x| x / root).collect())
}

/// The chosen experts of a row; equal logits leave the first in front.
fn mix(u: &[f64], layer: &LayerWeights, shape: &ModelShape, number: usize, noted: &mut Noted) -> Vec<f64> {
    let logits = layer.router.plainly(0..layer.router.outputs(), u);
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|one, other| logits[*other].total_cmp(&logits[*one]));
    noted.note_all(Operation::RouterLogits, number, &logits);
    noted.note(Operation::RouterSpread, number, spread(&logits));
    order.truncate(shape.top_k);
    let chosen: Vec<f64> = order.iter().map(|expert| logits[*expert]).collect();
    noted.note(Operation::GateSpread, number, spread(&chosen));
    let among = if shape.normalised { &chosen } else { &logits };
    let highest = among.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = among.iter().map(|logit| (logit - highest).exp()).sum();
    let mut mixed = vec![0.0; shape.d_model];
    for (expert, logit) in order.into_iter().zip(chosen) {
        let hidden = network(u, layer, expert, (shape, number), noted);
        let output = layer.down.plainly(expert * shape.d_model..(expert + 1) * shape.d_model, &hidden);
        noted.note_all(Operation::ExpertOutputs, number, &output);
        let weight = (logit - highest).exp() / sum;
        mixed.iter_mut().zip(output).for_each(|(mixed, value)| *mixed += weight * value);
    }
    noted.note_all(Operation::ExpertSums, number, &mixed);
    mixed
}

/// silu(gate) · up of one expert.
fn network(
    u: &[f64],
    layer: &LayerWeights,
    expert: usize,
    (shape, number): (&ModelShape, usize),
    noted: &mut Noted,
) -> Vec<f64> {
    let both = layer.gate_and_up.plainly(2 * expert * shape.d_expert..2 * (expert + 1) * shape.d_expert, u);
    let (gate, up) = both.split_at(shape.d_expert);
    noted.note_all(Operation::SiluInput, number, gate);
    noted.note_all(Operation::UpProjection, number, up);
    let hidden: Vec<f64> = gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
    noted.note_all(Operation::ExpertHidden, number, &hidden);
    hidden
}

fn add(hidden: &mut [f64], more: &[f64]) {
    hidden.iter_mut().zip(more).for_each(|(hidden, more)| *hidden += more);
}

/// The largest absolute value.
fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Largest less smallest.
fn spread(values: &[f64]) -> f64 {
    let ends = |(low, high): (f64, f64), value: &f64| (low.min(*value), high.max(*value));
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), ends);
    if values.is_empty() { 0.0 } else { high - low }
}
