//! Tests of the accountant of privacy losses.

use super::*;
use crate::IntegerBounds;

/// δ(ε) of Gaussian noise in closed form (Balle and Wang 2018, Thm 8).
fn gaussian_delta(z: f64, epsilon: f64) -> f64 {
    let below = |x: f64| libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) / 2.0;
    below(0.5 / z - epsilon * z) - epsilon.exp() * below(-0.5 / z - epsilon * z)
}

fn gaussian(z: f64, times: u32) -> PldAccountant {
    let mut accountant = PldAccountant::new();
    accountant.compose(&Event::Gaussian { noise_multiplier: z }, times).unwrap();
    accountant
}

#[test]
fn gaussian_releases_cost_what_the_closed_form_says_and_never_less() {
    for (z, times) in [(1.0, 1), (2.0, 10), (10.0, 100), (30.0, 1000), (500.0, 1)] {
        let accountant = gaussian(z, times);
        let together = z / f64::from(times).sqrt();
        for epsilon in [0.0, 0.3, 1.0, 2.0] {
            let (ours, exact) = (accountant.delta(epsilon).unwrap(), gaussian_delta(together, epsilon));
            assert!(ours >= exact - 1e-12 && ours <= exact * 1.001 + 1e-11, "z = {z}, ε = {epsilon}: {ours} {exact}");
        }
    }
}

#[test]
fn epsilon_undoes_delta() {
    for accountant in [gaussian(0.05, 1), gaussian(1.0, 1), gaussian(5.0, 30), gaussian(1000.0, 1)] {
        for delta in [1e-3, 1e-6, 1e-9] {
            let epsilon = accountant.epsilon(delta).unwrap();
            let back = accountant.delta(epsilon).unwrap();
            assert!(back <= delta * (1.0 + 1e-6), "{epsilon}: {back}");
            assert!(epsilon == 0.0 || back >= delta * (1.0 - 1e-3), "{epsilon}: {back}");
        }
    }
}

#[test]
fn different_releases_compose() {
    let mut accountant = gaussian(2.0, 1);
    accountant.compose(&Event::Gaussian { noise_multiplier: 3.0 }, 4).unwrap();
    let together = (0.25 + 4.0 / 9.0_f64).sqrt().recip();
    let (ours, exact) = (accountant.delta(1.0).unwrap(), gaussian_delta(together, 1.0));
    assert!(ours >= exact && ours <= 1.001 * exact);
    // One event in two calls is the same event twice.
    let mut twice = gaussian(2.0, 1);
    twice.compose(&Event::Gaussian { noise_multiplier: 2.0 }, 2).unwrap();
    assert_eq!(twice.epsilon(1e-6), gaussian(2.0, 3).epsilon(1e-6));
}

#[test]
fn wide_discrete_noise_costs_what_gaussian_noise_costs() {
    let mut discrete = PldAccountant::new();
    discrete.compose(&Event::DiscreteGaussianScalar { sigma2: 250_000.0, sensitivity: 100 }, 10).unwrap();
    let (ours, gaussian) = (discrete.epsilon(1e-6).unwrap(), gaussian(5.0, 10).epsilon(1e-6).unwrap());
    assert!((ours - gaussian).abs() < 1e-3, "{ours} {gaussian}");
}

#[test]
fn losses_never_cost_more_than_renyi_divergences_say() {
    let event = Event::DiscreteGaussianScalar { sigma2: 9.0, sensitivity: 2 };
    let (mut pld, mut rdp) = (PldAccountant::new(), crate::RdpAccountant::new());
    pld.compose(&event, 20).unwrap();
    rdp.compose(&event, 20).unwrap();
    assert!(pld.epsilon(1e-6).unwrap() < rdp.epsilon(1e-6).unwrap());
}

#[test]
fn noise_on_vectors_that_is_not_round_is_refused_and_adds_nothing() {
    let mut accountant = gaussian(1.0, 1);
    let before = accountant.epsilon(1e-6);
    for event in [
        Event::DiscreteGaussian { sigma2: 4.0, l2: 1.0 },
        Event::Skellam { variance: 4.0, bounds: IntegerBounds::BIT, distance_log2: -60.0 },
    ] {
        let error = accountant.compose(&event, 1).unwrap_err();
        assert!(matches!(error, EventError::Unsupported { accountant: "PLD", .. }), "{error}");
    }
    assert_eq!(accountant.epsilon(1e-6), before);
}

#[test]
fn extreme_noise_is_refused_by_name() {
    for event in [
        Event::Gaussian { noise_multiplier: 1e-5 },
        Event::Gaussian { noise_multiplier: 1e10 },
        Event::DiscreteGaussianScalar { sigma2: 1e30, sensitivity: 1 },
        Event::DiscreteGaussianScalar { sigma2: 1e-9, sensitivity: u32::MAX },
    ] {
        assert!(matches!(PldAccountant::new().compose(&event, 1), Err(EventError::OutOfRange { .. })));
    }
}

#[test]
fn a_vector_without_sensitivity_costs_nothing() {
    let mut accountant = PldAccountant::new();
    accountant.compose(&Event::DiscreteGaussianScalar { sigma2: 4.0, sensitivity: 0 }, 10).unwrap();
    assert!(accountant.epsilon(1e-9).unwrap() < 1e-3);
}
