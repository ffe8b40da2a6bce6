//! What one party computes alone in each calculation: the arithmetic of the ring, without messages, masks and proofs.

use std::hint::black_box;
use std::time::Instant;

use crate::ring::planes::to_planes;
use crate::ring::{Shape, replicated, table_rows};

/// Runs, of which the best counts.
const RUNS: usize = 3;

/// Two components of some words.
type Sides = [Vec<u64>; 2];

/// Seconds of the case `name`, if there is one.
pub(super) fn seconds(name: &str) -> Option<f64> {
    let shape = |rows, inner, columns| Shape { rows, inner, columns };
    Some(match name {
        "matmul512" => matrices(&[(shape(512, 512, 512), 1)]),
        "mul1m" => sums(1 << 20, 1),
        "compare1m" => planes(1 << 20),
        "softmax128" => tables(128 * 128),
        "silu64k" => tables(1 << 16),
        "rmsnorm" => sums(32 * 512, 512),
        "expert_d256_f512_t8" => matrices(&[(shape(8, 256, 512), 2), (shape(8, 512, 256), 1)]),
        "block_d128_t16" => matrices(&[
            (shape(16, 128, 128), 4),
            (shape(16, 32, 16), 4),
            (shape(16, 16, 32), 4),
            (shape(16, 128, 256), 2),
            (shape(16, 256, 128), 1),
        ]),
        _ => return None,
    })
}

fn best(mut work: impl FnMut()) -> f64 {
    let run = |_| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64()
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}

fn words(n: usize) -> Sides {
    [1, 2].map(|seed: u64| (0..n as u64).map(|at| (at + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect())
}

fn sides(of: &Sides) -> [&[u64]; 2] {
    [&of[0], &of[1]]
}

/// This party's summands of some matrix products, each so often.
fn matrices(shapes: &[(Shape, usize)]) -> f64 {
    let operands = |(shape, times): &(Shape, usize)| {
        (*shape, *times, words(shape.rows * shape.inner), words(shape.inner * shape.columns))
    };
    let operands: Vec<_> = shapes.iter().map(operands).collect();
    best(|| {
        for (shape, times, x, y) in &operands {
            for _ in 0..*times {
                black_box(replicated::matrix_product(*shape, sides(x), sides(y)));
            }
        }
    })
}

/// Sums of `terms` products, of `n` numbers in all.
fn sums(n: usize, terms: usize) -> f64 {
    let (x, y) = (words(n), words(n));
    best(|| {
        black_box(replicated::inner_products(terms, sides(&x), sides(&y)));
    })
}

/// Components as planes of bits.
fn planes(n: usize) -> f64 {
    let x = words(n);
    best(|| {
        black_box(sides(&x).map(|part| to_planes(part, 64)));
    })
}

/// A place in a table of 128 cubics for each of `n` numbers.
fn tables(n: usize) -> f64 {
    let tables: [Vec<u64>; 4] = std::array::from_fn(|_| words(256)[0].clone());
    let cells: Vec<usize> = (0..n).map(|at| at * 37 % 128).collect();
    let low = words(n * 16);
    best(|| {
        black_box(sides(&low).map(|low| table_rows(&tables, &cells, low, 16)));
    })
}
