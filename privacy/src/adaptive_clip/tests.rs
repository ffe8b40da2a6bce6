//! Tests of the adaptive clip.

use super::*;
use crate::{Accountant, NoiseRng, RdpAccountant, Skellam, Variance};

const RULE: ClipRule = ClipRule { quantile: 0.5, rate: 0.2 };

#[test]
fn the_step_is_that_of_the_formula() {
    assert!((next_clip(2.0, &RULE, 75, 100).unwrap() - 2.0 * (-0.05_f64).exp()).abs() < 1e-12);
    assert_eq!(next_clip(2.0, &RULE, 50, 100).unwrap(), 2.0);
}

#[test]
fn the_norm_settles_at_the_quantile_in_spite_of_noise() {
    let noise = Skellam::new(Variance::at_least(25.0).unwrap()).unwrap();
    let mut rng = NoiseRng::from_seed(&[61; 32]);
    let norms: Vec<f64> = (1..=100).map(f64::from).collect();
    let mut clip = 0.5;
    for _ in 0..200 {
        let count = norms.iter().filter(|&&norm| norm <= clip).count() as i64 + noise.sample(&mut rng);
        clip = next_clip(clip, &RULE, count, 100).unwrap();
    }
    assert!((40.0..60.0).contains(&clip), "{clip}");
}

#[test]
fn noise_moves_the_norm_no_further_than_bits_could() {
    assert_eq!(next_clip(1.0, &RULE, -1_000_000, 10), next_clip(1.0, &RULE, 0, 10));
    assert_eq!(next_clip(1.0, &RULE, i64::MAX, 10), next_clip(1.0, &RULE, 10, 10));
}

#[test]
fn the_bit_is_charged_as_a_release_of_sensitivity_one() {
    let mut accountant = RdpAccountant::new();
    accountant.compose(&bit_event(100.0, -60.0), 1).unwrap();
    let epsilon = accountant.epsilon(1e-6).unwrap();
    assert!((0.3..0.7).contains(&epsilon), "{epsilon}");
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    for clip in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(next_clip(clip, &RULE, 1, 2).unwrap_err().name, "a clipping norm");
    }
    assert_eq!(next_clip(1.0, &ClipRule { quantile: 1.5, ..RULE }, 1, 2).unwrap_err().name, "a quantile");
    assert_eq!(next_clip(1.0, &ClipRule { rate: f64::NAN, ..RULE }, 1, 2).unwrap_err().name, "a rate");
    assert_eq!(next_clip(1.0, &RULE, 1, 0).unwrap_err().name, "survivors");
    assert_eq!(next_clip(1e308, &ClipRule { rate: 100.0, ..RULE }, 0, 2).unwrap_err().name, "a next norm");
}
