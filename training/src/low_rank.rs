//! Low-rank adapters: "LoRA", Hu et al., arXiv 2106.09685, equation 3.
//!
//! A projection `W` (`[out, in]`) is computed as `W + (alpha / rank) · B · A` with `A` `[rank, in]` drawn small and `B`
//! `[out, rank]` zero, so an adapter that was not trained changes nothing. `W` itself is never trained.

use crate::error::ModelError;
use crate::weights::{Matrix, Weights};

/// Adapters beside some projections.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRank {
    /// The projections' weights, by name.
    pub projections: Vec<String>,
    /// Rows of `A`.
    pub rank: usize,
    /// The product counts `alpha / rank` times.
    pub alpha: f32,
}

/// The names of `A` and `B` beside `projection`.
pub(crate) fn names(projection: &str) -> [String; 2] {
    [format!("{projection}.lora_a"), format!("{projection}.lora_b")]
}

impl LowRank {
    /// What the product of the two matrices is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.alpha / self.rank.max(1) as f32
    }

    /// Puts fresh adapters beside the projections. Every participant must draw the same `A`: it follows from `seed`.
    ///
    /// # Errors
    /// A projection that is not there.
    pub fn attach(&self, weights: &mut Weights, seed: u64) -> Result<(), ModelError> {
        for (index, projection) in self.projections.iter().enumerate() {
            let matrix = weights.get(projection)?;
            let (outputs, inputs) = (matrix.rows(), matrix.width());
            let bound = 1.0 / (inputs.max(1) as f32).sqrt();
            let mut draw = Draw(seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let a = (0..self.rank * inputs).map(|_| bound * draw.symmetric()).collect();
            let [name_a, name_b] = names(projection);
            weights.insert(name_a, Matrix { shape: vec![self.rank, inputs], values: a });
            weights.insert(name_b, Matrix { shape: vec![outputs, self.rank], values: vec![0.0; outputs * self.rank] });
        }
        Ok(())
    }

    /// Adds the adapters to their projections and takes them away: a model that anything can run.
    ///
    /// # Errors
    /// A projection or an adapter that is not there.
    pub fn merge(&self, weights: &mut Weights) -> Result<(), ModelError> {
        for projection in &self.projections {
            let missing = |name: &String| ModelError::Missing { name: name.clone() };
            let [name_a, name_b] = names(projection);
            let a = weights.remove(&name_a).ok_or_else(|| missing(&name_a))?;
            let b = weights.remove(&name_b).ok_or_else(|| missing(&name_b))?;
            let scale = self.scale();
            let matrix = weights.get_mut(projection)?;
            let width = matrix.width();
            for (row, factors) in matrix.values.chunks_exact_mut(width).zip(b.values.chunks_exact(self.rank)) {
                for (factor, direction) in factors.iter().zip(a.values.chunks_exact(width)) {
                    row.iter_mut().zip(direction).for_each(|(value, step)| *value += scale * factor * step);
                }
            }
        }
        Ok(())
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): public starting values that everyone draws alike. Not for secrets.
pub(crate) struct Draw(pub u64);

impl Draw {
    /// The next 64 bits.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in −1..1, of 24 bits, exact in f32.
    pub(crate) fn symmetric(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 8_388_608.0 - 1.0
    }
}

#[cfg(test)]
mod tests;
