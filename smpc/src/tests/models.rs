//! A small model on shares beside the same model in f64.

use std::sync::Arc;

use super::{Party, Random, prove, reveal, share};
use crate::computation::Security::{self, Malicious, SemiHonest};
use crate::error::SmpcError;
use crate::nn::{
    Decoder, ExpertWeights, LayerWeights, Matrix, ModelShape, ModelWeights, Noted, PlainDecoder, Rotation,
};
use crate::share::Shares;
use crate::workload;

pub(super) const SHAPE: ModelShape =
    ModelShape { d_model: 16, heads: 4, kv_heads: 2, head_dim: 8, d_expert: 12, top_k: 2, normalised: true };
const EXPERTS: usize = 5;
pub(super) const VOCABULARY: usize = 11;
const EPS: f64 = 1e-5;

/// Plain weights, `[outputs][inputs]` each.
type Plain = Vec<Vec<f64>>;

struct PlainLayer {
    query: Plain,
    key: Plain,
    value: Plain,
    output: Plain,
    router: Plain,
    experts: Vec<[Plain; 3]>,
}

pub(super) struct PlainModel {
    shape: ModelShape,
    layers: Vec<PlainLayer>,
    output: Plain,
}

impl PlainModel {
    pub(super) fn random(seed: u64, shape: ModelShape) -> Self {
        let mut random = Random(seed);
        let mut matrix = |outputs: usize, inputs: usize| -> Plain {
            let mut weight =
                || ((random.word() >> 40) as f64 / f64::from(1 << 24) - 0.5) * 3.0 / (inputs as f64).sqrt();
            (0..outputs).map(|_| (0..inputs).map(|_| weight()).collect()).collect()
        };
        let (d, width) = (shape.d_model, shape.head_dim);
        let layers = (0..2)
            .map(|_| PlainLayer {
                query: matrix(shape.heads * width, d),
                key: matrix(shape.kv_heads * width, d),
                value: matrix(shape.kv_heads * width, d),
                output: matrix(d, shape.heads * width),
                router: matrix(EXPERTS, d),
                experts: (0..EXPERTS)
                    .map(|_| [matrix(shape.d_expert, d), matrix(shape.d_expert, d), matrix(d, shape.d_expert)])
                    .collect(),
            })
            .collect();
        Self { shape, layers, output: matrix(VOCABULARY, d) }
    }

    pub(super) fn fixed(&self) -> ModelWeights {
        let matrix = |plain: &Plain| {
            let flat: Vec<f32> = plain.iter().flatten().map(|value| *value as f32).collect();
            Matrix::new(plain.len(), plain[0].len(), &flat, &[]).unwrap()
        };
        let layer = |plain: &PlainLayer| {
            let experts: Vec<ExpertWeights> = plain
                .experts
                .iter()
                .map(|[gate, up, down]| ExpertWeights { gate: matrix(gate), up: matrix(up), down: matrix(down) })
                .collect();
            let (gate_and_up, down) = LayerWeights::experts(&experts);
            LayerWeights {
                query: matrix(&plain.query),
                key: matrix(&plain.key),
                value: matrix(&plain.value),
                output: matrix(&plain.output),
                router: matrix(&plain.router),
                gate_and_up,
                down,
            }
        };
        ModelWeights {
            shape: self.shape,
            rms_eps: EPS,
            rotation: Rotation { frequencies: frequencies(), halves: true, amplitude: 1.0 },
            layers: self.layers.iter().map(layer).collect(),
            output: matrix(&self.output),
        }
    }

    /// Logits after the last of `embeddings`.
    pub(super) fn logits(&self, embeddings: &[Vec<f64>]) -> Vec<f64> {
        let mut hidden = embeddings.to_vec();
        for layer in &self.layers {
            let normal: Vec<_> = hidden.iter().map(|row| norm(row)).collect();
            let attended = self.attend(layer, &normal);
            add(&mut hidden, &attended);
            let mixed: Vec<_> = hidden.iter().map(|row| self.mix(layer, &norm(row))).collect();
            add(&mut hidden, &mixed);
        }
        apply(&self.output, &norm(hidden.last().unwrap()))
    }

    fn attend(&self, layer: &PlainLayer, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let width = self.shape.head_dim;
        let turned = |weights: &Plain| -> Vec<Vec<f64>> {
            rows.iter().enumerate().map(|(at, row)| turn(&apply(weights, row), at, width)).collect()
        };
        let (queries, keys) = (turned(&layer.query), turned(&layer.key));
        let values: Vec<_> = rows.iter().map(|row| apply(&layer.value, row)).collect();
        let group = self.shape.heads / self.shape.kv_heads;
        let head = |at: usize, head: usize| -> Vec<f64> {
            let of = |row: &Vec<f64>, head: usize| row[head * width..(head + 1) * width].to_vec();
            let query = of(&queries[at], head);
            let scores: Vec<f64> = (0..=at).map(|past| dot(&query, &of(&keys[past], head / group)).exp()).collect();
            let sum: f64 = scores.iter().sum();
            let weighted =
                |column: usize| (0..=at).map(|past| scores[past] / sum * of(&values[past], head / group)[column]).sum();
            (0..width).map(weighted).collect()
        };
        (0..rows.len())
            .map(|at| apply(&layer.output, &(0..self.shape.heads).flat_map(|h| head(at, h)).collect::<Vec<_>>()))
            .collect()
    }

    fn mix(&self, layer: &PlainLayer, row: &[f64]) -> Vec<f64> {
        let logits = apply(&layer.router, row);
        let mut order: Vec<usize> = (0..EXPERTS).collect();
        order.sort_by(|one, other| logits[*other].total_cmp(&logits[*one]));
        order.truncate(self.shape.top_k);
        let among: Vec<usize> = if self.shape.normalised { order.clone() } else { (0..EXPERTS).collect() };
        let sum: f64 = among.iter().map(|expert| logits[*expert].exp()).sum();
        let mut mixed = vec![0.0; row.len()];
        for expert in order {
            let [gate, up, down] = &layer.experts[expert];
            let hidden: Vec<f64> = apply(gate, row)
                .iter()
                .zip(apply(up, row))
                .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
                .collect();
            let weight = logits[expert].exp() / sum;
            mixed.iter_mut().zip(apply(down, &hidden)).for_each(|(mixed, value)| *mixed += weight * value);
        }
        mixed
    }
}

fn frequencies() -> Vec<f32> {
    (0..4).map(|pair| 10_000.0_f32.powf(-(pair as f32) / 4.0)).collect()
}

fn turn(row: &[f64], position: usize, width: usize) -> Vec<f64> {
    let mut turned = row.to_vec();
    for head in 0..row.len() / width {
        for (pair, frequency) in frequencies().into_iter().enumerate() {
            let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
            let (one, other) = (head * width + pair, head * width + pair + width / 2);
            turned[one] = row[one] * cos - row[other] * sin;
            turned[other] = row[other] * cos + row[one] * sin;
        }
    }
    turned
}

fn apply(weights: &Plain, row: &[f64]) -> Vec<f64> {
    weights.iter().map(|weights| dot(weights, row)).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(x, y)| x * y).sum()
}

fn norm(row: &[f64]) -> Vec<f64> {
    let root = (dot(row, row) / row.len() as f64 + EPS).sqrt();
    row.iter().map(|value| value / root).collect()
}

fn add(hidden: &mut [Vec<f64>], more: &[Vec<f64>]) {
    hidden.iter_mut().flatten().zip(more.iter().flatten()).for_each(|(hidden, more)| *hidden += more);
}

/// Two prompts of five tokens, then two tokens more, one by one: logits after each pass.
fn passes(model: &PlainModel, prompts: &[Vec<Vec<f64>>; 2], reveals_routes: bool) -> [Result<Vec<u64>, SmpcError>; 3] {
    let weights = Arc::new(model.fixed());
    prove(|party: &mut Party| {
        let mut decoder = Decoder::new(Arc::clone(&weights), 2);
        if reveals_routes {
            decoder.reveal_routes();
        }
        let mut logits = Vec::new();
        for range in [0..5, 5..6, 6..7] {
            let rows = prompts.iter().flat_map(|prompt| &prompt[range.clone()]).flatten();
            let fixed: Vec<u64> = rows.map(|value| (value * 65536.0).round() as i64 as u64).collect();
            let embeddings = share(party.party(), &fixed);
            let forecast = decoder.rehearse(Malicious, &[range.len()])?;
            party.prepare(&forecast.requests)?;
            logits.push(decoder.advance(party, &embeddings)?);
        }
        Ok(Shares::concat(&logits.iter().collect::<Vec<_>>()))
    })
}

#[test]
fn the_twin_has_the_logits_of_the_plain_model_and_notes_each_row() {
    for (seed, shape) in [(1, SHAPE), (2, ModelShape { normalised: false, ..SHAPE })] {
        let model = PlainModel::random(seed, shape);
        let mut random = Random(seed + 90);
        let mut value = || (random.word() >> 40) as f64 / f64::from(1 << 23) - 1.0;
        let prompt: Vec<Vec<f64>> = (0..7).map(|_| (0..SHAPE.d_model).map(|_| value()).collect()).collect();
        let (mut noted, mut twin) = (Noted::default(), PlainDecoder::new(Arc::new(model.fixed())));
        for length in 1..=prompt.len() {
            let row: Vec<f32> = prompt[length - 1].iter().map(|value| *value as f32).collect();
            let got = twin.advance(&row, &mut noted);
            for (got, expected) in got.iter().zip(model.logits(&prompt[..length])) {
                assert!((got - expected).abs() < 0.005, "model {seed}, {length} rows: {got}, {expected}");
            }
        }
        assert_eq!(noted.rows(), 7);
        for (operation, layer, values) in noted.values() {
            assert_eq!(values.len(), 7, "{}, layer {layer}", operation.name());
        }
    }
}

#[test]
fn a_model_on_shares_has_the_logits_of_the_plain_one() {
    for (seed, shape, reveals_routes) in [
        (1, SHAPE, false),
        (2, ModelShape { normalised: false, ..SHAPE }, false),
        (3, ModelShape { top_k: 3, ..SHAPE }, false),
        (4, SHAPE, true),
    ] {
        let model = PlainModel::random(seed, shape);
        let mut random = Random(seed + 50);
        let mut value = || (random.word() >> 40) as f64 / f64::from(1 << 23) - 1.0;
        let prompts =
            [0, 1].map(|_| (0..7).map(|_| (0..SHAPE.d_model).map(|_| value()).collect()).collect::<Vec<Vec<f64>>>());
        for result in passes(&model, &prompts, reveals_routes) {
            let got = result.unwrap();
            for (pass, length) in [5, 6, 7].into_iter().enumerate() {
                for (at, prompt) in prompts.iter().enumerate() {
                    let logits = model.logits(&prompt[..length]);
                    for (column, expected) in logits.iter().enumerate() {
                        let value = got[(pass * 2 + at) * VOCABULARY + column] as i64 as f64 / 32.0_f64.exp2();
                        assert!(
                            (value - expected).abs() < 0.02,
                            "model {seed}, pass {pass}, prompt {at}: {value}, {expected}"
                        );
                    }
                }
            }
        }
    }
}

/// Prompts that are continued side by side, and rows of each.
const MANY: [usize; 2] = [16, 24];

/// Logits after each row of `prompts: [MANY]`, `[rows, prompts, VOCABULARY]`.
fn row_by_row(security: Security, weights: &Arc<ModelWeights>, prompts: &[Vec<Vec<f64>>]) -> Vec<u64> {
    let [first, ..] = reveal(security, |party: &mut Party| {
        let mut decoder = Decoder::new(Arc::clone(weights), MANY[0]);
        let mut logits = Vec::new();
        for at in 0..MANY[1] {
            let rows = prompts.iter().flat_map(|prompt| &prompt[at]);
            let fixed: Vec<u64> = rows.map(|value| (value * 65536.0).round() as i64 as u64).collect();
            logits.push(decoder.advance(party, &share(party.party(), &fixed))?);
        }
        Ok(Shares::concat(&logits.iter().collect::<Vec<_>>()))
    });
    first.unwrap()
}

/// So many norms and turned vectors that a truncation which fails once in 2^8 of the one or once in 2^15 of the other would
/// show.
#[test]
fn logits_of_many_rows_are_those_of_the_twin_whoever_may_lie() {
    let weights = Arc::new(PlainModel::random(5, SHAPE).fixed());
    let mut random = Random(60);
    let mut value = || (random.word() >> 40) as f64 / f64::from(1 << 23) - 1.0;
    let mut prompt = || (0..MANY[1]).map(|_| (0..SHAPE.d_model).map(|_| value()).collect()).collect();
    let prompts: Vec<Vec<Vec<f64>>> = (0..MANY[0]).map(|_| prompt()).collect();
    let mut twins: Vec<PlainDecoder> = prompts.iter().map(|_| PlainDecoder::new(Arc::clone(&weights))).collect();
    let mut expected = Vec::new();
    for at in 0..MANY[1] {
        for (prompt, twin) in prompts.iter().zip(&mut twins) {
            let row: Vec<f32> = prompt[at].iter().map(|value| *value as f32).collect();
            expected.extend(twin.advance(&row, &mut Noted::default()));
        }
    }
    for security in [SemiHonest, Malicious] {
        let got = row_by_row(security, &weights, &prompts);
        assert_eq!(got.len(), expected.len());
        for (at, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let got = *got as i64 as f64 / 32.0_f64.exp2();
            let (row, prompt) = (at / (MANY[0] * VOCABULARY), at / VOCABULARY % MANY[0]);
            assert!((got - expected).abs() < 0.02, "{security:?}, prompt {prompt}, row {row}: {got}, {expected}");
        }
    }
}

#[test]
fn a_block_takes_few_rounds_for_a_token() {
    let rounds = workload::tokens::block_rounds().unwrap();
    assert!(rounds <= 32, "{rounds} rounds");
}

/// Prompts of different lengths, behind rows of zeros, in one pass of six rows; then one row more.
fn padded(model: &PlainModel, prompts: &[Vec<Vec<f64>>; 2], lengths: [usize; 2]) -> [Result<Vec<u64>, SmpcError>; 3] {
    let weights = Arc::new(model.fixed());
    let fixed = |row: &Vec<f64>| row.iter().map(|value| (value * 65536.0).round() as i64 as u64).collect::<Vec<_>>();
    let (mut first, mut then, mut padding) = (Vec::new(), Vec::new(), Vec::new());
    for (prompt, length) in prompts.iter().zip(lengths) {
        for at in 0..6 {
            padding.push(u64::from(at + length < 6));
            let zeros = vec![0.0; SHAPE.d_model];
            first.extend(fixed((at + length).checked_sub(6).map_or(&zeros, |row| &prompt[row])));
        }
        then.extend(fixed(&prompt[length]));
    }
    prove(|party: &mut Party| {
        let mut decoder = Decoder::new(Arc::clone(&weights), 2);
        decoder.pad(share(party.party(), &padding));
        let first = decoder.advance(party, &share(party.party(), &first))?;
        let then = decoder.advance(party, &share(party.party(), &then))?;
        Ok(Shares::concat(&[&first, &then]))
    })
}

#[test]
fn padding_before_a_prompt_changes_nothing() {
    let model = PlainModel::random(7, SHAPE);
    let mut random = Random(70);
    let mut value = || (random.word() >> 40) as f64 / f64::from(1 << 23) - 1.0;
    let prompts =
        [0, 1].map(|_| (0..7).map(|_| (0..SHAPE.d_model).map(|_| value()).collect()).collect::<Vec<Vec<f64>>>());
    let lengths = [3, 6];
    for result in padded(&model, &prompts, lengths) {
        let got = result.unwrap();
        for pass in [0, 1] {
            for (at, (prompt, length)) in prompts.iter().zip(lengths).enumerate() {
                for (column, expected) in model.logits(&prompt[..length + pass]).iter().enumerate() {
                    let value = got[(pass * 2 + at) * VOCABULARY + column] as i64 as f64 / 32.0_f64.exp2();
                    assert!((value - expected).abs() < 0.02, "pass {pass}, prompt {at}: {value}, {expected}");
                }
            }
        }
    }
}
