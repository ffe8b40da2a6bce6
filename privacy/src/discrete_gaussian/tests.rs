//! Tests of the discrete Gaussian sampler.

use super::*;
use crate::testing::{assert_fits, count, moments};

fn sampler(numerator: u64, denominator: u64) -> DiscreteGaussian {
    DiscreteGaussian::new(Rational::new(numerator, denominator).unwrap())
}

#[test]
fn draws_fit_the_distribution() {
    for (numerator, denominator) in [(1, 16), (1, 2), (1, 1), (10, 3), (100, 1), (7001, 7)] {
        let gaussian = sampler(numerator, denominator);
        let sigma2 = gaussian.sigma2().value();
        let reach = (10.0 * sigma2.sqrt()) as i64 + 5;
        let weights: Vec<f64> = (-reach..=reach).map(|x| (-((x * x) as f64) / (2.0 * sigma2)).exp()).collect();
        let total: f64 = weights.iter().sum();
        let expected: Vec<f64> = weights.iter().map(|w| 1e5 * w / total).collect();
        let mut rng = NoiseRng::from_seed(&[31; 32]);
        assert_fits(&count(100_000, -reach, expected.len(), || gaussian.sample(&mut rng)), &expected);
    }
}

#[test]
fn wide_noise_has_the_variance_sigma_squared() {
    for sigma2 in [1 << 20, Rational::MAX] {
        let gaussian = sampler(sigma2 * 512, 512);
        let mut rng = NoiseRng::from_seed(&[32; 32]);
        let (mean, variance) = moments(50_000, || gaussian.sample(&mut rng));
        assert!(mean.abs() < 6.0 * (sigma2 as f64 / 5e4).sqrt());
        assert!((variance / sigma2 as f64 - 1.0).abs() < 6.0 * (2.0 / 5e4_f64).sqrt());
    }
}

#[test]
fn the_largest_fraction_with_the_largest_denominator_does_not_overflow() {
    let gaussian = sampler(Rational::MAX * 1024 - 1, 1024);
    let mut rng = NoiseRng::from_seed(&[33; 32]);
    // Whatever the Laplace number, up to where it is refused at once.
    for y in [0, 1, 1 << 20, 64 * gaussian.laplace_scale, u64::from(u32::MAX), i64::MAX as u64] {
        gaussian.keeps(y, &mut rng);
    }
}

#[test]
fn bernoulli_of_an_exponential_has_its_probability() {
    for (a, b) in [(0, 1), (1, 3), (1, 1), (5, 2)] {
        let mut rng = NoiseRng::from_seed(&[34; 32]);
        let hits = (0..100_000).filter(|_| bernoulli_exp(a, b, &mut rng)).count() as f64;
        let p = (-(a as f64) / b as f64).exp();
        assert!((hits / 1e5 - p).abs() <= 6.0 * (p * (1.0 - p) / 1e5).sqrt(), "{a}/{b}");
    }
}

#[test]
fn fractions_are_in_lowest_terms_and_rounded_up() {
    assert_eq!(Rational::new(6, 4).unwrap(), Rational::new(3, 2).unwrap());
    assert_eq!(Rational::at_least(0.3).unwrap(), Rational::new(308, 1024).unwrap());
    assert!(Rational::at_least(0.3).unwrap().value() >= 0.3);
}

#[test]
fn fractions_that_are_no_variance_are_refused_by_name() {
    assert!(matches!(Rational::new(0, 1), Err(VarianceError::NotPositive { .. })));
    assert!(matches!(Rational::new(1, 0), Err(VarianceError::Denominator { .. })));
    assert!(matches!(Rational::new(1, 1025), Err(VarianceError::Denominator { .. })));
    assert!(matches!(Rational::new(u64::MAX, 1), Err(VarianceError::TooLarge { .. })));
    assert!(matches!(Rational::at_least(1e300), Err(VarianceError::TooLarge { .. })));
    for bad in [0.0, -2.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(Rational::at_least(bad), Err(VarianceError::NotPositive { .. })));
    }
}
