//! Tests of the calibration.

use super::*;
use crate::error::QueryError;
use crate::{IntegerBounds, integer_bounds};

const TARGET: Target = Target { epsilon: 3.0, delta: 1e-6, releases: 100 };

fn skellam(variance: f64) -> Event {
    Event::Skellam { variance, bounds: integer_bounds(1000.0, 100_000, crate::BETA), distance_log2: -60.0 }
}

fn check_least(event: impl Fn(f64) -> Event) {
    let noise = least_noise(&TARGET, &event).unwrap();
    assert!(spent(&TARGET, &event(noise)).unwrap() <= TARGET.epsilon);
    assert!(spent(&TARGET, &event(0.999 * noise)).unwrap() > TARGET.epsilon);
}

#[test]
fn the_answer_keeps_to_the_target_and_a_little_less_does_not() {
    check_least(skellam);
    check_least(|sigma2| Event::DiscreteGaussian { sigma2, l2: 50.0 });
    check_least(|noise_multiplier| Event::Gaussian { noise_multiplier });
}

#[test]
fn releases_with_a_counted_bit_need_more_noise() {
    let bit = Event::Skellam { variance: 1000.0, bounds: IntegerBounds::BIT, distance_log2: -60.0 };
    let alone = least_noise(&TARGET, skellam).unwrap();
    let both =
        least_noise(&TARGET, |variance| Event::Composed(vec![(skellam(variance), 1), (bit.clone(), 1)])).unwrap();
    assert!(both > alone);
}

#[test]
fn targets_without_sense_are_refused_by_name() {
    for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = least_noise(&Target { epsilon, ..TARGET }, skellam).unwrap_err();
        assert!(matches!(error, CalibrationError::Epsilon { .. }));
    }
    for delta in [0.0, 1.0, f64::NAN] {
        let error = least_noise(&Target { delta, ..TARGET }, skellam).unwrap_err();
        assert!(matches!(error, CalibrationError::Query(QueryError::Delta { .. })));
    }
    assert_eq!(least_noise(&Target { releases: 0, ..TARGET }, skellam), Err(CalibrationError::NoReleases));
}

#[test]
fn targets_out_of_reach_say_so() {
    let far = |variance| Event::DiscreteGaussian { sigma2: variance, l2: 1e15 };
    assert!(matches!(least_noise(&TARGET, far), Err(CalibrationError::OutOfReach { .. })));
    // A sampler further off than δ allows: no noise helps.
    let sloppy = |variance| Event::Skellam { variance, bounds: IntegerBounds::BIT, distance_log2: -10.0 };
    assert!(matches!(least_noise(&TARGET, sloppy), Err(CalibrationError::OutOfReach { .. })));
    let wrong = |_| Event::Gaussian { noise_multiplier: f64::NAN };
    assert!(matches!(least_noise(&TARGET, wrong), Err(CalibrationError::Event(_))));
}
