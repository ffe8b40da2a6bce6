//! An expert and a block: matrices, functions and attention together, with secret weights and with public ones.

use std::sync::LazyLock;

use super::cases::plain_matmul_of;
use super::client::normal;
use super::{Party, Workload};
use crate::channel::{Channel, Nobody};
use crate::computation::{Computation, Security};
use crate::error::SmpcError;
use crate::functions::FRACTION;
use crate::functions::few::SILU;
use crate::nn::{Matrix, ModelShape, WEIGHT_FRACTION};
use crate::party::PartyId;
use crate::rehearsal::Forecast;
use crate::ring::Shape;
use crate::share::Shares;
use crate::supply::Request;

/// The expert's width, its hidden width, and its tokens.
const EXPERT: [usize; 3] = [256, 512, 8];

/// The block's width, its expert's, and its tokens.
const BLOCK: [usize; 3] = [128, 256, 16];

/// Heads of the block.
const HEADS: usize = 4;

/// Added to mean squares.
const EPS: f64 = 1e-5;

/// Of the block's attention.
const ATTENTION: ModelShape = ModelShape {
    d_model: BLOCK[0],
    heads: HEADS,
    kv_heads: HEADS,
    head_dim: BLOCK[0] / HEADS,
    d_expert: BLOCK[1],
    top_k: 1,
    normalised: true,
};

const SECRET_EXPERT: &str = "expert_d256_f512_t8";
const PUBLIC_EXPERT: &str = "expert_d256_f512_t8_public_weights";
const SECRET_BLOCK: &str = "block_d128_t16";
const PUBLIC_BLOCK: &str = "block_d128_t16_public_weights";

pub(super) static ALL: [Workload; 2] = [
    case(SECRET_EXPERT, expert_inputs, secret_expert, plain_expert),
    case(SECRET_BLOCK, block_inputs, secret_block, plain_block),
];

pub(super) static PUBLIC: [Workload; 3] = [
    case("matmul512_public_weights", first_matrix, public_matmul, plain_public_matmul),
    case(PUBLIC_EXPERT, expert_rows, public_expert, plain_public_expert),
    case(PUBLIC_BLOCK, block_rows, public_block, plain_public_block),
];

/// The weights of the public cases, as matrices.
static MATMUL_WEIGHTS: LazyLock<Vec<Matrix>> = LazyLock::new(|| vec![matrix(&square_weights(), 512)]);
static EXPERT_WEIGHTS: LazyLock<Vec<Matrix>> = LazyLock::new(|| {
    let [d, f, _] = EXPERT;
    expert_inputs()[1..].iter().zip([d, d, f]).map(|(weights, inputs)| matrix(weights, inputs)).collect()
});
static BLOCK_WEIGHTS: LazyLock<Vec<Matrix>> = LazyLock::new(|| {
    let [d, f, _] = BLOCK;
    block_inputs()[3..].iter().zip([d, d, d, d, d, d, f]).map(|(weights, inputs)| matrix(weights, inputs)).collect()
});

const fn case(
    name: &'static str,
    inputs: fn() -> Vec<Vec<f64>>,
    program: super::Program,
    plain: fn(&[Vec<f64>]) -> Vec<f64>,
) -> Workload {
    Workload { name, fraction: FRACTION, encoding: FRACTION, bits: 64, inputs, program, plain }
}

/// `[inputs, outputs]` as a public matrix.
fn matrix(weights: &[f64], inputs: usize) -> Matrix {
    let outputs = weights.len() / inputs;
    let transposed = (0..weights.len()).map(|at| weights[at % inputs * outputs + at / inputs] as f32);
    // Normal numbers far below the range, as many as there are places.
    Matrix::new(outputs, inputs, &transposed.collect::<Vec<_>>(), &[]).unwrap_or_else(|error| unreachable!("{error}"))
}

/// What rows are multiplied by.
#[derive(Clone, Copy)]
enum Weights<'a> {
    /// `[inputs, outputs]`.
    Secret(&'a Shares),
    Public(&'a Matrix),
}

/// `x: [rows, inputs]` times each of `weights`, `[rows, outputs]`, with [`FRACTION`] bits: one truncation for all.
fn multiplied<const N: usize, C: Channel>(
    party: &mut Computation<C>,
    x: &Shares,
    inputs: usize,
    weights: [Weights<'_>; N],
) -> Result<[Shares; N], SmpcError> {
    let rows = x.len() / inputs;
    let mut lengths = Vec::new();
    let (mut secret, mut public) = (Vec::new(), Vec::new());
    for weights in weights {
        match weights {
            Weights::Secret(weights) => secret.push(weights),
            Weights::Public(matrix) => public.push(party.linear(matrix, x)?),
        }
    }
    let all = if public.is_empty() {
        let shapes: Vec<Shape> =
            secret.iter().map(|of| Shape { rows, inner: inputs, columns: of.len() / inputs }).collect();
        lengths.extend(shapes.iter().map(|shape| rows * shape.columns));
        let products =
            party.matrix_products("multiply", &Shares::concat(&vec![x; N]), &Shares::concat(&secret), &shapes)?;
        party.truncate_products(products, FRACTION)?
    } else {
        lengths.extend(public.iter().map(Shares::len));
        party.truncate(&Shares::concat(&public.iter().collect::<Vec<_>>()), 64, WEIGHT_FRACTION)?
    };
    let mut parts = all.split(&lengths).into_iter();
    Ok(std::array::from_fn(|_| parts.next().unwrap_or_default()))
}

/// (silu(x gate) · (x up)) down.
fn expert<C: Channel>(
    party: &mut Computation<C>,
    x: &Shares,
    [d, f]: [usize; 2],
    [gate, up, down]: [Weights<'_>; 3],
) -> Result<Shares, SmpcError> {
    let [gate, up] = multiplied(party, x, d, [gate, up])?;
    let gate =
        if party.saves_rounds(gate.len()) { party.read_curve(&SILU, &gate, FRACTION)? } else { party.silu(&gate)? };
    let products = party.products("expert: gate", &gate, &up, 64)?;
    let hidden = party.truncate_products(products, FRACTION)?;
    let [out] = multiplied(party, &hidden, f, [down])?;
    Ok(out)
}

/// x + attention(norm(x)), and to that the expert of its norm.
fn block<C: Channel>(
    party: &mut Computation<C>,
    x: &Shares,
    gains: [Option<&Shares>; 2],
    [query, key, value, out, gate, up, down]: [Weights<'_>; 7],
) -> Result<Shares, SmpcError> {
    let [d, f, _] = BLOCK;
    let normal = normalised(party, x, gains[0])?;
    let [queries, keys, values] = multiplied(party, &normal, d, [query, key, value])?;
    let heads = party.heads_of_prompt(&queries, &keys, &values, &ATTENTION)?;
    let [attended] = multiplied(party, &heads, d, [out])?;
    let x = x.plus(&attended);
    let normal = normalised(party, &x, gains[1])?;
    Ok(x.plus(&expert(party, &normal, [d, f], [gate, up, down])?))
}

fn normalised<C: Channel>(party: &mut Computation<C>, x: &Shares, gain: Option<&Shares>) -> Result<Shares, SmpcError> {
    let d = BLOCK[0];
    let normal = party.rms_norm(x, d, EPS)?;
    let Some(gain) = gain else { return Ok(normal) };
    let places: Vec<usize> = (0..x.len()).map(|at| at % d).collect();
    let products = party.products("gain", &normal, &gain.gather(&places), 64)?;
    party.truncate_products(products, FRACTION)
}

/// A case of this module on any links.
fn run<C: Channel>(name: &str, party: &mut Computation<C>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    let ([d, f, _], x) = (EXPERT, &inputs[0]);
    match name {
        SECRET_EXPERT => expert(party, x, [d, f], std::array::from_fn(|at| Weights::Secret(&inputs[1 + at]))),
        PUBLIC_EXPERT => expert(party, x, [d, f], std::array::from_fn(|at| Weights::Public(&EXPERT_WEIGHTS[at]))),
        SECRET_BLOCK => {
            let weights = std::array::from_fn(|at| Weights::Secret(&inputs[3 + at]));
            block(party, x, [Some(&inputs[1]), Some(&inputs[2])], weights)
        }
        // Gains of one are part of the matrices behind them.
        _ => block(party, x, [None, None], std::array::from_fn(|at| Weights::Public(&BLOCK_WEIGHTS[at]))),
    }
}

/// The masks that a case asks for, to be made together: they depend on lengths alone, and are found out once.
pub(super) fn requests(name: &str, inputs: &[Vec<f64>], security: Security) -> Result<Vec<Request>, SmpcError> {
    if ![SECRET_EXPERT, PUBLIC_EXPERT, SECRET_BLOCK, PUBLIC_BLOCK].contains(&name) {
        return Ok(Vec::new());
    }
    let zeros: Vec<Shares> = inputs.iter().map(|values| Shares::zeros(values.len())).collect();
    let program = |_: PartyId, alone: &mut Computation<Nobody>| run(name, alone, &zeros).map(|_| ());
    Ok(Forecast::of(security, program)?.requests)
}

fn secret_expert(party: &mut Party<'_>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    run(SECRET_EXPERT, party, inputs)
}

fn public_expert(party: &mut Party<'_>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    run(PUBLIC_EXPERT, party, inputs)
}

fn secret_block(party: &mut Party<'_>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    run(SECRET_BLOCK, party, inputs)
}

fn public_block(party: &mut Party<'_>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    run(PUBLIC_BLOCK, party, inputs)
}

fn public_matmul(party: &mut Party<'_>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    let [product] = multiplied(party, &inputs[0], 512, [Weights::Public(&MATMUL_WEIGHTS[0])])?;
    Ok(product)
}

/// `[rows, columns]` whose products with normal rows are as large as these.
fn weights(rows: usize, columns: usize, seed: u64) -> Vec<f64> {
    normal(rows * columns, (rows as f64).sqrt().recip(), seed)
}

fn square_weights() -> Vec<f64> {
    weights(512, 512, 12)
}

fn first_matrix() -> Vec<Vec<f64>> {
    vec![weights(512, 512, 11)]
}

fn plain_public_matmul(inputs: &[Vec<f64>]) -> Vec<f64> {
    plain_matmul_of(&inputs[0], &square_weights(), 512)
}

fn expert_inputs() -> Vec<Vec<f64>> {
    let [d, f, tokens] = EXPERT;
    vec![normal(tokens * d, 1.0, 21), weights(d, f, 22), weights(d, f, 23), weights(f, d, 24)]
}

fn expert_rows() -> Vec<Vec<f64>> {
    expert_inputs()[..1].to_vec()
}

/// Rows, two gains of one, the weights of query (with the scale of scores), key, value and output, and the expert's.
fn block_inputs() -> Vec<Vec<f64>> {
    let [d, f, tokens] = BLOCK;
    let scale = (ATTENTION.head_dim as f64).sqrt().recip();
    let query = weights(d, d, 32).into_iter().map(|weight| weight * scale).collect();
    let square = |seed| weights(d, d, seed);
    let rows = normal(tokens * d, 1.0, 31);
    let expert = [weights(d, f, 36), weights(d, f, 37), weights(f, d, 38)];
    [rows, vec![1.0; d], vec![1.0; d], query, square(33), square(34), square(35)].into_iter().chain(expert).collect()
}

fn block_rows() -> Vec<Vec<f64>> {
    block_inputs()[..1].to_vec()
}

fn plain_expert(inputs: &[Vec<f64>]) -> Vec<f64> {
    expert_of(&inputs[0], EXPERT[0], EXPERT[1], &inputs[1..4])
}

fn plain_public_expert(rows: &[Vec<f64>]) -> Vec<f64> {
    plain_expert(&[rows, &expert_inputs()[1..]].concat())
}

fn expert_of(x: &[f64], d: usize, f: usize, weights: &[Vec<f64>]) -> Vec<f64> {
    let gate = plain_matmul_of(x, &weights[0], d);
    let up = plain_matmul_of(x, &weights[1], d);
    let hidden: Vec<f64> = gate.iter().zip(&up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
    plain_matmul_of(&hidden, &weights[2], f)
}

fn plain_public_block(rows: &[Vec<f64>]) -> Vec<f64> {
    plain_block(&[rows, &block_inputs()[1..]].concat())
}

fn plain_block(inputs: &[Vec<f64>]) -> Vec<f64> {
    let [d, f, _] = BLOCK;
    let attended = plain_attention(&plain_norm(&inputs[0], &inputs[1]), &inputs[3..7]);
    let sum = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x + y).collect::<Vec<f64>>();
    let x = sum(&inputs[0], &attended);
    sum(&x, &expert_of(&plain_norm(&x, &inputs[2]), d, f, &inputs[7..10]))
}

fn plain_norm(x: &[f64], gain: &[f64]) -> Vec<f64> {
    let row = |row: &[f64]| {
        let root = (row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64 + EPS).sqrt();
        row.iter().zip(gain).map(|(x, gain)| x / root * gain).collect::<Vec<_>>()
    };
    x.chunks_exact(gain.len()).flat_map(row).collect()
}

fn plain_attention(x: &[f64], weights: &[Vec<f64>]) -> Vec<f64> {
    let (d, width) = (BLOCK[0], ATTENTION.head_dim);
    let [queries, keys, values] = [0, 1, 2].map(|at: usize| plain_matmul_of(x, &weights[at], d));
    let mut heads = vec![0.0; x.len()];
    for (token, head) in (0..x.len() / d).flat_map(|token| (0..HEADS).map(move |head| (token, head))) {
        let of = |row: usize| row * d + head * width..row * d + (head + 1) * width;
        let dot = |past: usize| queries[of(token)].iter().zip(&keys[of(past)]).map(|(x, y)| x * y).sum::<f64>();
        let powers: Vec<f64> = (0..=token).map(|past| dot(past).exp()).collect();
        let all: f64 = powers.iter().sum();
        for (past, power) in powers.iter().enumerate() {
            let out = &mut heads[of(token)];
            out.iter_mut().zip(&values[of(past)]).for_each(|(out, value)| *out += power / all * value);
        }
    }
    plain_matmul_of(&heads, &weights[3], d)
}
