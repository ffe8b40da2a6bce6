//! Shared randomness without messages: pseudo-random secret sharing (Cramer, Damgård and Ishai 2005).
//!
//! P_i shares one seed with P_{i-1} and another with P_{i+1}. Whatever is drawn from the first is a component that those
//! two know and P_{i+1} does not, so the three seeds together are a replicated sharing of a random value a. Its parts
//! also make shares of zero, one summand a party:
//!
//! ```text
//! P_i takes a_i - a_{i+1};   (a_0 - a_1) + (a_1 - a_2) + (a_2 - a_0) = 0
//! ```
//!
//! A seed becomes AES-128 keys by BLAKE3, one for each use; words are AES in counter mode at the counter (step, block).
//! The parties count steps alike. A step is drawn from once: the second time would hide two values under one mask, so
//! it is refused, in all builds.

mod stream;
#[cfg(test)]
mod tests;

use thiserror::Error;

use stream::{Stream, Use};

/// Bytes of a seed.
pub const SEED_BYTES: usize = 32;

/// A step that was drawn from before, or that comes after a later one: our own bug, and the end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("step {step} drawn from after step {last}")]
pub struct StepReused {
    /// What was asked for.
    pub step: u64,
    /// The last step that was drawn from.
    pub last: u64,
}

/// What one party draws its randomness from. Keys are wiped on drop.
pub struct Prss {
    shares: [Stream; 2],
    common: [Stream; 2],
    share_steps: Steps,
    common_steps: [Steps; 2],
}

/// The last step of one use.
#[derive(Default)]
struct Steps(Option<u64>);

impl Steps {
    /// Goes on to `step`, which must come after all before it.
    fn take(&mut self, step: u64) -> Result<(), StepReused> {
        match self.0 {
            Some(last) if step <= last => Err(StepReused { step, last }),
            _ => {
                self.0 = Some(step);
                Ok(())
            }
        }
    }
}

impl Prss {
    /// From the seed that P_{i-1} has too (`own`: of component i), and the one that P_{i+1} has too (`next`: of
    /// component i+1). Seeds belong to one session: the same seeds give the same words.
    #[must_use]
    pub fn new(own: &[u8; SEED_BYTES], next: &[u8; SEED_BYTES]) -> Self {
        Self {
            shares: [own, next].map(|seed| Stream::new(seed, Use::Shares)),
            common: [own, next].map(|seed| Stream::new(seed, Use::Common)),
            share_steps: Steps::default(),
            common_steps: Default::default(),
        }
    }

    /// A sharing of `n` random words: this party's components, own and next, each `[n]`.
    ///
    /// # Errors
    /// A step that is not after all before it.
    pub fn words(&mut self, step: u64, n: usize) -> Result<[Vec<u64>; 2], StepReused> {
        let [mut own, mut next] = [vec![0; n], vec![0; n]];
        self.fill(step, &mut own, &mut next)?;
        Ok([own, next])
    }

    /// As [`Self::words`], into `own: [n]` and `next: [n]`. The first words do not depend on how many are drawn.
    ///
    /// # Errors
    /// A step that is not after all before it.
    pub fn fill(&mut self, step: u64, own: &mut [u64], next: &mut [u64]) -> Result<(), StepReused> {
        self.share_steps.take(step)?;
        self.shares[0].fill(step, own);
        self.shares[1].fill(step, next);
        Ok(())
    }

    /// This party's summands of `n` zeros of Z_2^64, `[n]`: `a_own - a_next` of what [`Self::words`] would give.
    ///
    /// # Errors
    /// A step that is not after all before it.
    pub fn zeros(&mut self, step: u64, n: usize) -> Result<Vec<u64>, StepReused> {
        let [mut own, next] = self.words(step, n)?;
        own.iter_mut().zip(&next).for_each(|(own, next)| *own = own.wrapping_sub(*next));
        Ok(own)
    }

    /// This party's summands of `n` zeros of GF(2)^64, `[n]`: `a_own ^ a_next` of what [`Self::words`] would give.
    ///
    /// # Errors
    /// A step that is not after all before it.
    pub fn bit_zeros(&mut self, step: u64, n: usize) -> Result<Vec<u64>, StepReused> {
        let [mut own, next] = self.words(step, n)?;
        own.iter_mut().zip(&next).for_each(|(own, next)| *own ^= next);
        Ok(own)
    }

    /// `n` random words that this party and P_{i-1} know, who asks for them by [`Self::common_next`]; `[n]`. They have
    /// nothing to do with those of [`Self::words`], and steps of their own.
    ///
    /// # Errors
    /// A step that is not after all before it.
    pub fn common_own(&mut self, step: u64, n: usize) -> Result<Vec<u64>, StepReused> {
        self.common(0, step, n)
    }

    /// `n` random words that this party and P_{i+1} know, who asks for them by [`Self::common_own`]; `[n]`.
    ///
    /// # Errors
    /// A step that is not after all before it.
    pub fn common_next(&mut self, step: u64, n: usize) -> Result<Vec<u64>, StepReused> {
        self.common(1, step, n)
    }

    fn common(&mut self, component: usize, step: u64, n: usize) -> Result<Vec<u64>, StepReused> {
        self.common_steps[component].take(step)?;
        let mut words = vec![0; n];
        self.common[component].fill(step, &mut words);
        Ok(words)
    }
}
