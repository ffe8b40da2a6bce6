//! Latent attention in its absorbed form against its formula, in which every head has keys and values of its own.

use neuro_expert_runtime::kernels::attention::Elements;

use super::*;
use crate::attention::{HeadProjections, LatentAttention, LatentQuery};

const HEADS: usize = 3;
const NOPE: usize = 5;
const ROPE: usize = 4;
const RANK: usize = 8;
const VALUE: usize = 7;
const SCALE: f32 = 0.4;

/// Seed of the up projections: `[HEADS × (NOPE + VALUE), RANK]`, each head's keys before its values.
const UP: u32 = 31;

fn up(head: usize, row: usize) -> Vec<f32> {
    let all = noise(UP, HEADS * (NOPE + VALUE) * RANK);
    let row = head * (NOPE + VALUE) + row;
    all[row * RANK..(row + 1) * RANK].to_vec()
}

fn per_head(input: usize, output: usize, matrix: impl Fn(usize) -> Vec<f32>) -> HeadProjections {
    let linear = |head| ReferenceEngine.linear(&Weight::from_f32("w", output, input, &matrix(head)));
    HeadProjections { linears: (0..HEADS).map(|head| linear(head).expect("a matrix")).collect(), input, output }
}

/// A small layer.
pub(super) fn attention() -> LatentAttention {
    let kv = HeadShape { kv_heads: 1, key_dim: RANK + ROPE, value_dim: RANK, shared_values: true };
    let transposed_keys = |head| (0..RANK).flat_map(|column| (0..NOPE).map(move |row| up(head, row)[column])).collect();
    LatentAttention {
        heads: Heads { count: HEADS, kv, scale: SCALE, window: None, sinks: None },
        nope_dim: NOPE,
        rope_dim: ROPE,
        query: LatentQuery::LowRank {
            down: projection(21, 6, D_MODEL, true),
            norm: RmsNorm::new(noise(22, 6), 1e-6),
            up: projection(23, HEADS * (NOPE + ROPE), 6, false),
        },
        down: projection(24, RANK + ROPE, D_MODEL, true),
        norm: RmsNorm::new(noise(25, RANK), 1e-6),
        key_up: per_head(NOPE, RANK, transposed_keys),
        value_up: per_head(RANK, VALUE, |head| (NOPE..NOPE + VALUE).flat_map(|row| up(head, row)).collect()),
        output: projection(26, D_MODEL, HEADS * VALUE, false),
    }
}

fn product(matrix: &[Vec<f32>], vector: &[f32]) -> Vec<f32> {
    let dot = |row: &Vec<f32>| row.iter().zip(vector).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>() as f32;
    matrix.iter().map(dot).collect()
}

#[test]
fn the_absorbed_form_is_the_formula() {
    const POSITIONS: usize = 6;
    let attention = attention();
    let hidden = Rows::new(D_MODEL, noise(27, POSITIONS * D_MODEL));
    let rotation = rope(ROPE).rotation(0..POSITIONS);
    // Every position's latent vector and shared key, rotated.
    let mut latents = attention.down.apply(&hidden).expect("the engine works");
    for position in 0..POSITIONS {
        attention.norm.apply_in_place(&mut latents.row_mut(position)[..RANK]);
        rotation.apply(position, &mut latents.row_mut(position)[RANK..]);
    }
    let mut queries = attention.query.apply(&hidden).expect("the engine works");
    let mut heads = Vec::new();
    for head in 0..HEADS {
        let query = &mut queries.row_mut(POSITIONS - 1)[head * (NOPE + ROPE)..(head + 1) * (NOPE + ROPE)];
        rotation.apply(POSITIONS - 1, &mut query[NOPE..]);
        let (keys_up, values_up): (Vec<_>, Vec<_>) =
            ((0..NOPE).map(|row| up(head, row)).collect(), (NOPE..NOPE + VALUE).map(|row| up(head, row)).collect());
        let key = |latent: &[f32]| [product(&keys_up, &latent[..RANK]), latent[RANK..].to_vec()].concat();
        let keys: Vec<_> = latents.iter().map(key).collect();
        let values: Vec<_> = latents.iter().map(|latent| product(&values_up, &latent[..RANK])).collect();
        heads.extend(formula(query, f64::from(SCALE), None, &keys, &values).iter().map(|value| *value as f32));
    }
    let expected = attention.output.apply(&Rows::new(HEADS * VALUE, heads)).expect("the engine works");
    let got = run(&Attention::Latent(attention), &hidden, POSITIONS);
    for (got, expected) in got[(POSITIONS - 1) * D_MODEL..].iter().zip(expected.values()) {
        assert!((got - expected).abs() < 1e-4, "expected {expected}, got {got}");
    }
}

#[test]
fn the_cache_holds_the_latent_vector_alone() {
    let attention = attention();
    let mut cache = Cache::new(attention.heads.kv);
    let (hidden, rotation) = (Rows::new(D_MODEL, noise(28, D_MODEL)), rope(ROPE).rotation(0..1));
    let latent = {
        let segments = [cache.segment(0, 1, 1)];
        let span = Span { layer: 0, segments: &segments, rotation: &rotation };
        attention.latents(&hidden, &span).expect("the engine works")
    };
    cache.apply(&Attention::Latent(attention), &hidden, 0, 1);
    let pages = cache.pool.layer(0, &cache.pages);
    for run in pages.keys(0, 0, 1).chain(pages.values(0, 0, 1)) {
        assert_eq!(run.stride, RANK + ROPE);
        assert!(matches!(run.elements, Elements::F32(values) if values == latent.row(0)));
    }
}
