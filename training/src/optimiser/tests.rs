//! Steps by hand.

use super::*;

#[test]
fn sgd_goes_against_the_slope() {
    let mut steps = Steps::new(Optimiser::Sgd { rate: 0.5 }, 2);
    let mut vector = [1.0, -1.0];
    steps.step(&mut vector, &[2.0, -4.0], 1.0);
    assert_eq!(vector, [0.0, 1.0]);
    steps.step(&mut vector, &[1.0, 0.0], 0.5);
    assert_eq!(vector, [-0.25, 1.0]);
}

#[test]
fn adams_first_step_is_the_rate_whatever_the_slope() {
    let mut steps = Steps::new(Optimiser::Adam { rate: 0.1, beta1: 0.9, beta2: 0.99 }, 3);
    let mut vector = [0.0, 0.0, 0.0];
    steps.step(&mut vector, &[1e-3, -50.0, 0.0], 1.0);
    for (got, expected) in vector.iter().zip([-0.1, 0.1, 0.0]) {
        assert!((got - expected).abs() < 1e-5, "expected {expected}, got {got}");
    }
}

#[test]
fn adams_second_step_is_that_of_the_paper() {
    // m = 0.9·0.1·1 + 0.1·3 = 0.39, /(1 − 0.81); v = 0.99·0.01·1 + 0.01·9 = 0.0999, /(1 − 0.9801).
    let mut steps = Steps::new(Optimiser::Adam { rate: 1.0, beta1: 0.9, beta2: 0.99 }, 1);
    let mut vector = [0.0];
    steps.step(&mut vector, &[1.0], 1.0);
    let first = vector[0];
    steps.step(&mut vector, &[3.0], 1.0);
    let expected = (0.39 / 0.19) / (0.0999_f32 / 0.0199).sqrt();
    assert!((first - vector[0] - expected).abs() < 1e-4, "expected {expected}, got {}", first - vector[0]);
}
