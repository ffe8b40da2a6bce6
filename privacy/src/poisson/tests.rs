//! Tests of the Poisson table.

use super::*;
use crate::testing::{assert_fits, count, moments};

const RATES: [u32; 6] = [1, 128, 768, 25_600, 999_999, MAX_RATE];

#[test]
fn each_weight_is_the_rounded_down_step_from_the_one_nearer_the_mode() {
    for rate in RATES {
        let table = PoissonTable::new(rate).unwrap();
        let weights: Vec<(u64, u128)> = table.weights().collect();
        let mode = u64::from(rate / RATE_UNIT);
        assert!(weights.contains(&(mode, MODE_WEIGHT)));
        for pair in weights.windows(2) {
            let [(k, lower), (next, upper)] = pair else { unreachable!() };
            let (rate, step) = (u128::from(rate), u128::from(RATE_UNIT) * u128::from(*next));
            assert_eq!(k + 1, *next);
            if *next > mode {
                assert_eq!(*upper, lower * rate / step);
            } else {
                assert_eq!(*lower, upper * step / rate);
            }
        }
    }
}

#[test]
fn each_number_has_exactly_its_weight_of_draws() {
    for rate in RATES {
        let table = PoissonTable::new(rate).unwrap();
        let mut start = 0;
        for (number, weight) in table.weights() {
            assert_eq!(table.pick(start), number);
            start += weight;
            assert_eq!(table.pick(start - 1), number);
        }
        assert_eq!(start, table.total());
    }
}

#[test]
fn weights_are_poisson_probabilities() {
    for (rate, lambda) in [(128, 0.5), (768, 3.0), (25_600, 100.0)] {
        let table = PoissonTable::new(rate).unwrap();
        for (k, weight) in table.weights() {
            let exact = (k as f64 * f64::ln(lambda) - lambda - libm::lgamma(k as f64 + 1.0)).exp();
            let ours = weight as f64 / table.total() as f64;
            assert!((ours - exact).abs() < 1e-12 + 1e-10 * exact, "λ = {lambda}, k = {k}: {ours} {exact}");
        }
    }
}

#[test]
fn the_distance_stays_below_its_closed_bound() {
    for rate in RATES {
        let table = PoissonTable::new(rate).unwrap();
        let entries = table.cumulated.len() as f64;
        assert!(table.distance_log2() <= 2.0 * entries.log2() - 96.0, "{rate}: {}", table.distance_log2());
        assert!(table.distance_log2() >= -96.0);
    }
}

#[test]
fn draws_fit_the_distribution() {
    for rate in [128, 768, 25_600] {
        let table = PoissonTable::new(rate).unwrap();
        let mut rng = NoiseRng::from_seed(&[11; 32]);
        let expected: Vec<f64> = table.weights().map(|(_, w)| 200_000.0 * w as f64 / table.total() as f64).collect();
        let counts = count(200_000, table.least as i64, expected.len(), || table.sample(&mut rng) as i64);
        assert_fits(&counts, &expected);
    }
}

#[test]
fn mean_and_variance_are_lambda() {
    for rate in [64, 25_600, MAX_RATE] {
        let table = PoissonTable::new(rate).unwrap();
        let mut rng = NoiseRng::from_seed(&[12; 32]);
        let lambda = f64::from(rate) / f64::from(RATE_UNIT);
        let (mean, variance) = moments(100_000, || table.sample(&mut rng) as i64);
        assert!((mean - lambda).abs() < 6.0 * (lambda / 1e5).sqrt());
        assert!((variance / lambda - 1.0).abs() < 6.0 * ((2.0 + 1.0 / lambda) / 1e5).sqrt());
    }
}

#[test]
fn rates_out_of_range_have_no_table() {
    assert!(PoissonTable::new(0).is_none());
    assert!(PoissonTable::new(MAX_RATE + 1).is_none());
}
