//! Tests of the composition.

use super::*;

fn losses(lowest: i64, mass: &[f64], infinity: f64) -> LossDistribution {
    LossDistribution { grid: 0.5, lowest, mass: mass.to_vec(), infinity }
}

fn mass_at(sum: &LossDistribution, point: i64) -> f64 {
    usize::try_from(point - sum.lowest).ok().and_then(|i| sum.mass.get(i)).copied().unwrap_or(0.0)
}

#[test]
fn two_distributions_convolve() {
    let parts = [(losses(-1, &[0.25, 0.75], 0.0), 1), (losses(2, &[0.5, 0.0, 0.5], 0.0), 1)];
    let sum = convolve(&parts, 0.5, 1e-15);
    for (point, expected) in [(0, 0.0), (1, 0.125), (2, 0.375), (3, 0.125), (4, 0.375), (5, 0.0)] {
        assert!((mass_at(&sum, point) - expected).abs() < 1e-12, "{point}: {}", mass_at(&sum, point));
    }
}

#[test]
fn many_times_one_distribution_is_binomial() {
    let sum = convolve(&[(losses(-1, &[0.5, 0.0, 0.5], 0.0), 20)], 0.5, 1e-15);
    assert!((mass_at(&sum, 0) - 184_756.0 / 1_048_576.0).abs() < 1e-12);
    assert!((mass_at(&sum, 20) - 1.0 / 1_048_576.0).abs() < 1e-12);
    assert!((sum.mass.iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn what_is_infinite_stays_infinite() {
    let sum = convolve(&[(losses(0, &[0.9], 0.1), 2)], 0.5, 1e-15);
    assert!((sum.infinity - 0.19).abs() < 1e-12);
    assert!((mass_at(&sum, 0) - 0.81).abs() < 1e-12);
}

#[test]
fn the_window_leaves_out_no_more_than_the_tail() {
    let parts = [(losses(-1, &[0.5, 0.0, 0.5], 0.0), 10_000)];
    let window = Window::of(&parts, 0.5, 1e-15);
    // Eight standard deviations of 100 steps on either side, and not all 10,000.
    assert!((-1000..=-800).contains(&window.lowest), "{}", window.lowest);
    assert!((1600..=2000).contains(&window.points), "{}", window.points);
    assert!((convolve(&parts, 0.5, 1e-15).mass.iter().sum::<f64>() - 1.0).abs() < 1e-12);
}
