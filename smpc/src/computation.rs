//! A party at work: its steps, its messages, and what must be true before anything is revealed.

use crate::channel::{Channel, Message, Nobody};
use crate::error::SmpcError;
use crate::party::PartyId;
use crate::proof::{self, Coins, CoinsError, Proof};
use crate::prss::Prss;
use crate::rehearsal::Rehearsal;
use crate::ring::packing::{pack, packed_len, unpack};
use crate::share::{NEXT, OWN, Shares};
use crate::supply::Supply;
use crate::tape::Tapes;

/// Words that wait until their proof begins, and those of one step more: 64 MiB. Proofs share the rounds of the program, so
/// there may be many.
const TAPE_WORDS: usize = 1 << 23;

/// Words that proofs under way still read, and those of one tape more: 256 MiB. What is more waits for the proofs.
const PROVING_WORDS: usize = 1 << 25;

/// What the parties are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Nobody deviates. Products are not proved, and masks are known to one party: for comparison only.
    SemiHonest,
    /// One party may do anything and is found out before a result is revealed.
    Malicious,
}

/// One party's side of a computation.
///
/// Steps are numbered as the program goes, so they have the same number at all parties; a number is used once, for
/// randomness and for messages.
pub struct Computation<C> {
    /// What a rehearsal counts; none where parties compute.
    rehearsal: Option<Rehearsal>,
    party: PartyId,
    link: C,
    prss: Prss,
    pub(crate) security: Security,
    step: u64,
    /// What waits for its proof.
    pub(crate) tapes: Tapes,
    /// See [`TAPE_WORDS`].
    pub(crate) tape_words: usize,
    /// Products that were begun: their relations are not complete.
    pub(crate) pending: usize,
    pub(crate) openings: Openings,
    /// Masks made beforehand.
    pub(crate) supply: Supply,
    /// Proofs under way, the oldest first. They go on whenever a round of the program is over.
    proofs: Vec<Proof<Tapes>>,
    /// Tapes that were read: their room stays, because touching fresh pages costs as much as the products.
    spare: Vec<Tapes>,
    /// What proofs are made in.
    room: proof::Room,
}

impl Computation<Nobody> {
    /// A computation without anybody else, on zeros: for what it would take. See [`Rehearsal`].
    pub(crate) fn rehearsing(party: PartyId, security: Security, rehearsal: Rehearsal) -> Self {
        let prss = Prss::new(&[0; 32], &[0; 32]);
        Self { rehearsal: Some(rehearsal), ..Self::new(party, Nobody, prss, security) }
    }

    /// What was counted.
    pub(crate) fn counted(self) -> (Rehearsal, Supply) {
        (self.rehearsal.unwrap_or_default(), self.supply)
    }
}

/// Number and name of one step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    number: u64,
    name: &'static str,
}

impl Step {
    /// What the step is called.
    pub(crate) const fn name(self) -> &'static str {
        self.name
    }
}

/// A computation of which everything so far is proved. While it is held, nothing more is computed.
pub struct Verified<'a, C> {
    computation: &'a mut Computation<C>,
}

impl<C: Channel> Verified<'_, C> {
    /// This party's shares of a result, for whoever may have it: two parties' shares of each component must agree.
    #[must_use]
    pub fn release(&self, x: Shares) -> [Vec<u64>; 2] {
        x.parts
    }

    /// Tells all parties x, `[n]`. Each gets the component that it lacks from both others.
    ///
    /// # Errors
    /// A peer that is gone; components that differ.
    pub fn open(&mut self, x: &Shares) -> Result<Vec<u64>, SmpcError> {
        self.open_signed(x, 64)
    }

    /// As [`Self::open`], of numbers over Z_2^bits from -2^(bits-1) on.
    ///
    /// # Errors
    /// A peer that is gone; components that differ.
    pub fn open_signed(&mut self, x: &Shares, bits: u32) -> Result<Vec<u64>, SmpcError> {
        let computation = &mut *self.computation;
        let (next, previous) = (computation.party.next(), computation.party.previous());
        let step = computation.begin("open");
        computation.send_values(step, previous, &x.parts[NEXT], bits)?;
        computation.send_values(step, next, &x.parts[OWN], bits)?;
        let (missing, _) = computation.receive_values(step, next, x.len(), bits)?;
        let (same, _) = computation.receive_values(step, previous, x.len(), bits)?;
        if missing != same {
            return Err(computation.openings_differ(step));
        }
        let lift = 64 - bits;
        let sum = |((own, next), missing): ((&u64, &u64), &u64)| {
            ((own.wrapping_add(*next).wrapping_add(*missing) << lift) as i64 >> lift) as u64
        };
        Ok(x.parts[OWN].iter().zip(&x.parts[NEXT]).zip(&missing).map(sum).collect())
    }
}

/// The generator as the proof draws from it.
struct Common<'a>(&'a mut Prss);

impl Coins for Common<'_> {
    fn draw(&mut self, step: u64, own: &mut [u64], next: &mut [u64]) -> Result<(), CoinsError> {
        self.0.fill(step, own, next).map_err(|_| CoinsError { step })
    }
}

/// Running digests of what was opened. Every opened component was sent by one party and is known to, or was also sent to,
/// another one; those two compare digests before anything is revealed.
#[derive(Default)]
pub(crate) struct Openings {
    /// Components i of what was opened: for P_{i+1}, who got them from P_{i-1}.
    pub(crate) known: blake3::Hasher,
    /// Components i-1, as they came from P_{i+1}.
    pub(crate) received: blake3::Hasher,
    /// What P_{i+1} told everybody.
    pub(crate) told_by_next: blake3::Hasher,
    /// What P_{i-1} told everybody.
    pub(crate) told_by_previous: blake3::Hasher,
}

impl<C: Channel> Computation<C> {
    /// Begins at step 0.
    #[must_use]
    pub fn new(party: PartyId, link: C, prss: Prss, security: Security) -> Self {
        let (tapes, openings, supply) = Default::default();
        let (proofs, spare, room) = Default::default();
        let tape_words = TAPE_WORDS;
        Self {
            rehearsal: None,
            party,
            link,
            prss,
            security,
            step: 0,
            tapes,
            tape_words,
            pending: 0,
            openings,
            supply,
            proofs,
            spare,
            room,
        }
    }

    /// What a rehearsal counts, where this is one.
    pub(crate) const fn rehearsal(&mut self) -> Option<&mut Rehearsal> {
        self.rehearsal.as_mut()
    }

    /// Who this is.
    #[must_use]
    pub const fn party(&self) -> PartyId {
        self.party
    }

    /// What the parties are held to.
    #[must_use]
    pub const fn is_malicious(&self) -> bool {
        matches!(self.security, Security::Malicious)
    }

    /// Whether products are written down to be proved.
    pub(crate) const fn records(&self) -> bool {
        self.is_malicious() && self.rehearsal.is_none()
    }

    /// The links.
    pub const fn link(&mut self) -> &mut C {
        &mut self.link
    }

    /// The next step of the program.
    pub(crate) const fn begin(&mut self, name: &'static str) -> Step {
        self.step += 1;
        Step { number: self.step, name }
    }

    /// Randomness of `step`: `[n]` at components i and i+1, uniform, and unknown to P_{i+1} and P_{i-1} respectively.
    pub(crate) fn random(&mut self, step: Step, n: usize) -> Result<[Vec<u64>; 2], SmpcError> {
        Ok(self.prss.words(step.number, n)?)
    }

    /// As [`Self::random`], so many at each of the two: who does not need a component draws nothing of it.
    pub(crate) fn random_parts(&mut self, step: Step, lengths: [usize; 2]) -> Result<[Vec<u64>; 2], SmpcError> {
        let mut parts = lengths.map(|n| vec![0; n]);
        let [own, next] = &mut parts;
        self.prss.fill(step.number, own, next)?;
        Ok(parts)
    }

    /// Sends `body` as the message of `step`.
    pub(crate) fn send(&mut self, step: Step, to: PartyId, body: Vec<u8>) -> Result<(), SmpcError> {
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.sends(body.len());
            return Ok(());
        }
        Ok(self.link.send(to, Message { step: step.number, part: 0, name: step.name, body })?)
    }

    /// The message of `step` from `from`, of `length` bytes.
    pub(crate) fn receive(&mut self, step: Step, from: PartyId, length: usize) -> Result<Vec<u8>, SmpcError> {
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.receives();
            return Ok(vec![0; length]);
        }
        for proof in &mut self.proofs {
            proof.hear(&mut self.link, from)?;
        }
        let Message { step: got, part, body, .. } = self.link.receive(from)?;
        let name = step.name;
        if (got, part) != (step.number, 0) {
            return Err(SmpcError::OutOfStep { peer: from, name, expected: step.number, got, part });
        }
        if body.len() != length {
            return Err(SmpcError::Length { peer: from, name, expected: length, got: body.len() });
        }
        Ok(body)
    }

    /// `values` over Z_2^bits as the message of `step`.
    pub(crate) fn send_values(&mut self, step: Step, to: PartyId, values: &[u64], bits: u32) -> Result<(), SmpcError> {
        self.send(step, to, pack(values, bits))
    }

    /// The message of `step` from `from`: `[n]` over Z_2^bits, and its bytes.
    pub(crate) fn receive_values(
        &mut self,
        step: Step,
        from: PartyId,
        n: usize,
        bits: u32,
    ) -> Result<(Vec<u64>, Vec<u8>), SmpcError> {
        let body = self.receive(step, from, packed_len(bits, n))?;
        let values =
            unpack(&body, bits, n).map_err(|source| SmpcError::Unpack { peer: from, name: step.name, source })?;
        Ok((values, body))
    }

    /// Proves what this party multiplied and checks what the others did, and compares what was opened. Only what comes out
    /// of this may be revealed.
    ///
    /// # Errors
    /// A proof that fails, openings that differ: the session is over.
    pub fn verify(&mut self) -> Result<Verified<'_, C>, SmpcError> {
        if self.is_malicious() {
            self.begin_proof()?;
            while !self.proofs.is_empty() {
                self.advance_proofs()?;
            }
            self.compare_openings()?;
        }
        Ok(Verified { computation: self })
    }

    /// At the end of a round: goes on with the proofs under way, so that their messages share the rounds of the program.
    /// Begins one if much waits for it: all parties hold equally much, so all do it at the same step.
    pub(crate) fn prove_if_many(&mut self) -> Result<(), SmpcError> {
        self.advance_proofs()?;
        if self.pending > 0 || self.tapes.words() < self.tape_words {
            return Ok(());
        }
        self.begin_proof()?;
        while self.proofs.iter().map(Proof::words).sum::<usize>() >= PROVING_WORDS {
            self.advance_proofs()?;
        }
        Ok(())
    }

    /// Begins to prove all that waits.
    fn begin_proof(&mut self) -> Result<(), SmpcError> {
        let step = self.begin("proof");
        let tapes = std::mem::replace(&mut self.tapes, self.spare.pop().unwrap_or_default());
        let coins = &mut Common(&mut self.prss);
        self.proofs.push(Proof::begin(self.party, tapes, &mut self.link, coins, step.number)?);
        Ok(())
    }

    fn advance_proofs(&mut self) -> Result<(), SmpcError> {
        for proof in &mut self.proofs {
            proof.advance(&mut self.link, &mut self.room)?;
            if let Some(mut tapes) = proof.take_tapes() {
                tapes.clear();
                self.spare.push(tapes);
            }
        }
        self.proofs.retain(|proof| !proof.is_over());
        Ok(())
    }

    /// Compares with both peers what was opened since the last time.
    fn compare_openings(&mut self) -> Result<(), SmpcError> {
        if !self.is_malicious() {
            return Ok(());
        }
        let Openings { known, received, told_by_next, told_by_previous } = std::mem::take(&mut self.openings);
        let digest = |hasher: blake3::Hasher| *hasher.finalize().as_bytes();
        let (next, previous) = (self.party.next(), self.party.previous());
        let step = self.begin("compare openings");
        // What P_{i+1} told this party, it also told P_{i-1}; what P_{i-1} told, it also told P_{i+1}. Whoever compares is
        // compared with: a lie to one of the two would otherwise be unknown to the other, which then went on to reveal.
        let (received, told_by_next) = (digest(received), digest(told_by_next));
        let (known, told_by_previous) = (digest(known), digest(told_by_previous));
        self.send(step, next, [known, told_by_previous].concat())?;
        self.send(step, previous, [received, told_by_next].concat())?;
        let from_previous = self.receive(step, previous, 64)?;
        let from_next = self.receive(step, next, 64)?;
        if self.rehearsal.is_some() {
            return Ok(());
        }
        let is_same =
            from_previous == [received, told_by_next].concat() && from_next == [known, told_by_previous].concat();
        if is_same { Ok(()) } else { Err(self.openings_differ(step)) }
    }

    /// What the others say of one opened value differs. Whichever of the two this party compares with, what it compares came
    /// from the third.
    const fn openings_differ(&self, step: Step) -> SmpcError {
        let Step { number, name } = step;
        SmpcError::OpeningsDiffer { step: number, name, left: self.party.previous(), right: self.party.next() }
    }
}
