//! Tests of the overflow bound.

use neuro_primitives::Hash;
use proptest::prelude::*;

use super::*;
use crate::{Encoder, EncoderSettings, NoiseRng, Skellam, Variance};

/// How many of `rounds` noisy sums leave each modulus of 2 to 16 bits.
fn simulate(n: u16, settings: &EncoderSettings, update: &[f32], noise: &Skellam, rounds: u32) -> [u32; 17] {
    let mut overflows = [0; 17];
    let mut rng = NoiseRng::from_seed(&[41; 32]);
    for round in 0..rounds {
        let encoder = Encoder::new(&EncoderSettings { rotation: Hash::of(&round.to_le_bytes()), ..*settings }).unwrap();
        let mut sum = vec![0_i64; update.len()];
        for _ in 0..n {
            let encoded = encoder.encode(update, Some(noise), &mut rng).unwrap();
            sum.iter_mut().zip(encoded.values).for_each(|(sum, x)| *sum += x);
        }
        for (bits, count) in overflows.iter_mut().enumerate().skip(2) {
            let limit = 1_i64 << (bits - 1);
            *count += u32::from(sum.iter().any(|&x| x >= limit || x < -limit));
        }
    }
    overflows
}

#[test]
fn simulated_sums_overflow_no_more_often_than_the_bound_says() {
    let (n, entries, variance) = (8, 40, 64.0);
    let noise = Skellam::new(Variance::at_least(variance).unwrap()).unwrap();
    let settings = EncoderSettings { rotation: Hash([0; 32]), entries, clip: 1.0, scale: 60.0 };
    // All pull the same way: the sum is as long as it gets.
    let update: Vec<f32> = (0..entries).map(|i| (i as f32 * 0.7).sin()).collect();
    let rounds = 1500;
    let overflows = simulate(n, &settings, &update, &noise, rounds);
    let block = crate::rotation::block(entries);
    let bound = |bits| overflow_log2(n, 60.0, block, entries, f64::from(n) * variance, bits);
    for bits in 2..=16 {
        let seen = f64::from(overflows[usize::from(bits)]) / f64::from(rounds);
        assert!(seen <= libm::exp2(bound(bits)), "{bits} bits: {seen} {}", bound(bits));
    }
    let least = least_modulus_bits(n, 60.0, block, entries, f64::from(n) * variance, 1).unwrap();
    assert_eq!(overflows[usize::from(least)], 0);
    // The bound is of use: two bits fewer do overflow.
    assert!(overflows[usize::from(least) - 2] > 0);
}

#[test]
fn noise_alone_overflows_no_more_often_than_the_bound_says() {
    let noise = Skellam::new(Variance::at_least(9.0).unwrap()).unwrap();
    let mut rng = NoiseRng::from_seed(&[42; 32]);
    let draws: Vec<i64> = (0..100_000).map(|_| noise.sample(&mut rng)).collect();
    for bits in 2..=8 {
        let limit = 1_i64 << (bits - 1);
        let seen = draws.iter().filter(|&&x| x >= limit || x < -limit).count() as f64 / 1e5;
        assert!(seen <= libm::exp2(overflow_log2(1, 0.0, 1, 1, 9.0, bits)), "{bits}");
    }
}

proptest! {
    #[test]
    fn the_least_modulus_keeps_the_limit_and_one_bit_less_does_not(
        n in 1_u16..4096, units in 0.0_f64..1e9, entries in 1_usize..1 << 24, variance in 0.0_f64..1e12,
    ) {
        let block = crate::rotation::block(entries);
        let bits = least_modulus_bits(n, units, block, entries, variance, 1).unwrap();
        prop_assert!(overflow_log2(n, units, block, entries, variance, bits) <= OVERFLOW_LOG2);
        prop_assert!(overflow_log2(n, units, block, entries, variance, bits - 1) > OVERFLOW_LOG2);
    }

    #[test]
    fn sums_of_one_round_keep_the_limit_together(
        n in 1_u16..4096, units in 0.0_f64..1e9, entries in 1_usize..1 << 24, variance in 0.0_f64..1e12, sums in 1_u32..200,
    ) {
        let block = crate::rotation::block(entries);
        let bits = least_modulus_bits(n, units, block, entries, variance, sums).unwrap();
        let each = libm::exp2(overflow_log2(n, units, block, entries, variance, bits));
        prop_assert!(f64::from(sums) * each <= libm::exp2(OVERFLOW_LOG2) * (1.0 + 1e-9));
    }

    #[test]
    fn the_least_modulus_rises_with_members_norm_noise_and_entries(
        n in 1_u16..2000, units in 0.0_f64..1e6, entries in 1_usize..1 << 20, variance in 0.0_f64..1e9,
    ) {
        let block = crate::rotation::block(entries);
        let bits = least_modulus_bits(n, units, block, entries, variance, 1).unwrap();
        prop_assert!(bits <= least_modulus_bits(2 * n, units, block, entries, variance, 1).unwrap());
        prop_assert!(bits <= least_modulus_bits(n, 2.0 * units, block, entries, variance, 1).unwrap());
        prop_assert!(bits <= least_modulus_bits(n, units, block, entries, 2.0 * variance, 1).unwrap());
        prop_assert!(bits <= least_modulus_bits(n, units, block, 2 * entries, variance, 1).unwrap());
    }
}

#[test]
fn the_bound_falls_with_every_bit() {
    let bounds: Vec<f64> = (2..=64).map(|bits| overflow_log2(100, 1000.0, 1 << 19, 1_000_000, 1e6, bits)).collect();
    assert!(bounds.windows(2).all(|pair| pair[1] <= pair[0]));
    assert!(bounds[62] < -1e6);
}

#[test]
fn numbers_without_sense_are_refused_by_name_and_count_as_certain() {
    let cases: [(u16, f64, usize, usize, f64); 8] = [
        (0, 1.0, 4, 4, 1.0),
        (1, 1.0, 0, 0, 1.0),
        (1, 1.0, 0, 4, 1.0),
        (1, 1.0, 8, 4, 1.0),
        (1, f64::NAN, 4, 4, 1.0),
        (1, -1.0, 4, 4, 1.0),
        (1, 1.0, 4, 4, f64::INFINITY),
        (1, 1.0, 4, 4, -1.0),
    ];
    for (n, units, block, entries, variance) in cases {
        assert_eq!(overflow_log2(n, units, block, entries, variance, 64), 0.0);
        let error = least_modulus_bits(n, units, block, entries, variance, 1).unwrap_err();
        assert!(matches!(error, OverflowError::BadInput { .. }), "{error}");
    }
}

#[test]
fn sums_beyond_64_bits_are_refused() {
    let error = least_modulus_bits(1000, 1e18, 4, 4, 1.0, 1).unwrap_err();
    assert!(matches!(error, OverflowError::TooWide { .. }), "{error}");
    assert!(matches!(least_modulus_bits(1000, 1.0, 4, 4, 1e300, 1), Err(OverflowError::TooWide { .. })));
}
