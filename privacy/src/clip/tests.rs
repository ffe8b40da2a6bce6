//! Tests of clipping.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_clipped_vector_is_never_longer_than_its_bound(
        v in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO, 0..50),
        exponent in -50.0_f64..40.0,
    ) {
        let bound = 10_f64.powf(exponent);
        let mut clipped = v.clone();
        let factor = clip_l2(&mut clipped, bound).unwrap();
        prop_assert!(norm_l2(&clipped).unwrap() <= bound);
        prop_assert!((0.0..=1.0).contains(&factor));
        prop_assert!(factor < 1.0 || clipped == v);
    }
}

#[test]
fn a_long_vector_keeps_its_direction() {
    let mut v = [3.0, 4.0];
    let factor = clip_l2(&mut v, 1.0).unwrap();
    assert!((factor - 0.2).abs() < 1e-6);
    assert!((v[0] - 0.6).abs() < 1e-6 && (v[1] - 0.8).abs() < 1e-6);
}

#[test]
fn the_first_entry_that_is_no_number_is_named_and_nothing_changes() {
    for (bad, got) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut v = [1.0, 2.0, bad, f32::NAN];
        let error = clip_l2(&mut v, 1.0).unwrap_err();
        assert_eq!(error.to_string(), format!("expected finite entries, got {got} at entry 2"));
        assert_eq!(v[..2], [1.0, 2.0]);
    }
}

#[test]
fn a_bound_that_is_no_length_is_refused() {
    for bound in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(clip_l2(&mut [1.0], bound), Err(ClipError::Bound { .. })));
    }
}

#[test]
fn the_greatest_f32_has_a_norm() {
    let mut v = [f32::MAX; 8];
    clip_l2(&mut v, 1.0).unwrap();
    assert!((norm_l2(&v).unwrap() - 1.0).abs() < 1e-6);
}
