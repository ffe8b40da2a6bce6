//! Tests of Skellam noise.

use proptest::prelude::*;

use super::*;
use crate::testing::{assert_fits, count, moments, skellam_probabilities};

proptest! {
    #[test]
    fn shares_of_all_honest_survivors_reach_the_target(target in 0.001_f64..1e6, honest in 1_u16..4096) {
        let share = local_variance(target, honest).unwrap().value();
        prop_assert!(share * f64::from(honest) >= target);
        prop_assert!(share <= target / f64::from(honest) + 1.0 / 64.0);
    }
}

#[test]
fn draws_fit_the_distribution() {
    for variance in [0.5, 4.0, 300.0] {
        let skellam = Skellam::new(Variance::at_least(variance).unwrap()).unwrap();
        let mut rng = NoiseRng::from_seed(&[21; 32]);
        let reach = (12.0 * variance.sqrt() + 12.0) as usize;
        let side = skellam_probabilities(variance, reach);
        let expected: Vec<f64> =
            (-(reach as i64)..=reach as i64).map(|k| 2e5 * side[k.unsigned_abs() as usize]).collect();
        let counts = count(200_000, -(reach as i64), expected.len(), || skellam.sample(&mut rng));
        assert_fits(&counts, &expected);
    }
}

#[test]
fn the_sum_of_shares_has_the_targets_variance_and_distribution() {
    let skellam = Skellam::new(local_variance(40.0, 10).unwrap()).unwrap();
    let mut rng = NoiseRng::from_seed(&[22; 32]);
    let mut sums = vec![0; 100_000];
    (0..10).for_each(|_| skellam.add(&mut rng, &mut sums));
    let variance = 10.0 * skellam.variance().value();
    let side = skellam_probabilities(variance, 100);
    let expected: Vec<f64> = (-100_i64..=100).map(|k| 1e5 * side[k.unsigned_abs() as usize]).collect();
    let mut drawn = sums.into_iter();
    assert_fits(&count(100_000, -100, 201, || drawn.next().unwrap()), &expected);
}

#[test]
fn the_greatest_variance_has_its_moments() {
    let skellam = Skellam::new(Variance::at_least(Variance::MAX).unwrap()).unwrap();
    let mut rng = NoiseRng::from_seed(&[23; 32]);
    let (mean, variance) = moments(50_000, || skellam.sample(&mut rng));
    assert!(mean.abs() < 6.0 * (Variance::MAX / 5e4).sqrt());
    assert!((variance / Variance::MAX - 1.0).abs() < 6.0 * (2.0 / 5e4_f64).sqrt());
}

#[test]
fn the_distance_of_a_whole_round_is_negligible() {
    let skellam = Skellam::new(Variance::at_least(10_000.0).unwrap()).unwrap();
    let round = skellam.release_distance_log2(1000, 1 << 20);
    assert!((round - skellam.distance_log2() - (2000.0_f64 * 1_048_576.0).log2()).abs() < 1e-9);
    assert!(round < -40.0, "{round}");
}

#[test]
fn variances_are_rounded_up_to_the_grid() {
    assert_eq!(Variance::at_least(1.0).unwrap().value(), 1.0);
    assert_eq!(Variance::at_least(1.001).unwrap().value(), 1.0 + 1.0 / 128.0);
    assert_eq!(Variance::at_least(1e-9).unwrap().value(), 1.0 / 128.0);
}

#[test]
fn variances_that_are_none_are_refused_by_name() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(Variance::at_least(bad), Err(VarianceError::NotPositive { .. })));
        assert!(matches!(local_variance(bad, 3), Err(VarianceError::NotPositive { .. })));
    }
    assert!(matches!(Variance::at_least(Variance::MAX + 1.0), Err(VarianceError::TooLarge { .. })));
    assert_eq!(local_variance(1.0, 0), Err(VarianceError::NobodyHonest));
}
