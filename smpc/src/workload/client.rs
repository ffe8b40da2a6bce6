//! The client's side: numbers in fixed point, shares, normal inputs.

use crate::prss::Prss;
use crate::share::Shares;

/// Shares of `values` at `fraction` bits for the three parties.
pub(super) fn share(values: &[f64], fraction: u32, seed: u8) -> [Shares; 3] {
    // The first step of a generator is always there.
    let random = Prss::new(&[seed; 32], &[seed + 100; 32]).words(1, values.len());
    let [first, second] = random.unwrap_or_default();
    let scale = f64::from(fraction).exp2();
    let fixed = values.iter().map(|value| (value * scale).round() as i64 as u64);
    let third: Vec<u64> =
        fixed.zip(first.iter().zip(&second)).map(|(x, (a, b))| x.wrapping_sub(*a).wrapping_sub(*b)).collect();
    [Shares::new(first.clone(), second.clone()), Shares::new(second, third.clone()), Shares::new(third, first)]
}

/// Between what was opened, at `fraction` bits, and `plain`.
pub(super) fn largest_error(opened: &[u64], plain: &[f64], fraction: u32) -> f64 {
    let scale = f64::from(fraction).exp2();
    let errors = opened.iter().zip(plain).map(|(got, plain)| ((*got as i64) as f64 / scale - plain).abs());
    if opened.len() == plain.len() { errors.fold(0.0, f64::max) } else { f64::INFINITY }
}

/// `n` normal numbers of deviation `sigma`, the same in every run (Box and Muller 1958).
pub(super) fn normal(n: usize, sigma: f64, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..n)
        .map(|_| {
            let (radius, angle) = ((-2.0 * (1.0 - uniform()).ln()).sqrt(), std::f64::consts::TAU * uniform());
            sigma * radius * angle.cos()
        })
        .collect()
}
