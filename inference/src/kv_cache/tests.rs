//! Caches give back what was written, in runs.

use super::*;

const SHAPE: HeadShape = HeadShape { kv_heads: 2, key_dim: 2, value_dim: 3, shared_values: false };

/// One head whose value is the first of the key's two elements.
const LATENT: HeadShape = HeadShape { kv_heads: 1, key_dim: 2, value_dim: 1, shared_values: true };

fn layer(positions: usize, cache_type: CacheType) -> LayerCache {
    let mut layer = LayerCache::new(SHAPE, cache_type);
    for position in 0..positions {
        let p = position as f32;
        layer.write(position, &[p, 0.0, p, 1.0], &[-p, 0.0, 0.5, -p, 1.0, 0.5]);
    }
    layer
}

fn cache(positions: usize, cache_type: CacheType) -> KvCache {
    let layers = vec![layer(positions, cache_type); 3];
    KvCache { shape: SHAPE, cache_type, context: 1000, len: positions, layers }
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
fn a_range_across_blocks_comes_back_in_order() {
    let (from, to) = (BLOCK_POSITIONS - 2, 2 * BLOCK_POSITIONS + 5);
    for cache_type in [CacheType::F16, CacheType::F32] {
        // Whole numbers up to 2048 are f16.
        let layer = layer(3 * BLOCK_POSITIONS, cache_type);
        for head in 0..2 {
            let expected: Vec<f32> = (from..to).flat_map(|p| [p as f32, head as f32]).collect();
            assert_eq!(elements(layer.keys(head, from, to)), expected);
            let expected: Vec<f32> = (from..to).flat_map(|p| [-(p as f32), head as f32, 0.5]).collect();
            assert_eq!(elements(layer.values(head, from, to)), expected);
        }
        let positions: Vec<usize> = layer.keys(0, from, to).map(|run| run.positions()).collect();
        assert_eq!(positions, [2, BLOCK_POSITIONS, 5]);
    }
}

#[test]
fn f16_is_rounded_to_the_nearest_and_kept_finite() {
    let mut layer = LayerCache::new(LATENT, CacheType::F16);
    let read = |layer: &LayerCache, p: usize| elements(layer.keys(0, p, p + 1));
    // 2049 lies between 2048 and 2050, 2051 between 2050 and 2052.
    layer.write(0, &[2049.0, 2051.0], &[]);
    assert_eq!(read(&layer, 0), [2048.0, 2052.0]);
    layer.write(1, &[1e9, -65_520.0], &[]);
    assert_eq!(read(&layer, 1), [65_504.0, -65_504.0]);
    layer.write(2, &[f32::NEG_INFINITY, f32::NAN], &[]);
    assert_eq!(read(&layer, 2)[0], f32::NEG_INFINITY);
    assert!(read(&layer, 2)[1].is_nan());
}

#[test]
fn shared_values_are_the_keys_and_take_no_memory() {
    let mut layer = LayerCache::new(LATENT, CacheType::F32);
    layer.write(0, &[1.0, 2.0], &[]);
    layer.write(1, &[3.0, 4.0], &[]);
    let runs: Vec<Run<'_>> = layer.values(0, 0, 2).collect();
    assert_eq!((runs[0].stride, runs[0].positions()), (2, 2));
    assert_eq!(elements(layer.values(0, 0, 2)), [1.0, 2.0, 3.0, 4.0]);
    let cache = KvCache { shape: LATENT, cache_type: CacheType::F32, context: 10, len: 2, layers: vec![layer] };
    assert_eq!(cache.bytes(), (BLOCK_POSITIONS * 2 * 4) as u64);
}

#[test]
fn truncation_frees_whole_blocks_and_never_lengthens() {
    let mut cache = cache(BLOCK_POSITIONS + 1, CacheType::F32);
    let two_blocks = cache.bytes();
    cache.truncate(500);
    assert_eq!((cache.len(), cache.bytes()), (BLOCK_POSITIONS + 1, two_blocks));
    cache.truncate(BLOCK_POSITIONS);
    assert_eq!((cache.len(), cache.bytes()), (BLOCK_POSITIONS, two_blocks / 2));
    cache.truncate(0);
    assert!(cache.is_empty());
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn a_block_takes_what_it_says() {
    // 3 layers, 2 heads of 2 + 3 elements
    let elements = (3 * BLOCK_POSITIONS * 2 * 5) as u64;
    assert_eq!(cache(1, CacheType::F32).bytes(), elements * 4);
    assert_eq!(cache(1, CacheType::F16).bytes(), elements * 2);
    assert_eq!(cache(0, CacheType::F16).bytes(), 0);
}

#[test]
fn a_cache_knows_its_model() {
    let cache = cache(0, CacheType::F16);
    assert!(cache.fits(3, SHAPE, CacheType::F16));
    assert!(!cache.fits(2, SHAPE, CacheType::F16));
    assert!(!cache.fits(3, HeadShape { kv_heads: 1, ..SHAPE }, CacheType::F16));
    assert!(!cache.fits(3, SHAPE, CacheType::F32));
}
