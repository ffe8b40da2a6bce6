//! The three instances side by side: this party proves its own, and verifies those of the other two.

use zeroize::Zeroize;

use super::challenge::{self, BYTES, Challenge, Keys, WORDS};
use super::first::Side;
use super::instance::{Checking, Proving, Room, Shares, Turns};
use super::link::Link;
use super::plan::{Plan, PlanWeights};
use super::role::Masks;
use super::{Coins, Cost, ProofError, matrix};
use crate::channel::Channel;
use crate::party::PartyId;
use crate::tape::Tapes;

/// Verifiers to prover: one part of the seed of the weights, and hashes of what the other verifier tells.
const SEED: &str = "proof seed";
/// Prover to right verifier: its shares of the coefficients.
const FOLD: &str = "proof fold";
/// Right verifier to prover: where the polynomials are evaluated.
const CHALLENGE: &str = "proof challenge";
/// Verifier to verifier: what is left.
const END: &str = "proof end";

/// Challenges 0 and 1 are the two parts of the seed; that of fold k has this number more.
const FOLDS: usize = 2;

/// What is fixed before the first message.
pub(super) struct Setting<'a> {
    party: PartyId,
    tapes: &'a Tapes,
    /// Instances of this party, of P_{i+1}, of P_{i-1}.
    plans: [Plan<'a>; 3],
    folds: usize,
}

/// What the prover learns at the start.
struct Seeds {
    /// Both parts, of the three instances in the order of [`Setting::plans`].
    parts: [[Challenge; 2]; 3],
    /// Of the challenges of the own instance.
    hashes: Vec<[u8; BYTES]>,
}

impl<'a> Setting<'a> {
    /// Checks the lengths of all that is on the tapes.
    pub fn new(party: PartyId, tapes: &'a Tapes) -> Result<Self, ProofError> {
        tapes.matrices.iter().try_for_each(matrix::check)?;
        let plans = [
            Plan::proving(tapes)?,
            Plan::checking(&tapes.ring.left, &tapes.bits.left, tapes)?,
            Plan::checking(&tapes.ring.right, &tapes.bits.right, tapes)?,
        ];
        let folds = plans.iter().map(Plan::folds).max().unwrap_or_default();
        Ok(Self { party, tapes, plans, folds })
    }

    /// Proves and verifies. The keys are those of component i, `own`, and i+1, `next`.
    pub fn run<C: Channel>(
        &self,
        channel: &mut C,
        coins: &mut impl Coins,
        step: u64,
        room: &mut Room,
    ) -> Result<Cost, ProofError> {
        let mut link = Link::new(channel, step);
        if self.folds == 0 {
            return Ok(link.cost);
        }
        let mut words = [[0; WORDS]; 2];
        let [own, next] = &mut words;
        coins.draw(step, own, next)?;
        let [mut own, mut next] = words.each_ref().map(Keys::new);
        words.zeroize();
        let seeds = self.seeds(&mut link, &own, &next)?;
        let weights: [PlanWeights; 3] =
            std::array::from_fn(|i| self.plans[i].weights(&mut challenge::weights(seeds.parts[i])));
        let mut proving = Proving::new(&self.plans[0], &weights[0], self.tapes, room);
        let mut left = Checking::new(&self.plans[1], &weights[1], self.tapes, Side::Left);
        let mut right = Checking::new(&self.plans[2], &weights[2], self.tapes, Side::Right);
        let challenges =
            [&own, &next].map(|keys| (0..self.folds).map(|k| keys.challenge(FOLDS + k)).collect::<Vec<_>>());
        for k in 0..self.folds {
            let turns = [0, 1, 2].map(|i| Turns::new(&self.plans[i], k, self.folds));
            let mut masks = Masks { left: &mut own.left, right: &mut next.right };
            link.send(self.party.next(), FOLD, proving.shares(&turns[0], &mut masks))?;
            let received = link.receive(self.party.previous(), FOLD, turns[2].bytes())?;
            self.tell(&mut link, k, challenges[1][k])?;
            right.mask(&turns[2], &mut own.right);
            right.fold(&turns[2], &Shares::read(&turns[2], &received), &challenges[1][k..]);
            left.mask(&turns[1], &mut next.left);
            left.fold(&turns[1], &Shares::draw(&turns[1], &mut next.left), &challenges[0][k..]);
            if let Some(hash) = seeds.hashes.get(k) {
                proving.fold(&turns[0], self.challenge(&mut link, hash)?);
            }
        }
        *room = proving.into_room();
        self.end(&mut link, &left, &right)?;
        link.cost.rounds = 2 * self.folds as u64 + 1;
        Ok(link.cost)
    }

    /// As left verifier: part 0 of the seed, and the hashes of part 1 and of the challenges of all folds but the last,
    /// which the prover does not need. As right verifier: part 1, and the hash of part 0. The prover has both parts when
    /// both verifiers have begun, so when all that they check is fixed.
    fn seeds<C: Channel>(&self, link: &mut Link<C>, own: &Keys, next: &Keys) -> Result<Seeds, ProofError> {
        let told = self.folds - 1;
        let lefts = [own.challenge(0), own.challenge(1)];
        let rights = [next.challenge(0), next.challenge(1)];
        let mut body = [lefts[0].0, lefts[1].hash()].concat();
        (0..told).for_each(|k| body.extend(own.challenge(FOLDS + k).hash()));
        link.send(self.party.next(), SEED, body)?;
        link.send(self.party.previous(), SEED, [rights[1].0, rights[0].hash()].concat())?;
        let left = link.receive(self.party.previous(), SEED, (2 + told) * BYTES)?;
        let right = link.receive(self.party.next(), SEED, 2 * BYTES)?;
        let (left, right) = (left.as_chunks().0, right.as_chunks().0);
        let parts = [Challenge(left[0]), Challenge(right[0])];
        if parts[0].hash() != right[1] || parts[1].hash() != left[1] {
            return Err(ProofError::Challenge { instance: self.party });
        }
        Ok(Seeds { parts: [parts, lefts, rights], hashes: left[2..].to_vec() })
    }

    /// As right verifier, who has the prover's message of fold `k` now.
    fn tell<C: Channel>(&self, link: &mut Link<C>, k: usize, challenge: Challenge) -> Result<(), ProofError> {
        if k + 1 == self.folds {
            return Ok(());
        }
        link.send(self.party.previous(), CHALLENGE, challenge.0.to_vec())
    }

    /// As prover: what the right verifier tells is what the left one has told the hash of.
    fn challenge<C: Channel>(&self, link: &mut Link<C>, hash: &[u8; BYTES]) -> Result<Challenge, ProofError> {
        let body = link.receive(self.party.next(), CHALLENGE, BYTES)?;
        let told = body.first_chunk().map(|told| Challenge(*told));
        told.filter(|told| told.hash() == *hash).ok_or(ProofError::Challenge { instance: self.party })
    }

    /// The verifiers of an instance tell each other what is left, and both check.
    fn end<C: Channel>(&self, link: &mut Link<C>, left: &Checking, right: &Checking) -> Result<(), ProofError> {
        let (previous, next) = (self.party.previous(), self.party.next());
        link.send(previous, END, left.opened())?;
        link.send(next, END, right.opened())?;
        let from_right = link.receive(previous, END, left.opened().len())?;
        let from_left = link.receive(next, END, right.opened().len())?;
        for (checking, other, instance) in [(left, &from_right, next), (right, &from_left, previous)] {
            if !checking.holds(other) {
                return Err(ProofError::Rejected { instance });
            }
        }
        Ok(())
    }
}
