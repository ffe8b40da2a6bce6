//! Tests of the Rényi accountant.

use super::*;
use crate::IntegerBounds;

const BOUNDS: IntegerBounds = IntegerBounds { l1: 30.0, l2: 10.0, linf: 10.0 };

fn spent(distance_log2: f64, times: u32) -> RdpAccountant {
    let mut accountant = RdpAccountant::new();
    accountant.compose(&Event::Skellam { variance: 1000.0, bounds: BOUNDS, distance_log2 }, times).unwrap();
    accountant
}

#[test]
fn orders_rise_and_are_those_of_the_design() {
    assert_eq!((ORDERS[0], ORDERS[126], ORDERS[127], ORDERS[131]), (2, 128, 160, 1024));
    assert!(ORDERS.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn the_distance_of_the_sampler_is_charged_to_delta() {
    let (exact, sampled) = (spent(f64::NEG_INFINITY, 10), spent(-40.0, 10));
    let expected = exact.delta(2.0).unwrap() + (1.0 + 2_f64.exp()) * 10.0 * libm::exp2(-40.0);
    assert!((sampled.delta(2.0).unwrap() / expected - 1.0).abs() < 1e-12);
    assert!(sampled.epsilon(1e-8).unwrap() > exact.epsilon(1e-8).unwrap());
}

#[test]
fn delta_at_the_epsilon_of_a_delta_is_within_it() {
    for distance_log2 in [f64::NEG_INFINITY, -80.0, -60.0] {
        for times in [1, 10, 50] {
            let accountant = spent(distance_log2, times);
            for delta in [1e-5, 1e-8] {
                let epsilon = accountant.epsilon(delta).unwrap();
                let back = accountant.delta(epsilon).unwrap();
                assert!(back <= delta && back >= 0.99 * delta, "{distance_log2} {times} {delta}: {epsilon} {back}");
            }
        }
    }
}

#[test]
fn a_sampler_further_off_than_delta_has_no_epsilon() {
    assert_eq!(spent(-10.0, 1).epsilon(1e-5).unwrap(), f64::INFINITY);
}

#[test]
fn every_release_costs_more() {
    let costs: Vec<f64> = [1, 2, 10, 100].map(|times| spent(-70.0, times).epsilon(1e-6).unwrap()).into();
    assert!(costs.windows(2).all(|pair| pair[0] < pair[1]));
}
