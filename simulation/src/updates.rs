//! What participants bring: updates that can be made a second time, for the check of the sum.

use neuro_secagg::aggregator::ModulusRule;
use neuro_secagg::config::RoundConfig;
use neuro_secagg::packing::Modulus;

use crate::SimulationPlan;

/// The participants' updates. The same call always gives the same values.
pub trait Updates {
    /// The weight of `participant`, within the plan's.
    fn weight(&self, participant: u32) -> u32;

    /// Writes the entries from `first` on into `out` (f32, `[entries of this part]`).
    fn fill(&self, participant: u32, first: usize, out: &mut [f32]);

    /// Private mode (section 10): every participant adds noise, so vectors are not quantised here but given whole.
    fn private(&self) -> Option<&dyn PrivateUpdates> {
        None
    }
}

/// Updates that carry noise. Weights are 1.
pub trait PrivateUpdates {
    /// Field 13's settings of the configuration, canonical.
    fn settings(&self) -> Vec<u8>;

    /// The strategy's settings in the configuration, canonical.
    fn strategy_settings(&self) -> Vec<u8>;

    /// `B`, for both sides.
    fn modulus_rule(&self) -> ModulusRule;

    /// Clipped, rotated, rounded, and with the noise of one of `honest_at_least`; the last entry is the weight. The same
    /// call always gives the same vector. `[vector_entries]`, units.
    ///
    /// # Errors
    /// In words, when there is no such vector.
    fn vector(
        &self,
        config: &RoundConfig,
        participant: u32,
        modulus: Modulus,
        honest_at_least: u16,
    ) -> Result<Vec<i64>, String>;

    /// The greatest distance of the decoded mean from that of the `survivors`' updates. `sum`: `[vector_entries]`, units.
    ///
    /// # Errors
    /// In words, when the sum cannot be decoded.
    fn max_abs_error(&self, config: &RoundConfig, survivors: &[u32], sum: &[i64]) -> Result<f64, String>;

    /// What the release costs when the sum of `members` holds at least `honest_at_least` honest parts of the noise.
    fn epsilon(&self, config: &RoundConfig, members: u16, honest_at_least: u16) -> f64;
}

/// Values of mean 0 and deviation 0.1 whose distribution is that of a sum of twelve uniform ones: nearly normal, and
/// never beyond ±0.6. Weights are uniform.
#[derive(Debug, Clone)]
pub struct NormalUpdates {
    seed: u64,
    weights: (u32, u32),
}

/// Uniform numbers in a sum: the deviation of their sum is 1, and no sum is further than 6 from the middle.
const TERMS: u32 = 12;
/// The deviation of a value.
const DEVIATION: f32 = 0.1;
/// The middle of twelve uniform integers of 16 bits.
const MIDDLE: f32 = TERMS as f32 * 65_535.0 / 2.0;

impl NormalUpdates {
    /// Updates of a plan's participants.
    #[must_use]
    pub const fn new(plan: &SimulationPlan, seed: u64) -> Self {
        Self { seed, weights: plan.weights }
    }

    /// The generator of one participant's entries.
    const fn stream(&self, participant: u32) -> u64 {
        mixed(self.seed ^ mixed(participant as u64))
    }
}

impl Updates for NormalUpdates {
    fn weight(&self, participant: u32) -> u32 {
        let (least, most) = self.weights;
        let span = u64::from(most.saturating_sub(least)) + 1;
        // Below the greatest weight.
        least + (mixed(!self.stream(participant)) % span) as u32
    }

    fn fill(&self, participant: u32, first: usize, out: &mut [f32]) {
        let stream = self.stream(participant);
        for (value, entry) in out.iter_mut().zip(first as u64..) {
            let at = stream.wrapping_add(entry.wrapping_mul(3));
            let words = [mixed(at), mixed(at.wrapping_add(1)), mixed(at.wrapping_add(2))];
            let sum: u64 = words.iter().map(|word| parts_of(*word)).sum();
            *value = (sum as f32 - MIDDLE) / 65_536.0 * DEVIATION;
        }
    }
}

/// The sum of a word's four parts of 16 bits.
const fn parts_of(word: u64) -> u64 {
    let pairs = (word & 0x0000_FFFF_0000_FFFF) + ((word >> 16) & 0x0000_FFFF_0000_FFFF);
    (pairs & 0xFFFF_FFFF) + (pairs >> 32)
}

/// SplitMix64 (Steele, Lea, Flood 2014): the word after the state `at`.
const fn mixed(at: u64) -> u64 {
    let mut word = at.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updates() -> NormalUpdates {
        NormalUpdates::new(&SimulationPlan::new(10, 100_000), 7)
    }

    #[test]
    fn values_have_the_deviation_and_the_bounds_that_are_promised() {
        let mut values = vec![0.0; 100_000];
        updates().fill(3, 0, &mut values);
        let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / 1e5;
        let variance = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.002 && (variance.sqrt() - 0.1).abs() < 0.002, "{mean} {variance}");
        assert!(values.iter().all(|value| value.abs() <= 0.6));
    }

    #[test]
    fn parts_are_those_of_the_whole() {
        let (mut whole, mut part) = (vec![0.0; 100], vec![0.0; 40]);
        updates().fill(3, 0, &mut whole);
        updates().fill(3, 30, &mut part);
        assert_eq!(whole[30..70], part);
        updates().fill(4, 30, &mut part);
        assert_ne!(whole[30..70], part);
    }

    #[test]
    fn weights_are_within_the_plan() {
        let weights: Vec<u32> = (0..200).map(|participant| updates().weight(participant)).collect();
        assert!(weights.iter().all(|weight| (500..=1_000).contains(weight)));
        assert!(weights.iter().any(|weight| *weight < 600) && weights.iter().any(|weight| *weight > 900));
    }
}
