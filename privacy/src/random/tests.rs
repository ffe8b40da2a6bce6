//! Tests of the secret bits.

use super::*;
use crate::testing::{assert_fits, count};

#[test]
fn the_stream_is_chacha20_of_rfc_8439() {
    let mut rng = NoiseRng::from_seed(&[0; 32]);
    assert_eq!(rng.next_u64().to_le_bytes(), [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
}

#[test]
fn one_seed_gives_one_stream_and_another_seed_another() {
    let draw = |seed: u8| {
        let mut rng = NoiseRng::from_seed(&[seed; 32]);
        (0..1000).map(|i| if i % 3 == 0 { rng.next_u128() } else { u128::from(rng.next_u64()) }).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn no_bits_come_twice_where_the_buffer_ends() {
    let mut rng = NoiseRng::from_seed(&[5; 32]);
    let mut seen: Vec<u64> = (0..10_000).map(|_| rng.next_u64()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 10_000);
}

#[test]
fn integers_below_a_bound_are_uniform() {
    for bound in [2_u128, 7, 200, (1 << 100) + 1] {
        let mut rng = NoiseRng::from_seed(&[3; 32]);
        let cells = bound.min(7);
        let counts = count(70_000, 0, cells as usize, || (rng.below(bound) / bound.div_ceil(cells)) as i64);
        let width = bound.div_ceil(cells) as f64;
        let mean = |cell: u128| 70_000.0 * (width.min(bound as f64 - cell as f64 * width)) / bound as f64;
        assert_fits(&counts, &(0..cells).map(mean).collect::<Vec<_>>());
    }
}

#[test]
fn bounds_of_none_and_one_give_zero() {
    let mut rng = NoiseRng::from_seed(&[3; 32]);
    assert_eq!((rng.below(0), rng.below(1)), (0, 0));
}

#[test]
fn the_system_gives_different_streams() {
    let mut streams = [NoiseRng::from_system().unwrap(), NoiseRng::from_system().unwrap()];
    let [first, second] = &mut streams;
    assert_ne!(first.next_u128(), second.next_u128());
}
