//! Caches give back what was written, in runs, and pages live while somebody refers to them.

use neuro_expert_runtime::kernels::attention::{Elements, Run};
use neuro_expert_runtime::kernels::{InstructionSet, functions};

use super::*;

const SHAPE: HeadShape = HeadShape { kv_heads: 2, key_dim: 2, value_dim: 3, shared_values: false };

/// One head whose value is the first of the key's two elements.
const LATENT: HeadShape = HeadShape { kv_heads: 1, key_dim: 2, value_dim: 1, shared_values: true };

const fn layout(layers: usize, shape: HeadShape, cache_type: CacheType) -> PageLayout {
    PageLayout { layers, shape, cache_type }
}

/// A sequence of one layer with room for `positions`.
fn sequence(positions: usize, shape: HeadShape, cache_type: CacheType) -> (PagePool, Vec<PageId>) {
    let mut pool = PagePool::unbounded(layout(1, shape, cache_type));
    let pages = (0..positions.div_ceil(PAGE_POSITIONS)).map(|_| pool.allocate().expect("a page")).collect();
    (pool, pages)
}

/// A cache of three layers that holds `positions`.
fn cache(positions: usize, cache_type: CacheType) -> KvCache {
    let pool = PagePool::unbounded(layout(3, SHAPE, cache_type));
    let mut cache = KvCache { pool, pages: Vec::new(), context: 1000, len: 0 };
    cache.grown(positions);
    cache.advance(positions);
    cache
}

/// The elements of runs as f32.
fn elements<'a>(runs: impl Iterator<Item = Run<'a>>) -> Vec<f32> {
    let mut all = Vec::new();
    for run in runs {
        match run.elements {
            Elements::F32(values) => all.extend_from_slice(values),
            Elements::F16(halves) => {
                let start = all.len();
                all.resize(start + halves.len(), 0.0);
                functions::widen(InstructionSet::current(), halves, &mut all[start..]);
            }
        }
    }
    all
}

#[test]
fn a_range_across_pages_comes_back_in_order() {
    let (from, to) = (PAGE_POSITIONS - 2, 2 * PAGE_POSITIONS + 5);
    for cache_type in [CacheType::F16, CacheType::F32] {
        // Whole numbers up to 2048 are f16.
        let (mut pool, pages) = sequence(3 * PAGE_POSITIONS, SHAPE, cache_type);
        for position in 0..3 * PAGE_POSITIONS {
            let p = position as f32;
            pool.write(0, &pages, position, &[p, 0.0, p, 1.0], &[-p, 0.0, 0.5, -p, 1.0, 0.5]);
        }
        let layer = pool.layer(0, &pages);
        for head in 0..2 {
            let expected: Vec<f32> = (from..to).flat_map(|p| [p as f32, head as f32]).collect();
            assert_eq!(elements(layer.keys(head, from, to)), expected);
            let expected: Vec<f32> = (from..to).flat_map(|p| [-(p as f32), head as f32, 0.5]).collect();
            assert_eq!(elements(layer.values(head, from, to)), expected);
        }
        let positions: Vec<usize> = layer.keys(0, from, to).map(|run| run.positions()).collect();
        assert_eq!(positions, [2, PAGE_POSITIONS, 5]);
    }
}

#[test]
fn f16_is_rounded_to_the_nearest_and_kept_finite() {
    let (mut pool, pages) = sequence(3, LATENT, CacheType::F16);
    let read = |pool: &PagePool, p: usize| elements(pool.layer(0, &pages).keys(0, p, p + 1));
    // 2049 lies between 2048 and 2050, 2051 between 2050 and 2052.
    pool.write(0, &pages, 0, &[2049.0, 2051.0], &[]);
    assert_eq!(read(&pool, 0), [2048.0, 2052.0]);
    pool.write(0, &pages, 1, &[1e9, -65_520.0], &[]);
    assert_eq!(read(&pool, 1), [65_504.0, -65_504.0]);
    pool.write(0, &pages, 2, &[f32::NEG_INFINITY, f32::NAN], &[]);
    assert_eq!(read(&pool, 2)[0], f32::NEG_INFINITY);
    assert!(read(&pool, 2)[1].is_nan());
}

#[test]
fn shared_values_are_the_keys_and_take_no_memory() {
    let (mut pool, pages) = sequence(2, LATENT, CacheType::F32);
    pool.write(0, &pages, 0, &[1.0, 2.0], &[]);
    pool.write(0, &pages, 1, &[3.0, 4.0], &[]);
    let layer = pool.layer(0, &pages);
    let runs: Vec<Run<'_>> = layer.values(0, 0, 2).collect();
    assert_eq!((runs[0].stride, runs[0].positions()), (2, 2));
    assert_eq!(elements(layer.values(0, 0, 2)), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(pool.layout().page_bytes(), (PAGE_POSITIONS * 2 * 4) as u64);
}

#[test]
fn truncation_frees_whole_pages_and_never_lengthens() {
    let mut cache = cache(PAGE_POSITIONS + 1, CacheType::F32);
    let two_pages = cache.bytes();
    cache.truncate(500);
    assert_eq!((cache.len(), cache.bytes()), (PAGE_POSITIONS + 1, two_pages));
    cache.truncate(PAGE_POSITIONS);
    assert_eq!((cache.len(), cache.bytes()), (PAGE_POSITIONS, two_pages / 2));
    cache.truncate(0);
    assert!(cache.is_empty());
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn a_page_takes_what_it_says() {
    // 3 layers, 2 heads of 2 + 3 elements
    let elements = (3 * PAGE_POSITIONS * 2 * 5) as u64;
    assert_eq!(cache(1, CacheType::F32).bytes(), elements * 4);
    assert_eq!(cache(1, CacheType::F16).bytes(), elements * 2);
    assert_eq!(cache(0, CacheType::F16).bytes(), 0);
}

#[test]
fn a_pool_gives_as_many_pages_as_it_may_and_each_lives_as_long_as_it_is_used() {
    let mut pool = PagePool::new(layout(1, SHAPE, CacheType::F32), 2);
    let (first, second) = (pool.allocate().expect("a page"), pool.allocate().expect("a page"));
    assert_eq!((pool.allocate(), pool.used()), (None, 2));
    pool.retain(first);
    pool.release(first);
    assert_eq!((pool.used(), pool.references(first)), (2, 1), "somebody still refers to it");
    pool.write(0, &[first], 0, &[1.0; 4], &[2.0; 6]);
    pool.release(first);
    assert_eq!(pool.used(), 1);
    let again = pool.allocate().expect("the page that was given back");
    assert_eq!(elements(pool.layer(0, &[again]).keys(0, 0, 1)), [0.0, 0.0], "nothing of who had it before");
    assert_ne!(again, second);
}
