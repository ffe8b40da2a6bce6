//! From logits to a token.
//!
//! Temperature 0 takes the largest logit, ties to the lowest id. Otherwise the token is drawn from
//! `softmax(logits / temperature)`, cut to its nucleus: the smallest set of most likely tokens whose mass reaches
//! `top_p` ("The Curious Case of Neural Text Degeneration", Holtzman et al., arXiv 1904.09751, section 3.1).
//!
//! A draw is a pure function of (logits, parameters, position): its randomness is the first output of `ChaCha20` under
//! the key [`key`] makes of (seed, choice, position). A replay, a failover or another batch draws the same token.

pub mod logprob;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingParams {
    /// 0 is greedy; larger is flatter. Finite, not negative.
    pub temperature: f32,
    /// Mass of the nucleus, above 0 and at most 1.
    pub top_p: f32,
    /// The request's seed.
    pub seed: u64,
    /// Which of a request's choices this is, so that they differ.
    pub choice: u32,
    /// `Some(n)`: report the token's log-probability and those of the `n` likeliest.
    pub top_logprobs: Option<u8>,
}

/// Sampling parameters that mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum SamplingError {
    /// Negative, infinite or NaN.
    #[error("temperature must be a finite number of at least 0, got {got}")]
    Temperature {
        /// What came.
        got: f32,
    },
    /// Outside (0, 1].
    #[error("top_p must lie above 0 and be at most 1, got {got}")]
    TopP {
        /// What came.
        got: f32,
    },
}

impl Default for SamplingParams {
    /// Greedy, choice 0.
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, seed: 0, choice: 0, top_logprobs: None }
    }
}

impl SamplingParams {
    /// Whether the numbers mean something.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), SamplingError> {
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return Err(SamplingError::Temperature { got: self.temperature });
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(SamplingError::TopP { got: self.top_p });
        }
        Ok(())
    }

    /// The token at `position` of the sequence (counted from the start of the prompt), given its `logits` (`[vocab]`,
    /// f32, finite, not empty).
    #[must_use]
    pub fn sample(&self, logits: &[f32], position: usize) -> u32 {
        if self.temperature == 0.0 {
            return greedy(logits);
        }
        draw(&nucleus(logits, self.temperature, self.top_p), self.uniform(position))
    }

    /// A number in [0, 1) with 53 random bits.
    fn uniform(&self, position: usize) -> f64 {
        let bits = ChaCha20Rng::from_seed(key(self.seed, self.choice, position as u64)).next_u64();
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The `ChaCha20` key of one draw: seed, choice and position in little-endian order, then 12 bytes that name the use.
#[must_use]
pub fn key(seed: u64, choice: u32, position: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..12].copy_from_slice(&choice.to_le_bytes());
    key[12..20].copy_from_slice(&position.to_le_bytes());
    key[20..].copy_from_slice(b"neuro/sample");
    key
}

/// The id of the largest logit, the lowest of equal ones.
#[must_use]
pub fn greedy(logits: &[f32]) -> u32 {
    let larger = |best: (u32, f32), next: (u32, f32)| if next.1 > best.1 { next } else { best };
    (0_u32..).zip(logits.iter().copied()).reduce(larger).map_or(0, |(id, _)| id)
}

/// A token that may be drawn, with its mass (not normalised).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The token.
    pub id: u32,
    /// `exp((logit − largest) / temperature)`.
    pub mass: f32,
}

/// The tokens that may be drawn: all of them in order of id when `top_p` is 1, the nucleus likeliest first otherwise
/// (equal ones by id). `logits`: `[vocab]`, f32, finite.
#[must_use]
pub fn nucleus(logits: &[f32], temperature: f32, top_p: f32) -> Vec<Candidate> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mass = |logit: &f32| libm::expf((logit - largest) / temperature);
    let mut candidates: Vec<_> = (0..).zip(logits).map(|(id, logit)| Candidate { id, mass: mass(logit) }).collect();
    if top_p >= 1.0 {
        return candidates;
    }
    let total = total_mass(&candidates);
    // All tokens below this together have less than 1 - top_p: the nucleus ends before them, and sorting what is left
    // takes a fraction of the time that the whole vocabulary would.
    let negligible = (1.0 - f64::from(top_p)) * total / logits.len() as f64;
    candidates.retain(|candidate| f64::from(candidate.mass) >= negligible);
    candidates.sort_by(|left, right| right.mass.total_cmp(&left.mass).then(left.id.cmp(&right.id)));
    candidates.truncate(nucleus_size(&candidates, f64::from(top_p) * total));
    candidates
}

/// How many of the `sorted` candidates it takes to reach `wanted`; at least one.
fn nucleus_size(sorted: &[Candidate], wanted: f64) -> usize {
    let mut reached = 0.0;
    for (index, candidate) in sorted.iter().enumerate() {
        reached += f64::from(candidate.mass);
        if reached >= wanted {
            return index + 1;
        }
    }
    sorted.len()
}

/// The candidate at which the running mass passes `uniform` (in [0, 1)) of the total.
fn draw(candidates: &[Candidate], uniform: f64) -> u32 {
    let target = uniform * total_mass(candidates);
    let mut reached = 0.0;
    for candidate in candidates {
        reached += f64::from(candidate.mass);
        if reached > target {
            return candidate.id;
        }
    }
    candidates.last().map_or(0, |candidate| candidate.id)
}

/// The sum of the masses in the order given, in f64.
fn total_mass(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|candidate| f64::from(candidate.mass)).sum()
}

#[cfg(test)]
mod tests;
