//! Tests of the conversion.

use super::*;

#[test]
fn one_order_gives_the_formula() {
    let (alpha, divergence, at) = (5.0_f64, 0.4_f64, 1e-6_f64);
    let expected = divergence + ((alpha - 1.0) / alpha).ln() - (at.ln() + alpha.ln()) / (alpha - 1.0);
    assert!((epsilon([(5, 0.4)].into_iter(), 1e-6) - expected).abs() < 1e-12);
    assert!((delta([(5, 0.4)].into_iter(), expected) / 1e-6 - 1.0).abs() < 1e-9);
}

#[test]
fn the_best_order_counts() {
    let pairs = [(2, 0.2), (8, 0.8), (64, 6.4)];
    let each = pairs.map(|pair| epsilon([pair].into_iter(), 1e-5));
    assert_eq!(epsilon(pairs.into_iter(), 1e-5), each.into_iter().fold(f64::INFINITY, f64::min));
}

#[test]
fn nothing_spent_is_nothing_and_everything_spent_is_everything() {
    assert_eq!(epsilon([(2, 0.0)].into_iter(), 1e-9), 0.0);
    assert_eq!(delta([(2, 0.0)].into_iter(), 0.0), 0.0);
    assert_eq!(epsilon([(2, f64::INFINITY)].into_iter(), 0.5), f64::INFINITY);
    assert_eq!(delta([(2, f64::INFINITY)].into_iter(), 3.0), 1.0);
}

#[test]
fn a_divergence_that_delta_covers_costs_nothing() {
    assert_eq!(epsilon([(2, 1e-10)].into_iter(), 1e-4), 0.0);
    assert!(epsilon([(2, 1e-6)].into_iter(), 1e-4) > 0.0);
}
