//! The three instances side by side: this party proves its own, and verifies those of the other two.
//!
//! A proof goes on from stage to stage, each of which waits for what the peers sent at the end of the one before. So a
//! party can compute something else in between, and messages of that share the rounds.

use std::borrow::Borrow;

use zeroize::Zeroize;

use super::challenge::{self, BYTES, Challenge, Keys, WORDS};
use super::first::Side;
use super::instance::{Checking, Proving, Room, Shares, Statement, Turns};
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

/// A proof of what is on some tapes, under way.
pub(crate) struct Proof<T> {
    setting: Setting<T>,
    link: Link,
    stage: Stage,
}

/// What is fixed before the first message.
struct Setting<T> {
    party: PartyId,
    tapes: T,
    /// Instances of this party, of P_{i+1}, of P_{i-1}.
    plans: [Plan; 3],
    folds: usize,
    /// Of component i, and i+1.
    own: Keys,
    next: Keys,
}

/// What is waited for.
enum Stage {
    /// The parts of the seed.
    Seeds,
    /// The prover's message of a fold.
    Fold(usize, Box<Folding>),
    /// The challenge of a fold.
    Challenge(usize, Box<Folding>),
    /// What is left at the other verifiers.
    End(Box<Folding>),
    /// Nothing: all holds.
    Over,
}

/// The three instances.
struct Folding {
    weights: [PlanWeights; 3],
    /// Of the challenges of the own instance.
    hashes: Vec<[u8; BYTES]>,
    proving: Proving,
    left: Checking,
    right: Checking,
}

impl<T: Borrow<Tapes>> Proof<T> {
    /// Checks the lengths of all that is on the tapes, and tells what comes first. The keys come from `coins` at `step`.
    pub fn begin<C: Channel>(
        party: PartyId,
        tapes: T,
        channel: &mut C,
        coins: &mut impl Coins,
        step: u64,
    ) -> Result<Self, ProofError> {
        let plans = plans(tapes.borrow())?;
        let folds = plans.iter().map(Plan::folds).max().unwrap_or_default();
        let mut words = [[0; WORDS]; 2];
        if folds > 0 {
            let [own, next] = &mut words;
            coins.draw(step, own, next)?;
        }
        let [own, next] = words.each_ref().map(Keys::new);
        words.zeroize();
        let setting = Setting { party, tapes, plans, folds, own, next };
        let mut proof = Self { setting, link: Link::new(step), stage: Stage::Over };
        if folds > 0 {
            proof.setting.tell_seeds(channel, &mut proof.link)?;
            proof.stage = Stage::Seeds;
        }
        Ok(proof)
    }

    /// Whether all is proved.
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// What it has cost this party, when it is over.
    pub const fn cost(&self) -> Cost {
        self.link.cost
    }

    /// Takes from the channel what `from` has told at the end of its last stage: it comes before anything that `from` has
    /// sent since.
    pub fn hear<C: Channel>(&mut self, channel: &mut C, from: PartyId) -> Result<(), ProofError> {
        let is_next = from == self.setting.party.next();
        match self.stage {
            Stage::Seeds => self.link.hear(channel, from, SEED),
            Stage::Fold(..) if !is_next => self.link.hear(channel, from, FOLD),
            Stage::Challenge(..) if is_next => self.link.hear(channel, from, CHALLENGE),
            Stage::End(_) => self.link.hear(channel, from, END),
            _ => Ok(()),
        }
    }

    /// Goes on by one stage. What it computes in comes from `room` and goes back there.
    pub fn advance<C: Channel>(&mut self, channel: &mut C, room: &mut Room) -> Result<(), ProofError> {
        let Self { setting, link, stage } = self;
        *stage = match std::mem::replace(stage, Stage::Over) {
            Stage::Seeds => setting.first(channel, link, room)?,
            Stage::Fold(k, folding) => setting.fold(channel, link, k, folding)?,
            Stage::Challenge(k, folding) => setting.challenge(channel, link, k, folding)?,
            Stage::End(folding) => {
                setting.end(channel, link, &folding)?;
                folding.proving.leave(room);
                link.cost.rounds = 2 * setting.folds as u64 + 1;
                Stage::Over
            }
            Stage::Over => Stage::Over,
        };
        Ok(())
    }
}

impl Proof<Tapes> {
    /// The tapes, once, when nothing is read from them any more.
    pub fn take_tapes(&mut self) -> Option<Tapes> {
        let shortest = self.setting.plans.iter().flat_map(Plan::lengths).min().unwrap_or_default();
        let last_first = self.setting.folds - shortest;
        let is_read = match self.stage {
            Stage::Seeds => false,
            Stage::Fold(k, _) => k > last_first,
            Stage::Challenge(k, _) => k > last_first,
            Stage::End(_) | Stage::Over => true,
        };
        (is_read && self.words() > 0).then(|| std::mem::take(&mut self.setting.tapes))
    }

    /// Words of the tapes, until they are taken.
    pub fn words(&self) -> usize {
        self.setting.tapes.words()
    }
}

fn plans(tapes: &Tapes) -> Result<[Plan; 3], ProofError> {
    tapes.matrices.iter().try_for_each(matrix::check)?;
    Ok([
        Plan::proving(tapes)?,
        Plan::checking(&tapes.ring.left, &tapes.bits.left, tapes)?,
        Plan::checking(&tapes.ring.right, &tapes.bits.right, tapes)?,
    ])
}

impl<T: Borrow<Tapes>> Setting<T> {
    fn statement<'a>(&'a self, weights: &'a [PlanWeights; 3], instance: usize) -> Statement<'a> {
        Statement { plan: &self.plans[instance], weights: &weights[instance], tapes: self.tapes.borrow() }
    }

    fn turns(&self, k: usize) -> [Turns; 3] {
        self.plans.each_ref().map(|plan| Turns::new(plan, k, self.folds))
    }

    /// As left verifier: part 0 of the seed, and the hashes of part 1 and of the challenges of all folds but the last,
    /// which the prover does not need. As right verifier: part 1, and the hash of part 0. The prover has both parts when
    /// both verifiers have begun, so when all that they check is fixed.
    fn tell_seeds<C: Channel>(&self, channel: &mut C, link: &mut Link) -> Result<(), ProofError> {
        let mut body = [self.own.challenge(0).0, self.own.challenge(1).hash()].concat();
        (0..self.folds - 1).for_each(|k| body.extend(self.own.challenge(FOLDS + k).hash()));
        link.send(channel, self.party.next(), SEED, body)?;
        let body = [self.next.challenge(1).0, self.next.challenge(0).hash()].concat();
        link.send(channel, self.party.previous(), SEED, body)
    }

    /// From the seeds to the prover's first message.
    fn first<C: Channel>(&mut self, channel: &mut C, link: &mut Link, room: &mut Room) -> Result<Stage, ProofError> {
        let told = self.folds - 1;
        let left = link.receive(channel, self.party.previous(), SEED, (2 + told) * BYTES)?;
        let right = link.receive(channel, self.party.next(), SEED, 2 * BYTES)?;
        let (left, right) = (left.as_chunks().0, right.as_chunks().0);
        let parts = [Challenge(left[0]), Challenge(right[0])];
        if parts[0].hash() != right[1] || parts[1].hash() != left[1] {
            return Err(self.challenges_differ(link));
        }
        let lefts = [self.own.challenge(0), self.own.challenge(1)];
        let rights = [self.next.challenge(0), self.next.challenge(1)];
        let mut parts = [parts, lefts, rights].into_iter();
        let matrices = &self.tapes.borrow().matrices;
        let weights = self.plans.each_ref().map(|plan| {
            let parts = parts.next().unwrap_or(lefts);
            plan.weights(&mut challenge::weights(parts), matrices)
        });
        let proving = Proving::new(self.statement(&weights, 0), room);
        let left_checked = Checking::new(self.statement(&weights, 1), Side::Left);
        let right_checked = Checking::new(self.statement(&weights, 2), Side::Right);
        let hashes = left[2..].to_vec();
        let folding = Folding { weights, hashes, proving, left: left_checked, right: right_checked };
        self.tell_fold(channel, link, 0, Box::new(folding))
    }

    /// As prover, its message of fold `k`.
    fn tell_fold<C: Channel>(
        &mut self,
        channel: &mut C,
        link: &mut Link,
        k: usize,
        mut folding: Box<Folding>,
    ) -> Result<Stage, ProofError> {
        let (party, turns) = (self.party, Turns::new(&self.plans[0], k, self.folds));
        let Self { tapes, plans, own, next, .. } = self;
        let of = Statement { plan: &plans[0], weights: &folding.weights[0], tapes: (*tapes).borrow() };
        let mut masks = Masks { left: &mut own.left, right: &mut next.right };
        let body = folding.proving.shares(of, &turns, &mut masks);
        link.send(channel, party.next(), FOLD, body)?;
        Ok(Stage::Fold(k, folding))
    }

    /// As verifier, from the prover's message of fold `k` on; the right one tells its challenge first. After the last fold,
    /// what is left.
    fn fold<C: Channel>(
        &mut self,
        channel: &mut C,
        link: &mut Link,
        k: usize,
        mut folding: Box<Folding>,
    ) -> Result<Stage, ProofError> {
        let (previous, next) = (self.party.previous(), self.party.next());
        let [_, left_turns, right_turns] = self.turns(k);
        let received = link.receive(channel, previous, FOLD, right_turns.bytes())?;
        let is_last = k + 1 == self.folds;
        if !is_last {
            link.send(channel, previous, CHALLENGE, self.next.challenge(FOLDS + k).0.to_vec())?;
        }
        let challenges =
            [&self.own, &self.next].map(|keys| (k..self.folds).map(|k| keys.challenge(FOLDS + k)).collect::<Vec<_>>());
        let Folding { weights, left, right, .. } = &mut *folding;
        right.mask(&right_turns, &mut self.own.right);
        right.fold(self.statement(weights, 2), &right_turns, &Shares::read(&right_turns, &received), &challenges[1]);
        left.mask(&left_turns, &mut self.next.left);
        let drawn = Shares::draw(&left_turns, &mut self.next.left);
        left.fold(self.statement(weights, 1), &left_turns, &drawn, &challenges[0]);
        if !is_last {
            return Ok(Stage::Challenge(k, folding));
        }
        link.send(channel, previous, END, left.opened())?;
        link.send(channel, next, END, right.opened())?;
        Ok(Stage::End(folding))
    }

    /// As prover: what the right verifier tells is what the left one has told the hash of. On to the next fold.
    fn challenge<C: Channel>(
        &mut self,
        channel: &mut C,
        link: &mut Link,
        k: usize,
        mut folding: Box<Folding>,
    ) -> Result<Stage, ProofError> {
        let body = link.receive(channel, self.party.next(), CHALLENGE, BYTES)?;
        let told = body.first_chunk().map(|told| Challenge(*told));
        let told = told.filter(|told| folding.hashes.get(k).is_some_and(|hash| told.hash() == *hash));
        let challenge = told.ok_or_else(|| self.challenges_differ(link))?;
        let turns = Turns::new(&self.plans[0], k, self.folds);
        let Folding { weights, proving, .. } = &mut *folding;
        proving.fold(self.statement(weights, 0), &turns, challenge);
        self.tell_fold(channel, link, k + 1, folding)
    }

    /// The verifiers of an instance have told each other what is left, and both check.
    fn end<C: Channel>(&self, channel: &mut C, link: &mut Link, folding: &Folding) -> Result<(), ProofError> {
        let (previous, next) = (self.party.previous(), self.party.next());
        let Folding { left, right, .. } = folding;
        let from_right = link.receive(channel, previous, END, left.opened().len())?;
        let from_left = link.receive(channel, next, END, right.opened().len())?;
        for (checking, other, prover, verifier) in
            [(left, &from_right, next, previous), (right, &from_left, previous, next)]
        {
            if !checking.holds(other) {
                return Err(ProofError::Rejected { step: link.step(), prover, verifier });
            }
        }
        Ok(())
    }

    /// What the verifiers of this party's instance tell differs.
    const fn challenges_differ(&self, link: &Link) -> ProofError {
        ProofError::Challenge { step: link.step(), left: self.party.previous(), right: self.party.next() }
    }
}
