//! Tests of the pipeline.

use super::*;
use crate::error::RoundingError;
use crate::{Variance, clip_l2};

fn settings(entries: usize, clip: f64, scale: f64) -> EncoderSettings {
    EncoderSettings { rotation: Hash::of(b"pipeline"), entries, clip, scale }
}

fn rng() -> NoiseRng {
    NoiseRng::from_seed(&[51; 32])
}

fn wave(entries: usize, size: f32) -> Vec<f32> {
    (0..entries).map(|i| size * (i as f32 * 0.37).sin()).collect()
}

#[test]
fn a_sum_without_noise_is_the_sum_of_the_updates_but_for_rounding() {
    let encoder = Encoder::new(&settings(1000, 100.0, 1000.0)).unwrap();
    let updates = [wave(1000, 1.0), wave(1000, -0.3), wave(1000, 0.01)];
    let mut sum = vec![0_i64; 1000];
    for update in &updates {
        let encoded = encoder.encode(update, None, &mut rng()).unwrap();
        assert!(encoder.bounds().hold_for(&encoded.values));
        assert!(encoded.within_clip && encoded.factor == 1.0);
        sum.iter_mut().zip(encoded.values).for_each(|(sum, x)| *sum += x);
    }
    let decoded = encoder.decode(&sum).unwrap();
    for (i, value) in decoded.iter().enumerate() {
        let expected: f32 = updates.iter().map(|update| update[i]).sum();
        assert!((value - expected).abs() < 0.02, "{value} {expected}");
    }
}

#[test]
fn a_long_update_is_clipped_and_says_so() {
    let encoder = Encoder::new(&settings(100, 1.0, 1e6)).unwrap();
    let update = wave(100, 5.0);
    let encoded = encoder.encode(&update, None, &mut rng()).unwrap();
    assert!(!encoded.within_clip);
    assert!(encoder.bounds().hold_for(&encoded.values));
    let mut clipped = update;
    let factor = clip_l2(&mut clipped, 1.0).unwrap();
    assert!((encoded.factor / factor - 1.0).abs() < 1e-5);
    let decoded = encoder.decode(&encoded.values).unwrap();
    assert!(decoded.iter().zip(&clipped).all(|(x, y)| (x - y).abs() < 1e-4));
}

#[test]
fn noise_has_the_variance_that_was_asked_for() {
    let encoder = Encoder::new(&settings(50_000, 1.0, 100.0)).unwrap();
    let noise = Skellam::new(Variance::at_least(25.0).unwrap()).unwrap();
    let zero = vec![0.0; 50_000];
    let values = encoder.encode(&zero, Some(&noise), &mut rng()).unwrap().values;
    let variance = values.iter().map(|x| (x * x) as f64).sum::<f64>() / 5e4;
    assert!((variance / 25.0 - 1.0).abs() < 6.0 * (2.1_f64 / 5e4).sqrt());
}

#[test]
fn one_seed_gives_one_payload() {
    let encoder = Encoder::new(&settings(100, 1.0, 100.0)).unwrap();
    let noise = Skellam::new(Variance::at_least(25.0).unwrap()).unwrap();
    let encode = || encoder.encode(&wave(100, 1.0), Some(&noise), &mut rng()).unwrap();
    assert_eq!(encode(), encode());
}

#[test]
fn huge_updates_are_clipped_and_those_that_are_no_numbers_named() {
    let encoder = Encoder::new(&settings(8, 1.0, 100.0)).unwrap();
    let huge = encoder.encode(&[f32::MAX; 8], None, &mut rng()).unwrap();
    assert!(encoder.bounds().hold_for(&huge.values) && huge.values.iter().any(|&x| x != 0));
    for bad in [f32::NAN, f32::INFINITY] {
        let mut update = [1.0; 8];
        update[5] = bad;
        let error = encoder.encode(&update, None, &mut rng()).unwrap_err();
        assert!(matches!(error, EncodeError::Clip(ClipError::NotFinite { entry: 5, .. })), "{error}");
    }
}

#[test]
fn updates_and_sums_of_another_length_are_refused() {
    let encoder = Encoder::new(&settings(8, 1.0, 100.0)).unwrap();
    let error = EncodeError::Length { expected: 8, got: 7 };
    assert_eq!(encoder.encode(&[1.0; 7], None, &mut rng()).unwrap_err(), error);
    assert_eq!(encoder.decode(&[1; 7]).unwrap_err(), error);
}

#[test]
fn settings_without_sense_are_refused_by_name() {
    for clip in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(Encoder::new(&settings(8, clip, 1.0)), Err(EncodeError::Clip(ClipError::Bound { .. }))));
    }
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e13] {
        assert!(matches!(Encoder::new(&settings(8, 1.0, scale)), Err(EncodeError::Scale { .. })));
    }
    let wrapped = EncodeError::from(RoundingError::Length { expected: 1, got: 2 });
    assert_eq!(wrapped.to_string(), "expected 1 entries, got 2");
}

#[test]
fn an_update_without_entries_is_encoded() {
    let encoder = Encoder::new(&settings(0, 1.0, 1.0)).unwrap();
    assert!(encoder.encode(&[], None, &mut rng()).unwrap().values.is_empty());
}
