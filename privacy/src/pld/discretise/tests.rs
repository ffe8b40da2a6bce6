//! Tests of the discretisation.

use super::*;

/// Σ p e^(−l): the mass under Q.
fn other_mass(losses: &LossDistribution) -> f64 {
    losses.mass.iter().enumerate().map(|(i, mass)| mass * (-losses.loss(i)).exp()).sum()
}

#[test]
fn both_distributions_keep_their_mass() {
    for loss in [
        Loss::Gaussian { noise_multiplier: 1.0 },
        Loss::Gaussian { noise_multiplier: 50.0 },
        Loss::Gaussian { noise_multiplier: 5000.0 },
        Loss::DiscreteGaussian { sigma2: 0.5, sensitivity: 1.0 },
        Loss::DiscreteGaussian { sigma2: 100.0, sensitivity: 3.0 },
    ] {
        let losses = loss.discretise(1e-4, 1e-15);
        let mass = losses.mass.iter().sum::<f64>() + losses.infinity;
        assert!((mass - 1.0).abs() < 1e-12, "{loss:?}: {mass}");
        assert!(losses.mass.iter().all(|&p| p >= 0.0) && losses.infinity <= 1e-14, "{loss:?}");
        assert!((other_mass(&losses) - 1.0).abs() < 1e-9, "{loss:?}: {}", other_mass(&losses));
    }
}

#[test]
fn both_ways_to_split_a_cell_agree() {
    // Just below and just above the width where the way changes.
    let grid = 1e-4;
    for z in [0.99 * NARROW / grid, 1.01 * NARROW / grid] {
        let mean = 0.5 / (z * z);
        let (all, upper) = gaussian_cell(z, mean, 2e-4, grid);
        let middle = 0.5 * (1.0 - (2.5e-4 - mean) * z * z * grid / 6.0);
        assert!((upper / all - middle).abs() < 1e-3, "{z}: {} {middle}", upper / all);
    }
}

#[test]
fn the_normal_tail_keeps_its_digits() {
    let tail = normal_between(9.0, f64::INFINITY);
    assert!((tail / 1.128_588_405_953_840_7e-19 - 1.0).abs() < 1e-9, "{tail}");
    assert!((normal_between(f64::NEG_INFINITY, -9.0) / tail - 1.0).abs() < 1e-12);
}
