//! The aggregator: its core, its one vector, its journal, and the announcements that are under way.

use std::collections::BTreeSet;

use neuro_primitives::clock::Moment;
use neuro_primitives::{Hash, NodeId};
use neuro_secagg::aggregator::{Aggregator, CohortNumbers, Effect, Input, MessageRefused, Phase, SetupError};
use neuro_secagg::config::SignedConfig;
use neuro_secagg::masks::MaskJob;
use neuro_secagg::messages::EndReason;
use neuro_secagg::packing::Modulus;
use neuro_secagg::sum::Accumulator;

use crate::SimulationError;
use crate::cpu::timed;
use crate::letters::{Letter, Letters, Post};
use crate::memory::PeakMemory;
use crate::report::{PhaseReport, ServerCost};
use crate::seat::{Scene, Seats};
use crate::verify::hash_of_sum;

/// The aggregator of one cohort.
pub(crate) struct Server<'a> {
    scene: &'a Scene<'a>,
    signed: SignedConfig,
    core: Aggregator,
    now: Moment,
    wake: Option<Moment>,
    /// Kept where the aggregator starts again.
    journal: Vec<Vec<u8>>,
    restarting: bool,
    sum: Option<Accumulator>,
    added: BTreeSet<NodeId>,
    /// Announcements that nobody has taken yet.
    letters: Letters,
    taken_bytes: u64,
    memory: PeakMemory,
    cost: ServerCost,
    pub(crate) phases: Vec<PhaseReport>,
    pub(crate) numbers: Option<CohortNumbers>,
    pub(crate) expansions: usize,
    /// Two's complement of B bits; the last entry is the weight. `[entries + 1]`
    pub(crate) result: Option<Vec<i64>>,
    pub(crate) end: Option<EndReason>,
    transcript: blake3::Hasher,
}

impl<'a> Server<'a> {
    pub(crate) fn new(scene: &'a Scene<'a>) -> Result<Self, SimulationError> {
        let signed = scene.config.sign(&scene.cast.aggregator);
        let core = core(scene, &signed)?;
        Ok(Self {
            scene,
            signed,
            core,
            now: Moment::default(),
            wake: None,
            journal: Vec::new(),
            restarting: false,
            sum: None,
            added: BTreeSet::new(),
            letters: Letters::default(),
            taken_bytes: 0,
            memory: PeakMemory::new(scene.plan.park.is_some()),
            cost: ServerCost::default(),
            phases: Vec::new(),
            numbers: None,
            expansions: 0,
            result: None,
            end: None,
            transcript: blake3::Hasher::new(),
        })
    }

    /// Begins the round with everybody connected.
    pub(crate) fn start(&mut self, seats: &mut Seats) -> Result<(), SimulationError> {
        for node in seats.keys().copied().collect::<Vec<_>>() {
            self.step(Input::Connected(node), seats)?;
        }
        self.step(Input::Start, seats)
    }

    /// A member's message arrives.
    pub(crate) fn take(&mut self, from: NodeId, bytes: Vec<u8>, seats: &mut Seats) -> Result<(), SimulationError> {
        self.transcript.update(&from.0).update(&bytes);
        self.taken_bytes += bytes.len() as u64;
        if let Some(phase) = self.phases.last_mut() {
            phase.messages += 1;
        }
        self.step(Input::Message { from, bytes }, seats)
    }

    /// The next announcement that is under way.
    pub(crate) fn next_letter(&mut self) -> Option<(NodeId, Post)> {
        loop {
            let (to, letter) = self.letters.next()?;
            let post = match letter {
                Letter::Ready(post) => Some(post),
                Letter::Own => self.announcement_for(to),
            };
            if let Some(post) = post {
                self.transcript.update(&to.0).update(post.bytes());
                self.cost.message_bytes = self.cost.message_bytes.max(self.taken_bytes + post.bytes().len() as u64);
                return Some((to, post));
            }
        }
    }

    /// What the core has for `node` alone, unless the phase is over.
    fn announcement_for(&mut self, node: NodeId) -> Option<Post> {
        let mut seconds = 0.0;
        let core = &mut self.core;
        let bytes = self.memory.watch(|| timed(&mut seconds, || core.announcement_for(node)));
        self.spent(seconds);
        bytes.map(|bytes| Post::Announcement(bytes.into()))
    }

    /// Nothing is under way: time passes until the phase's deadline.
    pub(crate) fn wait(&mut self, seats: &mut Seats) -> Result<(), SimulationError> {
        let wake = self.wake.take().filter(|wake| *wake > self.now);
        self.now = wake.ok_or_else(|| SimulationError::StandsStill { phase: self.core.view().phase })?;
        self.step(Input::Tick, seats)
    }

    /// The hash over everything that was said.
    pub(crate) fn transcript(&self) -> Hash {
        Hash(*self.transcript.finalize().as_bytes())
    }

    /// α of the configuration.
    pub(crate) fn alpha(&self) -> f64 {
        self.core.view().alpha
    }

    /// Whose vectors the sum holds, if there is one.
    pub(crate) fn survivors(&self, seats: &Seats) -> Vec<u32> {
        let added = self.added.iter().filter(|_| self.result.is_some());
        added.map(|node| number(*node, seats)).collect()
    }

    /// What it cost.
    pub(crate) fn cost(self) -> ServerCost {
        ServerCost { resident_bytes: self.memory.bytes(), ..self.cost }
    }

    /// One input through the core, and its effects in order.
    fn step(&mut self, input: Input, seats: &mut Seats) -> Result<(), SimulationError> {
        let mut seconds = 0.0;
        let (core, now) = (&mut self.core, self.now);
        let effects = self.memory.watch(|| timed(&mut seconds, || core.step(now, input)));
        self.spent(seconds);
        let begins = effects.iter().any(|effect| matches!(effect, Effect::WakeAt(_) | Effect::Unmask { .. }));
        if begins {
            self.note_phase();
        }
        for effect in effects {
            self.carry_out(effect, seats)?;
        }
        if begins && self.scene.plan.restarts.aggregator && !self.restarting && self.end.is_none() {
            self.restart(seats)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect, seats: &mut Seats) -> Result<(), SimulationError> {
        match effect {
            Effect::Journal(entry) if self.scene.plan.restarts.aggregator => self.journal.push(entry),
            Effect::Configure { to, config } => self.letters.post(to, &config, Post::Config),
            Effect::Announce { to, bytes } => self.letters.post(to, &bytes, Post::Announcement),
            Effect::AnnounceEach { to } => self.letters.post_own(to),
            Effect::Tell { to, bytes } => self.letters.post(vec![to], &bytes.into(), Post::Announcement),
            Effect::OpenUpload { of, payload, bytes } => self.receive_payload(of, payload, bytes, seats)?,
            Effect::Subtract(node) if self.added.remove(&node) => self.subtract(node, seats)?,
            Effect::Unmask { jobs } if self.end.is_none() => self.unmask(&jobs, seats)?,
            Effect::Blame(evidence) => {
                return Err(SimulationError::Blamed { evidence: format!("{evidence:?}") });
            }
            Effect::Refuse { from, why } => self.refused(from, &why, seats)?,
            Effect::WakeAt(moment) => self.wake = Some(moment),
            Effect::End(reason) => self.end = Some(reason),
            // Payloads are added when they arrive, since nobody keeps them.
            Effect::Add(_) | Effect::Subtract(_) | Effect::Unmask { .. } | Effect::Journal(_) => {}
        }
        Ok(())
    }

    /// CPU seconds in the core.
    fn spent(&mut self, seconds: f64) {
        self.cost.protocol_s += seconds;
        if let Some(phase) = self.phases.last_mut() {
            phase.server_s += seconds;
        }
    }

    /// A whole payload at once. The core says [`Effect::Add`] when it counts, which it always does here: the payload is
    /// that of the statement.
    fn receive_payload(
        &mut self,
        of: NodeId,
        payload: Hash,
        bytes: u64,
        seats: &mut Seats,
    ) -> Result<(), SimulationError> {
        if !self.added.contains(&of) {
            let packed = self.fetch(of, payload, seats)?;
            let modulus = self.modulus()?;
            let entries = self.scene.config.vector_entries as usize;
            let (sum, seconds) = (&mut self.sum, &mut self.cost.adding_s);
            let is_stated = self.memory.watch(|| {
                timed(seconds, || {
                    let sum = sum.get_or_insert_with(|| Accumulator::new(entries, modulus));
                    let is_stated = sum.add_and_hash(&packed)? == payload;
                    if is_stated { Ok(true) } else { sum.subtract(&packed).map(|()| false) }
                })
            })?;
            if !is_stated {
                return Err(self.no_payload(of, payload, seats));
            }
            self.note_vectors(packed.len());
            self.added.insert(of);
        }
        self.step(Input::UploadComplete { from: of, payload, bytes }, seats)
    }

    /// Takes back a payload that was added.
    fn subtract(&mut self, node: NodeId, seats: &mut Seats) -> Result<(), SimulationError> {
        let payload = seats.get(&node).and_then(|seat| seat.stated);
        let payload = payload.ok_or_else(|| self.no_payload(node, Hash([0; 32]), seats))?;
        let packed = self.fetch(node, payload, seats)?;
        match &mut self.sum {
            Some(sum) => Ok(timed(&mut self.cost.adding_s, || sum.subtract(&packed))?),
            None => Ok(()),
        }
    }

    /// Section 9.3: removes the masks, reads the sum, and says so.
    fn unmask(&mut self, jobs: &[MaskJob], seats: &mut Seats) -> Result<(), SimulationError> {
        // A restarted core asks again; the sum is there then.
        if let Some(mut sum) = self.sum.take() {
            let (threads, cost) = (self.scene.plan.threads, &mut self.cost);
            self.expansions = jobs.len();
            let entries = sum.entries() as u64;
            let result = self.memory.watch(|| {
                timed(&mut cost.unmasking_s, || sum.unmask(jobs, threads));
                timed(&mut cost.finishing_s, || sum.finish())
            });
            self.note_vectors(8 * entries as usize);
            self.result = Some(result);
        }
        let Some(result) = &self.result else { return Ok(()) };
        let seconds = &mut self.cost.finishing_s;
        let sum = self.memory.watch(|| timed(seconds, || hash_of_sum(result)));
        let weight = result.last().map_or(0, |weight| weight.unsigned_abs());
        let epsilon = self.epsilon();
        self.step(Input::Unmasked { sum, weight, epsilon }, seats)
    }

    /// What the release costs; infinite without noise.
    fn epsilon(&self) -> f64 {
        let (Some(private), Some(numbers)) = (self.scene.updates.private(), &self.numbers) else {
            return f64::INFINITY;
        };
        private.epsilon(&self.scene.config, numbers.n, self.scene.honest_at_least(numbers.n))
    }

    /// A message may come too late; anything else is not to happen among honest parties.
    fn refused(&self, from: NodeId, why: &MessageRefused, seats: &Seats) -> Result<(), SimulationError> {
        match why {
            _ if self.end.is_some() => Ok(()),
            MessageRefused::Late { .. } | MessageRefused::Phase { .. } | MessageRefused::LeftOut { .. } => Ok(()),
            why => Err(SimulationError::MessageRefused { participant: number(from, seats), why: why.to_string() }),
        }
    }

    /// The process dies; what it journalled goes through a new core, which goes on.
    fn restart(&mut self, seats: &mut Seats) -> Result<(), SimulationError> {
        self.core = core(self.scene, &self.signed)?.replayed(self.journal.clone().into_iter())?;
        self.restarting = true;
        self.step(Input::Start, seats)?;
        self.restarting = false;
        Ok(())
    }

    fn note_phase(&mut self) {
        let view = self.core.view();
        self.numbers = view.numbers.or(self.numbers);
        let phase = format!("{:?}", view.phase);
        let is_new = self.phases.last().is_none_or(|last| (&last.phase, last.attempt) != (&phase, view.attempt));
        if is_new && view.phase != Phase::Ended {
            self.phases.push(PhaseReport { phase, attempt: view.attempt, messages: 0, server_s: 0.0 });
        }
    }

    /// The sum and `beside` it.
    fn note_vectors(&mut self, beside: usize) {
        let word = if self.numbers.is_none_or(|numbers| numbers.modulus_bits <= 32) { 4 } else { 8 };
        let sum = u64::from(self.scene.config.vector_entries) * word;
        self.cost.vector_bytes = self.cost.vector_bytes.max(sum + beside as u64);
    }

    /// Members of the announced cohort.
    pub(crate) fn n(&self) -> u16 {
        self.numbers.map_or(0, |numbers| numbers.n)
    }

    pub(crate) fn modulus(&self) -> Result<Modulus, SimulationError> {
        Ok(Modulus::new(self.numbers.map_or(0, |numbers| numbers.modulus_bits))?)
    }

    fn fetch(&self, of: NodeId, payload: Hash, seats: &mut Seats) -> Result<Vec<u8>, SimulationError> {
        match seats.get_mut(&of) {
            Some(seat) => seat.payload(self.scene, payload),
            None => Err(self.no_payload(of, payload, seats)),
        }
    }

    fn no_payload(&self, of: NodeId, expected: Hash, seats: &Seats) -> SimulationError {
        SimulationError::NoPayload { participant: number(of, seats), expected }
    }
}

/// A new core.
fn core(scene: &Scene<'_>, signed: &SignedConfig) -> Result<Aggregator, SetupError> {
    let (signed, registry, key) = (signed.clone(), scene.cast.registry.clone(), scene.cast.aggregator.clone());
    match scene.updates.private() {
        Some(private) => Aggregator::with_modulus(signed, registry, key, private.modulus_rule()),
        None => Aggregator::new(signed, registry, key),
    }
}

fn number(node: NodeId, seats: &Seats) -> u32 {
    seats.get(&node).map_or(u32::MAX, |seat| seat.number)
}
