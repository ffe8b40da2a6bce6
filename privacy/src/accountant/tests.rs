//! Tests of events.

use super::*;
use crate::{PldAccountant, RdpAccountant};

const BOUNDS: IntegerBounds = IntegerBounds { l1: 4.0, l2: 2.0, linf: 1.0 };

fn skellam(variance: f64, distance_log2: f64) -> Event {
    Event::Skellam { variance, bounds: BOUNDS, distance_log2 }
}

#[test]
fn numbers_without_sense_are_refused_by_name_and_add_nothing() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let events = [
            (Event::Gaussian { noise_multiplier: bad }, "the noise multiplier"),
            (Event::DiscreteGaussian { sigma2: bad, l2: 1.0 }, "σ²"),
            (Event::DiscreteGaussianScalar { sigma2: bad, sensitivity: 1 }, "σ²"),
            (skellam(bad, -50.0), "the Skellam variance"),
        ];
        for (event, expected) in events {
            let mut accountant = RdpAccountant::new();
            let error = accountant.compose(&Event::Composed(vec![(event.clone(), 2)]), 3).unwrap_err();
            assert!(matches!(error, EventError::OutOfRange { name, .. } if name == expected), "{error}");
            assert_eq!(accountant, RdpAccountant::new());
            assert!(PldAccountant::new().compose(&event, 1).is_err());
        }
    }
    assert!(Event::DiscreteGaussian { sigma2: 1.0, l2: f64::NAN }.check().is_err());
    assert!(skellam(1.0, 3.0).check().is_err());
    assert!(skellam(1.0, f64::NEG_INFINITY).check().is_ok());
}

#[test]
fn a_composition_costs_what_its_parts_cost() {
    let parts = [(Event::Gaussian { noise_multiplier: 3.0 }, 4), (skellam(500.0, -70.0), 6)];
    let (mut together, mut apart) = (RdpAccountant::new(), RdpAccountant::new());
    together.compose(&Event::Composed(vec![(Event::Composed(parts.to_vec()), 5)]), 2).unwrap();
    for (event, times) in &parts {
        apart.compose(event, 10 * times).unwrap();
    }
    let (one, other) = (together.epsilon(1e-6).unwrap(), apart.epsilon(1e-6).unwrap());
    assert!((one / other - 1.0).abs() < 1e-9);
}

#[test]
fn no_releases_cost_nothing() {
    let mut accountants: [Box<dyn Accountant>; 2] = [Box::new(RdpAccountant::new()), Box::new(PldAccountant::new())];
    for accountant in &mut accountants {
        accountant.compose(&Event::Gaussian { noise_multiplier: 1.0 }, 0).unwrap();
        accountant.compose(&Event::Composed(vec![(Event::Gaussian { noise_multiplier: 1.0 }, 0)]), 9).unwrap();
        assert_eq!(accountant.epsilon(1e-9).unwrap(), 0.0);
        assert!(accountant.delta(0.0).unwrap() < 1e-12);
    }
}

#[test]
fn questions_without_an_answer_are_refused_by_name() {
    let accountants: [Box<dyn Accountant>; 2] = [Box::new(RdpAccountant::new()), Box::new(PldAccountant::new())];
    for accountant in &accountants {
        for delta in [0.0, 1.0, -0.1, 2.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(accountant.epsilon(delta), Err(QueryError::Delta { .. })));
        }
        for epsilon in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(accountant.delta(epsilon), Err(QueryError::Epsilon { .. })));
        }
    }
}

#[test]
fn bottomless_compositions_are_refused() {
    let nested = (0..9).fold(skellam(1.0, -50.0), |event, _| Event::Composed(vec![(event, 1)]));
    assert_eq!(nested.check(), Err(EventError::TooDeep { limit: 8 }));
}

#[test]
fn events_and_what_is_spent_survive_json() {
    let event = Event::Composed(vec![(skellam(2.5, -50.0), 3), (Event::DiscreteGaussian { sigma2: 4.0, l2: 1.0 }, 1)]);
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    let spent = Spent { epsilon: 1.5, delta: 1e-6, releases: 7 };
    assert_eq!(serde_json::from_str::<Spent>(&serde_json::to_string(&spent).unwrap()).unwrap(), spent);
}
