//! Tests of the Skellam bound. The grid against direct sums is in `tests/skellam.rs`.

use super::*;

#[test]
fn the_bound_is_that_of_the_formula() {
    let bounds = IntegerBounds { l1: 6.0, l2: 2.0, linf: 2.0 };
    // 3·4/20 + min{ (5·4 + 36)/400, 18/20 }.
    assert!((skellam(3, 10.0, &bounds) - (0.6 + 0.14)).abs() < 1e-12);
    // 3·4/0.2 + min{ 56/0.04, 18/0.2 }.
    assert!((skellam(3, 0.1, &bounds) - (60.0 + 90.0)).abs() < 1e-9);
}

#[test]
fn much_noise_costs_what_gaussian_noise_costs() {
    let bounds = IntegerBounds { l1: 100.0, l2: 10.0, linf: 10.0 };
    let ratio = skellam(8, 1e6, &bounds) / crate::rdp::discrete_gaussian(8, 1e6, 10.0);
    assert!((1.0..1.000_01).contains(&ratio), "{ratio}");
}
