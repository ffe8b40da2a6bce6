//! Attention against its formula in double precision.

use neuro_expert_runtime::engines::reference::ReferenceEngine;
use neuro_expert_runtime::{Engine, Weight};

use super::*;
use crate::kv_cache::CacheType;
use crate::rope::Rope;

/// Numbers in ±1 that look random and are the same everywhere.
fn noise(seed: u32, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn projection(seed: u32, rows: usize, columns: usize, bias: bool) -> Projection {
    let weight = Weight::from_f32("w", rows, columns, &noise(seed, rows * columns));
    let linear = ReferenceEngine.linear(&weight).expect("a well-formed matrix");
    Projection::new(linear, bias.then(|| noise(seed + 100, rows)))
}

const D_MODEL: usize = 12;

fn attention(shape: AttentionShape, norm: Option<(RmsNorm, RmsNorm)>, clip: Option<f32>) -> Attention {
    let (q, kv) = (shape.heads * shape.kv.key_dim, shape.kv.kv_heads * shape.kv.key_dim);
    Attention {
        shape,
        query: projection(1, q, D_MODEL, true),
        key: projection(2, kv, D_MODEL, true),
        value: projection(3, kv, D_MODEL, true),
        output: projection(4, D_MODEL, q, true),
        query_key_norm: norm,
        clip,
    }
}

const HEADS: HeadShape = HeadShape { kv_heads: 2, key_dim: 6, value_dim: 6, shared_values: false };

const SHAPE: AttentionShape = AttentionShape { heads: 4, kv: HEADS, window: None };

fn cache() -> LayerCache {
    LayerCache::new(SHAPE.kv, CacheType::F32)
}

/// Runs `hidden` in chunks of `chunk` rows over a fresh cache.
fn run(attention: &Attention, hidden: &Rows, chunk: usize) -> Vec<f32> {
    let (rope, mut cache, mut out) = (Rope::new(SHAPE.kv.key_dim, 10_000.0), cache(), Vec::new());
    for first in (0..hidden.count()).step_by(chunk) {
        let rows = hidden.slice(first, (first + chunk).min(hidden.count()));
        let rotation = rope.rotation(first..first + rows.count());
        let attended = attention.apply(&rows, first, &rotation, &mut cache).expect("the engine works");
        out.extend(attended.into_values());
    }
    out
}

/// The formula, one query at a time, in f64. `keys`, `values`: one vector a position.
fn formula(query: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>]) -> Vec<f64> {
    let scale = 1.0 / (query.len() as f64).sqrt();
    let score = |key: &Vec<f32>| query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() * scale;
    let weights: Vec<f64> = keys.iter().map(|key| score(key).exp()).collect();
    let total: f64 = weights.iter().sum();
    let element = |i: usize| values.iter().zip(&weights).map(|(v, w)| f64::from(v[i]) * w / total).sum();
    (0..query.len()).map(element).collect()
}

#[test]
fn chunks_of_any_size_give_the_same_bits() {
    let hidden = Rows::new(D_MODEL, noise(9, 300 * D_MODEL));
    let attention = attention(SHAPE, None, None);
    let whole = run(&attention, &hidden, 300);
    for chunk in [1, 7, 128, 129] {
        let parts = run(&attention, &hidden, chunk);
        assert!(whole.iter().zip(&parts).all(|(a, b)| a.to_bits() == b.to_bits()), "chunks of {chunk}");
    }
}

#[test]
fn a_later_position_never_changes_an_earlier_one() {
    let mut hidden = Rows::new(D_MODEL, noise(10, 9 * D_MODEL));
    let attention = attention(SHAPE, None, None);
    let before = run(&attention, &hidden, 9);
    hidden.row_mut(8).fill(3.0);
    let after = run(&attention, &hidden, 9);
    assert_eq!(before[..8 * D_MODEL], after[..8 * D_MODEL]);
    assert_ne!(before[8 * D_MODEL..], after[8 * D_MODEL..]);
}

#[test]
fn a_window_hides_what_lies_before_it() {
    let windowed = attention(AttentionShape { window: Some(3), ..SHAPE }, None, None);
    let mut hidden = Rows::new(D_MODEL, noise(11, 8 * D_MODEL));
    let before = run(&windowed, &hidden, 8);
    assert_eq!(before[..3 * D_MODEL], run(&attention(SHAPE, None, None), &hidden, 8)[..3 * D_MODEL]);
    hidden.row_mut(4).fill(2.0);
    let after = run(&windowed, &hidden, 8);
    let row = |values: &[f32], i: usize| values[i * D_MODEL..(i + 1) * D_MODEL].to_vec();
    assert_ne!(row(&before, 6), row(&after, 6), "position 6 sees 4, 5 and 6");
    assert_eq!(row(&before, 7), row(&after, 7), "position 7 sees 5, 6 and 7");
}

#[test]
fn query_heads_share_the_keys_of_their_group() {
    let hidden = Rows::new(D_MODEL, noise(12, 5 * D_MODEL));
    let attention = attention(SHAPE, None, None);
    let rotation = Rope::new(SHAPE.kv.key_dim, 10_000.0).rotation(0..5);
    let (queries, keys, values) = attention.project(&hidden, &rotation).expect("the engine works");
    let mut cache = cache();
    for p in 0..5 {
        cache.write(p, keys.row(p), values.row(p));
    }
    let attended = attention.attend_rows(&queries, 0, &cache);
    let head = |rows: &Rows, p: usize, h: usize| rows.row(p)[h * 6..(h + 1) * 6].to_vec();
    for h in 0..4 {
        let of = |rows: &Rows| (0..5).map(|p| head(rows, p, h / 2)).collect::<Vec<_>>();
        let expected = formula(&head(&queries, 4, h), &of(&keys), &of(&values));
        for (got, expected) in head(&attended, 4, h).iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-5, "head {h}: {expected}, got {got}");
        }
    }
}

#[test]
fn norms_and_clip_act_before_the_rotation() {
    let hidden = Rows::new(D_MODEL, noise(13, D_MODEL));
    let rotation = Rope::new(SHAPE.kv.key_dim, 10_000.0).rotation(0..1);
    let unit = |width| RmsNorm::new(vec![1.0; width], 0.0);
    let mean_square = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;

    let per_head = attention(SHAPE, Some((unit(6), unit(6))), None);
    let (queries, keys, _) = per_head.project(&hidden, &rotation).expect("the engine works");
    for head in queries.values().chunks(6).chain(keys.values().chunks(6)) {
        assert!((mean_square(head) - 1.0).abs() < 1e-5);
    }
    let full = attention(SHAPE, Some((unit(24), unit(12))), None);
    let (queries, keys, _) = full.project(&hidden, &rotation).expect("the engine works");
    assert!((mean_square(queries.values()) - 1.0).abs() < 1e-5);
    assert!((mean_square(keys.values()) - 1.0).abs() < 1e-5);
    assert!((mean_square(&queries.values()[..6]) - 1.0).abs() > 1e-3, "heads differ under a full-width norm");

    let clipped = attention(SHAPE, None, Some(0.25));
    let (queries, keys, values) = clipped.project(&hidden, &rotation).expect("the engine works");
    assert!([queries, keys, values].iter().all(|rows| rows.values().iter().all(|value| value.abs() <= 0.25)));
}
