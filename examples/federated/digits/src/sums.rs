//! One cohort's sum, twice: by adding integers, and as an aggregator gets it, under masks with participants lost.
//!
//! The masked way has real mask keys, agreements, seeds and payloads (docs/spec/secagg.md, sections 5, 8, 9.3) on the
//! complete graph. What signs, shares and votes about them is left out: the secrets of who is lost are taken from their
//! owner instead of from shares.

use crate::draw;
use neuro_primitives::{Hash, NodeId};
use neuro_secagg::kdf::{MaskContext, RoundSecret};
use neuro_secagg::masks::{self, Generator, MaskJob, MaskSeed, Sign};
use neuro_secagg::packing::{Modulus, PayloadError};
use neuro_secagg::sum::Accumulator;

/// The sum of the survivors' vectors, each `[entries]`, in two's complement of the modulus' bits.
#[must_use]
pub fn plain(vectors: &[Accumulator], survives: &[bool], modulus: Modulus) -> Vec<i64> {
    let mut sum = vec![0_i64; vectors.first().map_or(0, Accumulator::entries)];
    for (vector, _) in vectors.iter().zip(survives).filter(|(_, alive)| **alive) {
        for (sum, value) in sum.iter_mut().zip(vector.clone().finish()) {
            *sum = modulus.signed(sum.wrapping_add(value).cast_unsigned());
        }
    }
    sum
}

/// The same sum from masked payloads. Everybody masks with everybody; payloads of who does not survive never arrive.
///
/// # Errors
/// None for vectors of one length with this modulus.
pub fn masked(
    vectors: &[Accumulator],
    survives: &[bool],
    modulus: Modulus,
    seeds: &CohortSeeds,
) -> Result<Vec<i64>, PayloadError> {
    let mut sum = Accumulator::new(vectors.first().map_or(0, Accumulator::entries), modulus);
    for (i, vector) in vectors.iter().enumerate().filter(|(i, _)| survives[*i]) {
        let mut vector = vector.clone();
        masks::apply(vector.lanes(), 0, &seeds.masks_of(i));
        sum.add(&vector.to_packed())?;
    }
    sum.unmask(&seeds.left_over(survives), 1);
    Ok(sum.finish())
}

/// All seeds of one cohort.
#[derive(Debug)]
pub struct CohortSeeds {
    own: Vec<MaskSeed>,
    /// Of i and j with i < j, at `[i][j − i − 1]`.
    pair: Vec<Vec<MaskSeed>>,
}

impl CohortSeeds {
    /// Keys of `members` participants for round `round`, drawn from `seed`, and what they agree on.
    #[must_use]
    pub fn new(members: usize, seed: u64, round: u64) -> Self {
        let named = |purpose| Hash(draw::secret(purpose, seed, round));
        let config = named("configuration");
        let context =
            MaskContext::new(&named("cohort"), &named("sharers"), &config, &named("model"), Generator::Aes128Ctr);
        let drawn = |i: usize| {
            let secret = RoundSecret::from_bytes(draw::secret("round secret", seed, round << 16 | i as u64));
            let attempt = secret.attempt(&config, 0);
            (attempt.mask_key(), attempt.self_mask())
        };
        let secrets: Vec<_> = (0..members).map(drawn).collect();
        let id = |i: usize| NodeId(draw::secret("node", seed, i as u64));
        let own = secrets.iter().enumerate().map(|(i, (_, own))| context.own(own, id(i))).collect();
        let agreed = |i: usize, j: usize| context.pair(&secrets[i].0.agree(&secrets[j].0.public()), id(i), id(j));
        let pair = (0..members).map(|i| (i + 1..members).map(|j| agreed(i, j)).collect()).collect();
        Self { own, pair }
    }

    /// The seed of i and j, and the sign with which i adds it.
    fn pair_of(&self, i: usize, j: usize) -> MaskJob {
        let (low, high) = (i.min(j), i.max(j));
        let sign = if j > i { Sign::Plus } else { Sign::Minus };
        MaskJob { seed: self.pair[low][high - low - 1].clone(), sign }
    }

    /// What i adds to its vector: y_i = x_i + G(p_i) ± Σ G(p_ij).
    fn masks_of(&self, i: usize) -> Vec<MaskJob> {
        let own = MaskJob { seed: self.own[i].clone(), sign: Sign::Plus };
        let others = (0..self.own.len()).filter(|&j| j != i);
        std::iter::once(own).chain(others.map(|j| self.pair_of(i, j))).collect()
    }

    /// What is left in the sum of the survivors' payloads, with the signs that remove it.
    fn left_over(&self, survives: &[bool]) -> Vec<MaskJob> {
        let part = |alive: bool| (0..self.own.len()).filter(move |&i| survives[i] == alive);
        let own = part(true).map(|i| MaskJob { seed: self.own[i].clone(), sign: Sign::Minus });
        let undone = &|i: usize, j: usize| {
            let MaskJob { seed, sign } = self.pair_of(i, j);
            MaskJob { seed, sign: sign.opposite() }
        };
        own.chain(part(true).flat_map(|i| part(false).map(move |j| undone(i, j)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_hide_every_vector_and_fall_away_in_the_sum_alone() {
        let modulus = Modulus::new(20).unwrap();
        let vectors: Vec<Accumulator> = (0..6).map(|_| Accumulator::new(9, modulus)).collect();
        let seeds = CohortSeeds::new(6, 1, 1);
        let survives = [true, false, true, true, false, true];
        assert_eq!(masked(&vectors, &survives, modulus, &seeds).unwrap(), plain(&vectors, &survives, modulus));
        let mut payload = vectors[0].clone();
        masks::apply(payload.lanes(), 0, &seeds.masks_of(0));
        assert!(payload.clone().finish().iter().all(|&value| value != 0), "an entry of zeros shows no zero");
        payload.unmask(&seeds.left_over(&[true, false, false, false, false, false]), 1);
        assert_eq!(payload.finish(), [0; 9], "with everybody else's keys it would be open");
    }

    #[test]
    fn with_the_seeds_of_another_round_the_sum_stays_hidden() {
        let modulus = Modulus::new(40).unwrap();
        let vector = Accumulator::new(4, modulus);
        let (now, before) = (CohortSeeds::new(3, 1, 2), CohortSeeds::new(3, 1, 1));
        let mut payload = vector.clone();
        masks::apply(payload.lanes(), 0, &now.masks_of(0));
        payload.unmask(&before.left_over(&[true, false, false]), 1);
        assert_ne!(payload, vector);
    }
}
