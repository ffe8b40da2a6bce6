//! Tests of conditional rounding.

use proptest::prelude::*;

use super::*;

fn rng(seed: u8) -> NoiseRng {
    NoiseRng::from_seed(&[seed; 32])
}

proptest! {
    #[test]
    fn bounds_hold_for_every_vector_within_the_clip(
        v in prop::collection::vec(-1.0_f32..1.0, 1..200),
        units in 0.01_f64..500.0,
        seed in any::<u8>(),
    ) {
        let mut v = v;
        crate::clip_l2(&mut v, 1.0).unwrap();
        let bounds = integer_bounds(units, v.len(), BETA);
        let mut out = vec![0; v.len()];
        round_conditionally(&v, units, &bounds, &mut rng(seed), &mut out).unwrap();
        let squares: i64 = out.iter().map(|x| x * x).sum();
        let sum: i64 = out.iter().map(|x| x.abs()).sum();
        let greatest = out.iter().map(|x| x.abs()).max().unwrap();
        prop_assert!((squares as f64) <= bounds.l2 * bounds.l2);
        prop_assert!((sum as f64) <= bounds.l1 && (greatest as f64) <= bounds.linf);
        for (x, rounded) in v.iter().zip(&out) {
            prop_assert!((f64::from(*x) * units - *rounded as f64).abs() < 1.0);
        }
    }
}

#[test]
fn bounds_are_those_of_the_formula() {
    // C = 10, L = 4: (10 + 2)² = 144 and 100 + 1 + 1·(10 + 1) = 112.
    let bounds = integer_bounds(10.0, 4, BETA);
    let l2 = 112_f64.sqrt();
    assert!((bounds.l2 - l2).abs() < 1e-12);
    assert!((bounds.l1 - 2.0 * l2).abs() < 1e-12);
    assert!((bounds.linf - l2).abs() < 1e-12);
    // C = 1, L = 10^6: Δ₁ ≤ Δ₂² of an integer vector, Δ∞ ≤ C + 1.
    let sparse = integer_bounds(1.0, 1_000_000, BETA);
    assert!((sparse.l1 - sparse.l2 * sparse.l2).abs() < 1e-6 && sparse.linf == 2.0);
}

#[test]
fn rounding_has_no_bias_where_the_bounds_leave_room() {
    let bounds = IntegerBounds { l1: 1e9, l2: 1e9, linf: 1e9 };
    let v = [0.25, -0.25, 2.9, -7.0];
    let mut sums = [0_i64; 4];
    let mut rng = rng(1);
    for _ in 0..40_000 {
        let mut out = [0; 4];
        round_conditionally(&v, 1.0, &bounds, &mut rng, &mut out).unwrap();
        sums.iter_mut().zip(out).for_each(|(sum, x)| *sum += x);
    }
    for (sum, x) in sums.iter().zip(v) {
        // Six standard deviations of the mean of 40,000 bits.
        assert!((*sum as f64 / 40_000.0 - f64::from(x)).abs() < 6.0 * 0.5 / 200.0, "{sum} {x}");
    }
    assert_eq!(sums[3], -280_000);
}

#[test]
fn one_try_fails_with_at_most_the_probability_beta() {
    let v = vec![0.5 / 10.0; 100];
    let bounds = integer_bounds(5.0, 100, BETA);
    let mut rng = rng(9);
    let rounds = 2000;
    let tries: u32 =
        (0..rounds).map(|_| round_conditionally(&v, 10.0, &bounds, &mut rng, &mut [0; 100]).unwrap()).sum();
    assert!(f64::from(tries) / f64::from(rounds) <= 1.0 / (1.0 - BETA));
}

#[test]
fn impossible_bounds_end_with_a_reason() {
    let bounds = IntegerBounds { l1: 1.0, l2: 1.0, linf: 1.0 };
    let error = round_conditionally(&[5.0], 1.0, &bounds, &mut rng(1), &mut [0]).unwrap_err();
    assert_eq!(error.to_string(), "expected a rounding with norm at most 1, got none in 1000 tries");
}

#[test]
fn what_is_no_number_or_too_large_is_named() {
    let bounds = integer_bounds(1.0, 2, BETA);
    for (bad, scale) in [(f32::NAN, 1.0), (f32::INFINITY, 1.0), (1.0, f64::NAN), (1.0, 1e300)] {
        let error = round_conditionally(&[0.0, bad], scale, &bounds, &mut rng(1), &mut [0; 2]).unwrap_err();
        assert!(matches!(error, RoundingError::OutOfRange { .. }), "{error}");
    }
    let error = round_conditionally(&[0.0], 1.0, &bounds, &mut rng(1), &mut [0; 2]).unwrap_err();
    assert_eq!(error, RoundingError::Length { expected: 1, got: 2 });
}

#[test]
fn bounds_that_are_no_numbers_let_nothing_but_zeros_through() {
    let bounds = integer_bounds(f64::NAN, 2, BETA);
    assert!(!bounds.hold_for(&[1, 0]));
}
