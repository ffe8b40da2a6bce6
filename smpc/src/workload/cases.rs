//! The calculations, and the same in float64.

use super::client::normal;
use super::{Party, Workload};
use crate::error::SmpcError;
use crate::functions::FRACTION;
use crate::ring::Shape;
use crate::share::Shares;
use crate::truncation::GUARD;

/// Values of the elementwise cases.
const MANY: usize = 1 << 20;

/// Rows and columns of the softmax.
const SQUARE: usize = 128;

/// Rows and columns of the normalisation.
const NORM: [usize; 2] = [32, 512];

/// Fraction bits of numbers that are multiplied once: those of the peer.
const MULTIPLIED: u32 = 18;

/// Last bits of a product that are cut off.
const CUT: u32 = MULTIPLIED - GUARD;

/// What is left of 64 bits then.
const PRODUCT_BITS: u32 = 64 - CUT;

/// Bits that two numbers and their difference take.
const COMPARED_BITS: u32 = 64;

pub(super) static ALL: [Workload; 6] = [
    Workload {
        name: "matmul512",
        fraction: MULTIPLIED + GUARD,
        encoding: MULTIPLIED,
        bits: PRODUCT_BITS,
        inputs: matrices,
        program: matmul,
        plain: plain_matmul,
    },
    Workload {
        name: "mul1m",
        fraction: MULTIPLIED + GUARD,
        encoding: MULTIPLIED,
        bits: PRODUCT_BITS,
        inputs: pairs,
        program: products,
        plain: plain_products,
    },
    Workload {
        name: "compare1m",
        fraction: 0,
        encoding: FRACTION,
        bits: 64,
        inputs: pairs,
        program: compare,
        plain: plain_compare,
    },
    Workload {
        name: "softmax128",
        fraction: FRACTION,
        encoding: FRACTION,
        bits: 64,
        inputs: scores,
        program: softmax,
        plain: plain_softmax,
    },
    Workload {
        name: "silu64k",
        fraction: FRACTION,
        encoding: FRACTION,
        bits: 64,
        inputs: activations,
        program: silu,
        plain: plain_silu,
    },
    Workload {
        name: "rmsnorm",
        fraction: FRACTION,
        encoding: FRACTION,
        bits: 64,
        inputs: hidden,
        program: rmsnorm,
        plain: plain_rmsnorm,
    },
];

fn matrices() -> Vec<Vec<f64>> {
    let sigma = 512_f64.sqrt().recip();
    vec![normal(512 * 512, sigma, 1), normal(512 * 512, sigma, 2)]
}

fn matmul(party: &mut Party<'_>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    let shape = Shape { rows: 512, inner: 512, columns: 512 };
    let products = party.matrix_products("matmul", &inputs[0], &inputs[1], &[shape])?;
    party.truncate_narrow(products, CUT)
}

fn plain_matmul(inputs: &[Vec<f64>]) -> Vec<f64> {
    plain_matmul_of(&inputs[0], &inputs[1], 512)
}

/// `x: [rows, inner]` times `y: [inner, columns]`.
pub(super) fn plain_matmul_of(x: &[f64], y: &[f64], inner: usize) -> Vec<f64> {
    let columns = y.len() / inner;
    let mut product = vec![0.0; x.len() / inner * columns];
    for (row, product) in product.chunks_exact_mut(columns).enumerate() {
        for (x, y) in x[row * inner..][..inner].iter().zip(y.chunks_exact(columns)) {
            product.iter_mut().zip(y).for_each(|(sum, y)| *sum += x * y);
        }
    }
    product
}

fn pairs() -> Vec<Vec<f64>> {
    vec![normal(MANY, 1.0, 3), normal(MANY, 1.0, 4)]
}

fn products(party: &mut Party<'_>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    let products = party.products("products", &inputs[0], &inputs[1], 64)?;
    party.truncate_narrow(products, CUT)
}

fn plain_products(inputs: &[Vec<f64>]) -> Vec<f64> {
    inputs[0].iter().zip(&inputs[1]).map(|(x, y)| x * y).collect()
}

fn compare(party: &mut Party<'_>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    let below = party.is_negative(&inputs[0].minus(&inputs[1]), COMPARED_BITS)?;
    party.plane_to_numbers(&below, inputs[0].len())
}

/// Of the numbers in fixed point: what is equal there is not less.
fn plain_compare(inputs: &[Vec<f64>]) -> Vec<f64> {
    let fixed = |x: &f64| (x * f64::from(1 << FRACTION)).round();
    inputs[0].iter().zip(&inputs[1]).map(|(x, y)| f64::from(fixed(x) < fixed(y))).collect()
}

fn scores() -> Vec<Vec<f64>> {
    vec![normal(SQUARE * SQUARE, 4.0, 5)]
}

fn softmax(party: &mut Party<'_>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    party.softmax(&inputs[0], SQUARE, &[true; SQUARE * SQUARE])
}

fn plain_softmax(inputs: &[Vec<f64>]) -> Vec<f64> {
    let row = |row: &[f64]| {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
        row.iter().map(|x| (x - largest).exp() / sum).collect::<Vec<_>>()
    };
    inputs[0].chunks_exact(SQUARE).flat_map(row).collect()
}

fn activations() -> Vec<Vec<f64>> {
    vec![normal(1 << 16, 4.0, 6)]
}

fn silu(party: &mut Party<'_>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    party.silu(&inputs[0])
}

fn plain_silu(inputs: &[Vec<f64>]) -> Vec<f64> {
    inputs[0].iter().map(|x| x / (1.0 + (-x).exp())).collect()
}

fn hidden() -> Vec<Vec<f64>> {
    vec![normal(NORM[0] * NORM[1], 1.0, 7), vec![1.0; NORM[1]]]
}

/// x / √(mean of squares) · gain, the gain shared too.
fn rmsnorm(party: &mut Party<'_>, inputs: &[Shares]) -> Result<Shares, SmpcError> {
    let [rows, width] = NORM;
    let sums = party.inner_products("squares", &inputs[0], &inputs[0], width, 64)?;
    let sums = party.replicate(sums)?;
    let roots = party.reciprocal_root(&sums, (width as f64).sqrt())?;
    let places: Vec<usize> = (0..rows * width).map(|at| at / width).collect();
    let scaled = party.products("normalise", &inputs[0], &roots.gather(&places), 64)?;
    let scaled = party.truncate_products(scaled, 20)?;
    let places: Vec<usize> = (0..rows * width).map(|at| at % width).collect();
    let gained = party.products("gain", &scaled, &inputs[1].gather(&places), 64)?;
    party.truncate_products(gained, FRACTION)
}

fn plain_rmsnorm(inputs: &[Vec<f64>]) -> Vec<f64> {
    let row = |row: &[f64]| {
        let mean = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
        row.iter().zip(&inputs[1]).map(|(x, gain)| x / (mean + 1e-5).sqrt() * gain).collect::<Vec<_>>()
    };
    inputs[0].chunks_exact(NORM[1]).flat_map(row).collect()
}
