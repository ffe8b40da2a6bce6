//! FilterL2 (Diakonikolas et al. 2017; Steinhardt 2018, algorithm 1): weights of those that stretch the covariance fall
//! until it is as round as honest means would make it.
//!
//! While the greatest eigenvalue of the weighted covariance exceeds its bound: wᵢ ← wᵢ(1 − τᵢ/τ_max), where τᵢ =
//! ⟨gᵢ − ḡ, v⟩² and v is the eigenvector. With few shards and long vectors everything but the last mean is done in the
//! shards' own dimension: v is a combination Σ aⱼ(gⱼ − ḡ), so inner products are entries of the Gram matrix.

use super::{RobustError, RobustRule, bounded, positive};

/// Steps of the power iteration: with 16 to some hundred shards far more than the eigenvalue needs to two digits.
const POWER_STEPS: usize = 100;
/// Where the power iteration begins: a fixed seed, so that everybody who recomputes gets the same bits.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// Less weight than this left, and what remains may be the bad ones.
const LEAST_LEFT: f64 = 0.5;

/// The mean of the shards that pass the filter, by weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FilterL2 {
    spectral_bound: f64,
}

impl FilterL2 {
    /// With the greatest eigenvalue of the covariance that honest shards' means have.
    ///
    /// # Errors
    /// A bound that is not above 0 and finite.
    pub fn new(spectral_bound: f64) -> Result<Self, RobustError> {
        positive("spectral bound", spectral_bound)?;
        Ok(Self { spectral_bound })
    }

    /// The weights that are left, summing to at most 1, from the means' Gram matrix.
    fn weights(&self, gram: &[Vec<f64>]) -> Result<Vec<f64>, RobustError> {
        let shards = gram.len();
        let mut weights = vec![1.0 / shards as f64; shards];
        // Each step takes the whole weight of at least one shard.
        for _ in 0..shards {
            let left: f64 = weights.iter().sum();
            if left < LEAST_LEFT {
                return Err(RobustError::NothingLeft { left });
            }
            let centred = centred(gram, &weights);
            let (eigenvalue, direction) = top(&centred, &weights);
            if eigenvalue <= self.spectral_bound {
                return Ok(weights);
            }
            let outlying: Vec<f64> = direction.iter().map(|along| along * along).collect();
            let greatest =
                weights.iter().zip(&outlying).filter(|(w, _)| **w > 0.0).map(|(_, t)| *t).fold(0.0, f64::max);
            for (weight, tau) in weights.iter_mut().zip(&outlying) {
                *weight *= (1.0 - tau / greatest).max(0.0);
            }
        }
        Err(RobustError::NothingLeft { left: weights.iter().sum() })
    }
}

impl RobustRule for FilterL2 {
    fn combine(&self, shard_means: &[&[f64]], norm_bound: f64) -> Result<Vec<f64>, RobustError> {
        let means = bounded(shard_means, norm_bound)?;
        let weights = self.weights(&gram(&means))?;
        let total: f64 = weights.iter().sum();
        let mut mean = vec![0.0; means[0].len()];
        for (shard, weight) in means.iter().zip(&weights) {
            mean.iter_mut().zip(shard).for_each(|(sum, value)| *sum += weight / total * value);
        }
        Ok(mean)
    }
}

/// Inner products of the means less their plain mean: `[shards][shards]`. Centring first keeps the digits that a large
/// common part would take.
fn gram(means: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let entries = means[0].len();
    let middle: Vec<f64> =
        (0..entries).map(|entry| means.iter().map(|mean| mean[entry]).sum::<f64>() / means.len() as f64).collect();
    let shifted: Vec<Vec<f64>> =
        means.iter().map(|mean| mean.iter().zip(&middle).map(|(value, middle)| value - middle).collect()).collect();
    shifted.iter().map(|a| shifted.iter().map(|b| inner(a, b)).collect()).collect()
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Inner products of the means less their weighted mean.
fn centred(gram: &[Vec<f64>], weights: &[f64]) -> Vec<Vec<f64>> {
    let total: f64 = weights.iter().sum();
    let toward: Vec<f64> = gram.iter().map(|row| inner(row, weights) / total).collect();
    let middle = inner(&toward, weights) / total;
    let row = |i: usize| (0..gram.len()).map(|j| gram[i][j] - toward[i] - toward[j] + middle).collect();
    (0..gram.len()).map(row).collect()
}

/// The greatest eigenvalue of Σ wᵢ(gᵢ − ḡ)(gᵢ − ḡ)ᵀ/Σw, and ⟨gᵢ − ḡ, v⟩ for its unit eigenvector v = Σ aⱼ(gⱼ − ḡ).
fn top(centred: &[Vec<f64>], weights: &[f64]) -> (f64, Vec<f64>) {
    let total: f64 = weights.iter().sum();
    let mut combination = start(centred.len());
    let (mut eigenvalue, mut along) = (0.0, vec![0.0; centred.len()]);
    for _ in 0..POWER_STEPS {
        along = centred.iter().map(|row| inner(row, &combination)).collect();
        let norm = inner(&combination, &along).max(0.0).sqrt();
        if norm == 0.0 {
            return (0.0, along);
        }
        along.iter_mut().for_each(|value| *value /= norm);
        eigenvalue = weights.iter().zip(&along).map(|(weight, value)| weight * value * value).sum::<f64>() / total;
        // Covariance times v, in terms of the shards: the next combination is w·⟨g − ḡ, v⟩.
        combination = weights.iter().zip(&along).map(|(weight, value)| weight * value).collect();
    }
    (eigenvalue, along)
}

/// Numbers from −1 to 1 by the splitmix64 generator.
fn start(shards: usize) -> Vec<f64> {
    let mut state = SEED;
    let mut next = || {
        state = state.wrapping_add(SEED);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64 * 2.0 - 1.0
    };
    (0..shards).map(|_| next()).collect()
}
