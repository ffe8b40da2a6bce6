//! Everything that is left to chance, from one seed.

use neuro_primitives::Hash;
use neuro_privacy::NoiseRng;

/// A stream of random bits for one purpose: the same for the same `purpose`, `seed` and `number`.
#[must_use]
pub fn stream(purpose: &str, seed: u64, number: u64) -> NoiseRng {
    NoiseRng::from_seed(&secret(purpose, seed, number))
}

/// 32 bytes for one purpose.
#[must_use]
pub fn secret(purpose: &str, seed: u64, number: u64) -> [u8; 32] {
    Hash::of(&[purpose.as_bytes(), &[0], &seed.to_le_bytes(), &number.to_le_bytes()].concat()).0
}

/// Fisher and Yates.
pub fn shuffle<T>(list: &mut [T], rng: &mut NoiseRng) {
    for last in (1..list.len()).rev() {
        list.swap(last, rng.below(last as u128 + 1) as usize);
    }
}

/// Uniform, above 0 and below 1.
pub fn uniform(rng: &mut NoiseRng) -> f64 {
    ((rng.next_u64() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// Standard normal (Box and Muller).
pub fn normal(rng: &mut NoiseRng) -> f64 {
    let radius = (-2.0 * libm::log(uniform(rng))).sqrt();
    radius * libm::cos(std::f64::consts::TAU * uniform(rng))
}

/// Gamma with scale 1 (Marsaglia and Tsang 2000; below shape 1 by their remark: Γ(a) = Γ(a + 1)·U^(1/a)).
pub fn gamma(shape: f64, rng: &mut NoiseRng) -> f64 {
    if shape < 1.0 {
        return gamma(shape + 1.0, rng) * libm::pow(uniform(rng), 1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = libm::pow(1.0 + c * x, 3.0);
        if v > 0.0 && libm::log(uniform(rng)) < x * x / 2.0 + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

/// A point of the simplex from the symmetric Dirichlet distribution: shares of `parts` that add up to 1.
pub fn dirichlet(parts: usize, alpha: f64, rng: &mut NoiseRng) -> Vec<f64> {
    let drawn: Vec<f64> = (0..parts).map(|_| gamma(alpha, rng)).collect();
    let total: f64 = drawn.iter().sum();
    drawn.into_iter().map(|share| share / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gammas_have_their_mean_and_variance() {
        for shape in [0.1, 0.7, 1.0, 5.0] {
            let mut rng = stream("test", 1, 0);
            let drawn: Vec<f64> = (0..20_000).map(|_| gamma(shape, &mut rng)).collect();
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
            assert!((mean / shape - 1.0).abs() < 0.08, "shape {shape}: mean {mean}");
            assert!((variance / shape - 1.0).abs() < 0.16, "shape {shape}: variance {variance}");
        }
    }

    #[test]
    fn shares_add_up_and_a_small_alpha_makes_them_unlike() {
        let mut rng = stream("test", 2, 0);
        let shares = dirichlet(50, 0.1, &mut rng);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let mut sorted = shares;
        sorted.sort_by(f64::total_cmp);
        assert!(sorted[40..].iter().sum::<f64>() > 0.8, "a fifth of the participants has most");
    }
}
