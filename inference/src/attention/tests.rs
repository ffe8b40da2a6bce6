//! Attention against its formula in double precision.

mod latent;

use neuro_expert_runtime::engines::reference::ReferenceEngine;
use neuro_expert_runtime::{Engine, Weight};
use neuro_model::{RopePairing, RopeScaling, RopeSettings};

use super::*;
use crate::kv_cache::{CacheType, HeadShape, PAGE_POSITIONS, PageId, PageLayout, PagePool};
use crate::norm::RmsNorm;
use crate::projection::Projection;
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

/// One layer's keys and values of one sequence.
struct Cache {
    pool: PagePool,
    pages: Vec<PageId>,
}

impl Cache {
    /// With room for 320 positions.
    fn new(shape: HeadShape) -> Self {
        let mut pool = PagePool::unbounded(PageLayout { layers: 1, shape, cache_type: CacheType::F32 });
        let pages = (0..320 / PAGE_POSITIONS).map(|_| pool.allocate().expect("a page")).collect();
        Self { pool, pages }
    }

    fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        self.pool.write(0, &self.pages, position, key, value);
    }

    fn segment(&self, first: usize, rows: usize, asking: usize) -> Segment<'_> {
        Segment { pages: &self.pages, first, rows, asking }
    }

    /// `attention` over `hidden` from position `first`, with the last `asking` rows.
    fn apply(&mut self, attention: &Attention, hidden: &Rows, first: usize, asking: usize) -> Rows {
        let rope = match attention {
            Attention::Grouped(_) => rope(HEAD_DIM),
            Attention::Latent(latent) => rope(latent.rope_dim),
        };
        let rotation = rope.rotation(first..first + hidden.count());
        let pages = self.pages.clone();
        let segments = [Segment { pages: &pages, first, rows: hidden.count(), asking }];
        let span = Span { layer: 0, segments: &segments, rotation: &rotation };
        attention.apply(hidden, &span, &mut self.pool).expect("the engine works")
    }
}

const fn shape_of(attention: &Attention) -> HeadShape {
    match attention {
        Attention::Grouped(grouped) => grouped.heads.kv,
        Attention::Latent(latent) => latent.heads.kv,
    }
}

const D_MODEL: usize = 12;
const HEAD_DIM: usize = 6;
const KV: HeadShape = HeadShape { kv_heads: 2, key_dim: HEAD_DIM, value_dim: HEAD_DIM, shared_values: false };

fn heads() -> Heads {
    Heads { count: 4, kv: KV, scale: 1.0 / (HEAD_DIM as f32).sqrt(), window: None, sinks: None }
}

fn grouped(heads: Heads, query_key_norm: Option<(RmsNorm, RmsNorm)>, clip: Option<f32>) -> GroupedAttention {
    let (q, kv) = (heads.count * HEAD_DIM, heads.kv.kv_heads * HEAD_DIM);
    GroupedAttention {
        heads,
        query: projection(1, q, D_MODEL, true),
        key: projection(2, kv, D_MODEL, true),
        value: projection(3, kv, D_MODEL, true),
        output: projection(4, D_MODEL, q, true),
        query_key_norm,
        clip,
    }
}

fn rope(width: usize) -> Rope {
    let settings = RopeSettings { theta: 1e4, pairing: RopePairing::Halves, scaling: RopeScaling::None };
    Rope::new(width, &settings)
}

fn plain() -> Attention {
    Attention::Grouped(grouped(heads(), None, None))
}

/// Runs `hidden` in chunks of `chunk` rows over a fresh cache.
fn run(attention: &Attention, hidden: &Rows, chunk: usize) -> Vec<f32> {
    let (mut cache, mut out) = (Cache::new(shape_of(attention)), Vec::new());
    for first in (0..hidden.count()).step_by(chunk) {
        let rows = hidden.slice(first, (first + chunk).min(hidden.count()));
        out.extend(cache.apply(attention, &rows, first, rows.count()).into_values());
    }
    out
}

/// `softmax(scale · q·Kᵀ)·V` of one query, in f64, with a sink if there is one. `keys`, `values`: one a position.
fn formula(query: &[f32], scale: f64, sink: Option<f32>, keys: &[Vec<f32>], values: &[Vec<f32>]) -> Vec<f64> {
    let score = |key: &Vec<f32>| query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() * scale;
    let weights: Vec<f64> = keys.iter().map(|key| score(key).exp()).collect();
    let total: f64 = weights.iter().sum::<f64>() + sink.map_or(0.0, |sink| f64::from(sink).exp());
    let element = |i: usize| values.iter().zip(&weights).map(|(v, w)| f64::from(v[i]) * w / total).sum();
    (0..values[0].len()).map(element).collect()
}

/// Queries (the last position's), keys and values of five positions under `attention`, and what its heads make of it.
fn heads_of(attention: &GroupedAttention) -> (Rows, Rows, Rows, Rows) {
    let hidden = Rows::new(D_MODEL, noise(12, 5 * D_MODEL));
    let rotation = rope(HEAD_DIM).rotation(0..5);
    let mut cache = Cache::new(KV);
    let project = |cache: &Cache| {
        let segments = [cache.segment(0, 5, 1)];
        let span = Span { layer: 0, segments: &segments, rotation: &rotation };
        let queries = attention.queries(&hidden, &span, &[4]).expect("the engine works");
        let (keys, values) = attention.keys_and_values(&hidden, &span).expect("the engine works");
        let attended = attention.heads.attend(&queries, &span, &cache.pool);
        (queries, keys, values, attended)
    };
    let (_, keys, values, _) = project(&cache);
    for p in 0..5 {
        cache.write(p, keys.row(p), values.row(p));
    }
    project(&cache)
}

#[test]
fn heads_follow_the_formula_and_share_the_keys_of_their_group() {
    for sinks in [None, Some(vec![0.5, -1.0, 3.0, 0.0])] {
        let attention = grouped(Heads { sinks: sinks.clone(), scale: 0.3, ..heads() }, None, None);
        let (queries, keys, values, attended) = heads_of(&attention);
        let head = |row: &[f32], h: usize| row[h * HEAD_DIM..(h + 1) * HEAD_DIM].to_vec();
        for h in 0..4 {
            let of = |rows: &Rows| rows.iter().map(|row| head(row, h / 2)).collect::<Vec<_>>();
            let sink = sinks.as_ref().map(|sinks| sinks[h]);
            let expected = formula(&head(queries.row(0), h), 0.3, sink, &of(&keys), &of(&values));
            for (got, expected) in head(attended.row(0), h).iter().zip(expected) {
                assert!((f64::from(*got) - expected).abs() < 1e-5, "head {h}: {expected}, got {got}");
            }
        }
    }
}

#[test]
fn a_sink_far_above_the_scores_swallows_the_values() {
    let with_sink = |sink| {
        let attention = grouped(Heads { sinks: Some(vec![sink; 4]), ..heads() }, None, None);
        heads_of(&attention).3.into_values()
    };
    assert!(with_sink(1000.0).iter().all(|value| *value == 0.0));
    let without = heads_of(&grouped(heads(), None, None)).3.into_values();
    assert!(with_sink(-1000.0).iter().zip(&without).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn scores_far_beyond_the_range_of_exp_still_give_a_mean() {
    let kv = HeadShape { kv_heads: 1, key_dim: 2, value_dim: 2, shared_values: false };
    let mut cache = Cache::new(kv);
    cache.write(0, &[300.0, 0.0], &[1.0, 5.0]);
    cache.write(1, &[300.0, 0.0], &[3.0, 7.0]);
    let heads = Heads { count: 1, kv, scale: 1.0, window: None, sinks: None };
    let (segments, rotation) = ([cache.segment(1, 1, 1)], rope(2).rotation(1..2));
    let span = Span { layer: 0, segments: &segments, rotation: &rotation };
    assert_eq!(heads.attend(&Rows::new(2, vec![9.0, 0.0]), &span, &cache.pool).values(), [2.0, 6.0]);
}

#[test]
fn rows_that_do_not_ask_leave_their_keys_and_change_nothing_else() {
    let hidden = Rows::new(D_MODEL, noise(14, 7 * D_MODEL));
    for attention in [plain(), Attention::Latent(latent::attention())] {
        let whole = run(&attention, &hidden, 7);
        let mut cache = Cache::new(shape_of(&attention));
        let mut ask = |from: usize, to: usize, asking| cache.apply(&attention, &hidden.slice(from, to), from, asking);
        assert_eq!(ask(0, 3, 0).count(), 0);
        assert_eq!(ask(3, 7, 2).values(), &whole[5 * D_MODEL..]);
    }
}

#[test]
fn chunks_of_any_size_give_the_same_bits() {
    let hidden = Rows::new(D_MODEL, noise(9, 300 * D_MODEL));
    for attention in [plain(), Attention::Latent(latent::attention())] {
        let whole = run(&attention, &hidden, 300);
        for chunk in [1, 7, 128, 129] {
            let parts = run(&attention, &hidden, chunk);
            assert!(whole.iter().zip(&parts).all(|(a, b)| a.to_bits() == b.to_bits()), "chunks of {chunk}");
        }
    }
}

#[test]
fn sequences_in_one_call_get_the_bits_that_each_gets_alone() {
    for attention in [plain(), Attention::Latent(latent::attention())] {
        let mut caches = [Cache::new(shape_of(&attention)), Cache::new(shape_of(&attention))];
        let hidden = [Rows::new(D_MODEL, noise(15, 40 * D_MODEL)), Rows::new(D_MODEL, noise(16, 35 * D_MODEL))];
        let before = [
            cached_alone(&attention, &mut caches[0], &hidden[0]),
            cached_alone(&attention, &mut caches[1], &hidden[1]),
        ];
        // Positions 37 to 39 of one sequence and 34 of the other, in one pool.
        let mut pool = PagePool::unbounded(caches[0].pool.layout());
        let pages: [Vec<PageId>; 2] =
            std::array::from_fn(|_| (0..2).map(|_| pool.allocate().expect("a page")).collect());
        let width = match &attention {
            Attention::Grouped(_) => HEAD_DIM,
            Attention::Latent(latent) => latent.rope_dim,
        };
        let mut call = |firsts: [usize; 2], ends: [usize; 2]| {
            let rotation = rope(width).rotation((firsts[0]..ends[0]).chain(firsts[1]..ends[1]));
            let segment = |index: usize| {
                let rows = ends[index] - firsts[index];
                Segment { pages: &pages[index], first: firsts[index], rows, asking: rows }
            };
            let segments = [segment(0), segment(1)];
            let rows =
                [0, 1].map(|index: usize| hidden[index].slice(firsts[index], ends[index]).into_values()).concat();
            let span = Span { layer: 0, segments: &segments, rotation: &rotation };
            attention.apply(&Rows::new(D_MODEL, rows), &span, &mut pool).expect("the engine works")
        };
        call([0, 0], [37, 34]);
        let together = call([37, 34], [40, 35]);
        assert_eq!(together.values()[..3 * D_MODEL], before[0][37 * D_MODEL..]);
        assert_eq!(together.values()[3 * D_MODEL..], before[1][34 * D_MODEL..]);
    }
}

/// What `attention` makes of `hidden` in one piece.
fn cached_alone(attention: &Attention, cache: &mut Cache, hidden: &Rows) -> Vec<f32> {
    cache.apply(attention, hidden, 0, hidden.count()).into_values()
}

#[test]
fn a_later_position_never_changes_an_earlier_one() {
    let mut hidden = Rows::new(D_MODEL, noise(10, 9 * D_MODEL));
    let attention = plain();
    let before = run(&attention, &hidden, 9);
    hidden.row_mut(8).fill(3.0);
    let after = run(&attention, &hidden, 9);
    assert_eq!(before[..8 * D_MODEL], after[..8 * D_MODEL]);
    assert_ne!(before[8 * D_MODEL..], after[8 * D_MODEL..]);
}

#[test]
fn a_window_hides_what_lies_before_it() {
    let windowed = Attention::Grouped(grouped(Heads { window: Some(3), ..heads() }, None, None));
    let mut hidden = Rows::new(D_MODEL, noise(11, 8 * D_MODEL));
    let before = run(&windowed, &hidden, 8);
    assert_eq!(before[..3 * D_MODEL], run(&plain(), &hidden, 8)[..3 * D_MODEL]);
    hidden.row_mut(4).fill(2.0);
    let after = run(&windowed, &hidden, 8);
    let row = |values: &[f32], i: usize| values[i * D_MODEL..(i + 1) * D_MODEL].to_vec();
    assert_ne!(row(&before, 6), row(&after, 6), "position 6 sees 4, 5 and 6");
    assert_eq!(row(&before, 7), row(&after, 7), "position 7 sees 5, 6 and 7");
}

#[test]
fn norms_and_clip_act_before_the_rotation() {
    let hidden = Rows::new(D_MODEL, noise(13, D_MODEL));
    let rotation = rope(HEAD_DIM).rotation(0..1);
    let cache = Cache::new(KV);
    let segments = [cache.segment(0, 1, 1)];
    let span = Span { layer: 0, segments: &segments, rotation: &rotation };
    let project = |attention: &GroupedAttention| {
        let (keys, values) = attention.keys_and_values(&hidden, &span).expect("the engine works");
        (attention.queries(&hidden, &span, &[0]).expect("the engine works"), keys, values)
    };
    let unit = |width| RmsNorm::new(vec![1.0; width], 0.0);
    let mean_square = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;

    let per_head = grouped(heads(), Some((unit(6), unit(6))), None);
    let (queries, keys, _) = project(&per_head);
    for head in queries.values().chunks(6).chain(keys.values().chunks(6)) {
        assert!((mean_square(head) - 1.0).abs() < 1e-5);
    }
    let full = grouped(heads(), Some((unit(24), unit(12))), None);
    let (queries, keys, _) = project(&full);
    assert!((mean_square(queries.values()) - 1.0).abs() < 1e-5);
    assert!((mean_square(keys.values()) - 1.0).abs() < 1e-5);
    assert!((mean_square(&queries.values()[..6]) - 1.0).abs() > 1e-3, "heads differ under a full-width norm");

    let clipped = grouped(heads(), None, Some(0.25));
    let (queries, keys, values) = project(&clipped);
    assert!([queries, keys, values].iter().all(|rows| rows.values().iter().all(|value| value.abs() <= 0.25)));
}
