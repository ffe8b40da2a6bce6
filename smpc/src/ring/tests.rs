//! All instruction sets against the plainest loops, at shapes with every kind of edge.

use proptest::prelude::*;

use super::kernels::elementwise;
use super::replicated::{PublicWeights, public_product_with, two_products};
use super::*;

/// `n` words, some of them at the edges of halves and signs.
fn words(seed: u64, n: usize) -> Vec<u64> {
    const EDGES: [u64; 6] = [0, u64::MAX, 1 << 31, 1 << 63, 0xFFFF_FFFF, 0x8000_0000_8000_0000];
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            EDGES.get((mixed >> 57) as usize).copied().unwrap_or(mixed)
        })
        .collect()
}

fn product(shape: Shape, left: &[u64], right: &[u64], out: &mut [u64]) {
    for row in 0..shape.rows {
        for column in 0..shape.columns {
            for k in 0..shape.inner {
                let term = left[row * shape.inner + k].wrapping_mul(right[k * shape.columns + column]);
                let out = &mut out[row * shape.columns + column];
                *out = out.wrapping_add(term);
            }
        }
    }
}

/// `[rows, columns]` as `[columns, rows]`.
fn transposed<T: Copy>(rows: usize, columns: usize, matrix: &[T]) -> Vec<T> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| matrix[row * columns + column])).collect()
}

fn check_matrices(shape: Shape, seed: u64) {
    let left = words(seed, shape.rows * shape.inner);
    let right = words(seed + 1, shape.inner * shape.columns);
    let before = words(seed + 2, shape.rows * shape.columns);
    let turned = transposed(shape.inner, shape.columns, &right);
    let mut expected = before.clone();
    product(shape, &left, &right, &mut expected);
    for set in InstructionSet::available() {
        let mut out = before.clone();
        columns::add(set, shape, &left, &right, &mut out);
        assert!(out == expected, "{set:?}: {shape:?}");
        let mut out = before.clone();
        transposed_with(set, shape, &left, &turned, &mut out);
        assert!(out == expected, "{set:?}: {shape:?}, transposed");
    }
}

fn check_public(shape: Shape, seed: u64) {
    let x = [words(seed, shape.rows * shape.inner), words(seed + 1, shape.rows * shape.inner)];
    let wide: Vec<i32> = words(seed + 2, shape.inner * shape.columns).iter().map(|word| *word as i32).collect();
    let narrow: Vec<i16> = wide.iter().map(|weight| *weight as i16).collect();
    let ring = |weights: &[i64]| -> Vec<u64> {
        let weights: Vec<u64> = weights.iter().map(|weight| *weight as u64).collect();
        transposed(shape.columns, shape.inner, &weights)
    };
    let cases = [
        (PublicWeights::I32(&wide), ring(&wide.iter().map(|weight| i64::from(*weight)).collect::<Vec<_>>())),
        (PublicWeights::I16(&narrow), ring(&narrow.iter().map(|weight| i64::from(*weight)).collect::<Vec<_>>())),
    ];
    for (weights, right) in cases {
        let expected = x.each_ref().map(|x| {
            let mut out = vec![0; shape.rows * shape.columns];
            product(shape, x, &right, &mut out);
            out
        });
        for set in InstructionSet::available() {
            let mut out = expected.each_ref().map(|out| vec![0; out.len()]);
            public_product_with(set, shape, [&x[0], &x[1]], weights, &mut out);
            assert!(out == expected, "{set:?}: {shape:?}");
        }
    }
}

/// Three parties' summands make the product.
fn check_replicated(shape: Shape, seed: u64) {
    let x: Vec<Vec<u64>> = (0..3).map(|i| words(seed + i, shape.rows * shape.inner)).collect();
    let y: Vec<Vec<u64>> = (3..6).map(|i| words(seed + i, shape.inner * shape.columns)).collect();
    let total = |parts: &[Vec<u64>]| -> Vec<u64> {
        (0..parts[0].len()).map(|i| parts.iter().fold(0, |sum: u64, part| sum.wrapping_add(part[i]))).collect()
    };
    let mut expected = vec![0; shape.rows * shape.columns];
    product(shape, &total(&x), &total(&y), &mut expected);
    for set in InstructionSet::available() {
        let party = |i: usize| {
            let (x, y) = ([&*x[i], &x[(i + 1) % 3]], [&*y[i], &y[(i + 1) % 3]]);
            two_products(set, columns::add, shape, x, y)
        };
        assert!(total(&[party(0), party(1), party(2)]) == expected, "{set:?}: {shape:?}");
    }
}

/// Summands of grouped inner products, and of single products where groups have one element.
fn check_inner_products(n: usize, length: usize, seed: u64) {
    let sides: [Vec<u64>; 4] = [0, 1, 2, 3].map(|side| words(seed + side, n * length));
    let [x_own, x_next, y_own, y_next] = sides.each_ref().map(|side| &side[..]);
    let term = |i: usize| {
        let own = x_own[i].wrapping_mul(y_own[i]).wrapping_add(x_own[i].wrapping_mul(y_next[i]));
        own.wrapping_add(x_next[i].wrapping_mul(y_own[i]))
    };
    let sum = |group: usize| (0..length).fold(0, |sum: u64, i| sum.wrapping_add(term(group * length + i)));
    let expected: Vec<u64> = (0..n).map(sum).collect();
    let terms: Vec<u64> = (0..n * length).map(term).collect();
    for set in InstructionSet::available() {
        let mut out = vec![7; n];
        elementwise::inner_products(set, length, [x_own, x_next], [y_own, y_next], &mut out);
        assert!(out == expected, "{set:?}: {n} of {length}");
        let mut out = vec![7; n * length];
        elementwise::products(set, [x_own, x_next], [y_own, y_next], &mut out);
        assert!(out == terms, "{set:?}: {n} of {length}");
    }
}

#[test]
fn all_instruction_sets_give_the_product_whatever_the_shape() {
    for rows in [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 23] {
        for (inner, columns) in [(0, 3), (1, 1), (5, 0), (7, 9), (8, 16), (9, 17), (130, 31), (64, 33), (515, 5)] {
            let shape = Shape { rows, inner, columns };
            check_matrices(shape, rows as u64);
            check_public(shape, rows as u64);
            check_replicated(shape, rows as u64);
        }
    }
    for (rows, inner, columns) in [(131, 260, 18), (9, 140, 150), (3, 20, 150), (129, 3, 65), (130, 1030, 3)] {
        check_matrices(Shape { rows, inner, columns }, 1);
        check_public(Shape { rows, inner, columns }, 2);
    }
}

#[test]
fn the_public_face_is_the_same_arithmetic() {
    let shape = Shape { rows: 3, inner: 10, columns: 19 };
    let (left, right) = (words(1, 30), words(2, 190));
    let mut expected = vec![0; 57];
    product(shape, &left, &right, &mut expected);
    assert_eq!(multiply(shape, &left, &right), expected);
    let turned = transposed(10, 19, &right);
    assert_eq!(multiply_transposed(shape, &left, &turned), expected);
    let zeros = [vec![0; 30], vec![0; 190]];
    assert_eq!(replicated::matrix_product(shape, [&left, &zeros[0]], [&right, &zeros[1]]), expected);
    assert_eq!(replicated::matrix_product_transposed(shape, [&left, &zeros[0]], [&turned, &zeros[1]]), expected);
    assert_eq!(replicated::products([&[3], &[5]], [&[7], &[11]]), [3 * 7 + 3 * 11 + 5 * 7]);
    assert_eq!(replicated::inner_products(2, [&[3, 1], &[5, 0]], [&[7, 2], &[11, 4]]), [3 * 18 + 5 * 7 + 6]);
    let weights: Vec<i16> = (0..190).map(|i| i - 95).collect();
    let [own, next] = replicated::public_product(shape, [&left, &zeros[0]], PublicWeights::I16(&weights));
    assert_eq!(own[0], (0..10).fold(0, |sum: u64, k| sum.wrapping_add(left[k].wrapping_mul(weights[k] as u64))));
    assert_eq!(next, vec![0; 57]);
}

#[test]
#[should_panic(expected = "right matrix")]
fn a_matrix_of_another_shape_is_our_bug() {
    let _ = multiply(Shape { rows: 1, inner: 2, columns: 3 }, &[0; 2], &[0; 5]);
}

proptest! {
    #[test]
    fn any_shape(rows in 0..40_usize, inner in 0..150_usize, columns in 0..40_usize, seed in any::<u32>()) {
        let shape = Shape { rows, inner, columns };
        check_matrices(shape, u64::from(seed));
        check_public(shape, u64::from(seed));
        check_replicated(shape, u64::from(seed));
    }

    #[test]
    fn any_groups(n in 0..40_usize, length in 1..40_usize, seed in any::<u32>()) {
        check_inner_products(n, length, u64::from(seed));
    }
}
