//! One participant: its core, and what it makes of the core's effects.

use std::sync::Arc;

use neuro_primitives::{Hash, NodeId, NodeKey};
use neuro_secagg::config::{RoundConfig, SignedConfig};
use neuro_secagg::floors::Past;
use neuro_secagg::messages::{EndReason, OutCause};
use neuro_secagg::participant::{OutOfRound, PartEffect, PartEnd, PartInput, Participant, Record, Shared};
use neuro_secagg::roster::Registry;

use crate::cast::{Cast, NOW, floors};
use crate::cpu::timed;
use crate::letters::Post;
use crate::names::{HAVE, UPLOAD, announcement_name, message_name};
use crate::parking::Parked;
use crate::payload::Masks;
use crate::report::{Bytes, ParticipantCost};
use crate::{Commitments, SimulationError, SimulationPlan, Updates};

/// What all participants of a cohort see.
pub(crate) struct Scene<'a> {
    pub(crate) plan: &'a SimulationPlan,
    pub(crate) cast: &'a Cast,
    pub(crate) updates: &'a dyn Updates,
    pub(crate) config: RoundConfig,
    /// For those who do not work alone.
    pub(crate) shared: Arc<Shared>,
}

impl Scene<'_> {
    /// n − d − c of a cohort of `n`.
    pub(crate) fn honest_at_least(&self, n: u16) -> u16 {
        let rostered = self.cast.registry.rostered(&self.config.batches);
        self.config.demand(n, rostered).honest_at_least()
    }
}

/// The place of one participant.
pub(crate) struct Seat {
    pub(crate) number: u32,
    /// From which message on it sends nothing.
    lost_from: Option<u8>,
    /// Works everything out by itself.
    is_alone: bool,
    state: State,
    /// The newest stored record, if it is to be gone on from.
    record: Option<Box<Record>>,
    /// What the payload is made again from.
    masks: Option<Masks>,
    /// The payload until it is uploaded.
    fresh: Option<Vec<u8>>,
    /// The payload's hash.
    pub(crate) stated: Option<Hash>,
    /// ε, as the aggregator said in the end.
    pub(crate) told_epsilon: Option<f64>,
    pub(crate) cost: ParticipantCost,
    pub(crate) bytes: Bytes,
}

enum State {
    /// Not joined.
    Away,
    Here(Box<Participant>),
    Parked(Parked),
    /// Lost, or its part is over.
    Gone,
}

impl Seat {
    pub(crate) fn new(number: u32, lost_from: Option<u8>, is_alone: bool) -> Self {
        Self {
            number,
            lost_from,
            is_alone,
            state: State::Away,
            record: None,
            masks: None,
            fresh: None,
            stated: None,
            told_epsilon: None,
            cost: ParticipantCost::default(),
            bytes: Bytes::default(),
        }
    }

    /// Takes what the aggregator sends and gives the messages that follow.
    pub(crate) fn receive(&mut self, scene: &Scene<'_>, post: &Post) -> Result<Vec<Vec<u8>>, SimulationError> {
        let mut sent = Vec::new();
        match (post, std::mem::replace(&mut self.state, State::Gone)) {
            (Post::Config(bytes), State::Away) => {
                self.bytes.down("config", bytes.len());
                self.join(scene, bytes, &mut sent)?;
            }
            (Post::Announcement(bytes), State::Here(participant)) => {
                self.announced(scene, participant, bytes, &mut sent)?;
            }
            (Post::Announcement(bytes), State::Parked(parked)) => {
                let participant = self.resume(scene, &parked)?;
                self.announced(scene, participant, bytes, &mut sent)?;
            }
            (_, state) => self.state = state,
        }
        Ok(sent)
    }

    /// The payload with this hash; made again if it is not at hand.
    pub(crate) fn payload(&mut self, scene: &Scene<'_>, expected: Hash) -> Result<Vec<u8>, SimulationError> {
        let missing = SimulationError::NoPayload { participant: self.number, expected };
        let payload = match (self.fresh.take(), &self.masks) {
            (Some(payload), _) => payload,
            (None, Some(masks)) => masks.payload(scene, self.number, &mut 0.0)?,
            (None, None) => return Err(missing),
        };
        if Hash::of(&payload) == expected { Ok(payload) } else { Err(missing) }
    }

    /// Whether its cost is that of a real participant of the whole round.
    pub(crate) const fn counts(&self) -> bool {
        self.lost_from.is_none() && self.is_alone
    }

    fn join(&mut self, scene: &Scene<'_>, bytes: &[u8], sent: &mut Vec<Vec<u8>>) -> Result<(), SimulationError> {
        let (cast, number) = (scene.cast, self.number);
        let config = SignedConfig::decode(bytes).map_err(crate::PlanError::from)?;
        let (key, secret) = (cast.key(number).clone(), cast.secret(number));
        let registry = cast.registry.clone();
        let joined = timed(&mut self.cost.protocol_s, || {
            Participant::join(config, registry, &floors(), &Past::none(NOW), key, secret)
        });
        let (mut participant, effects) =
            joined.map_err(|why| SimulationError::DidNotJoin { participant: number, why })?;
        if !self.is_alone {
            participant.share(scene.shared.clone());
        }
        self.go_on(scene, Box::new(participant), effects, sent)
    }

    /// Goes on from the record; what it sent last arrived.
    fn resume(&self, scene: &Scene<'_>, parked: &Parked) -> Result<Box<Participant>, SimulationError> {
        let key: NodeKey = scene.cast.key(self.number).clone();
        let registry = scene.cast.registry.clone();
        let resumed = if self.is_alone {
            Participant::resume(parked.load(None)?, registry, key).map(|(participant, _sent_again)| participant)
        } else {
            Participant::from_record(parked.load(Some(&scene.shared))?, registry, key, Some(scene.shared.clone()))
        };
        Ok(Box::new(resumed.map_err(|why| SimulationError::Resume { participant: self.number, why })?))
    }

    fn announced(
        &mut self,
        scene: &Scene<'_>,
        mut participant: Box<Participant>,
        bytes: &[u8],
        sent: &mut Vec<Vec<u8>>,
    ) -> Result<(), SimulationError> {
        self.bytes.down(announcement_name(bytes), bytes.len());
        participant.verify_on_receipt(scene.plan.commitments == Commitments::Verified);
        if let Some(private) = scene.updates.private() {
            participant.check_modulus_by(private.modulus_rule());
        }
        let input = PartInput::Message(bytes.to_vec());
        let effects = timed(&mut self.cost.protocol_s, || participant.step(input));
        self.go_on(scene, participant, effects, sent)
    }

    /// Carries out effects in order. The participant keeps its seat unless it is lost or its part ends.
    fn go_on(
        &mut self,
        scene: &Scene<'_>,
        mut participant: Box<Participant>,
        effects: Vec<PartEffect>,
        sent: &mut Vec<Vec<u8>>,
    ) -> Result<(), SimulationError> {
        let mut left: std::collections::VecDeque<PartEffect> = effects.into();
        while let Some(effect) = left.pop_front() {
            match effect {
                PartEffect::Store(record) if is_parked(scene.plan) => self.record = Some(record),
                PartEffect::Send(bytes) if self.is_lost_at(bytes.first()) => return Ok(()),
                PartEffect::Send(bytes) => {
                    self.bytes.up(message_name(&bytes), bytes.len());
                    sent.push(bytes);
                }
                PartEffect::Mask { .. } if self.is_lost_at(Some(&UPLOAD)) => return Ok(()),
                PartEffect::Mask { jobs, modulus, honest_at_least } => {
                    let input = self.mask(scene, Masks { jobs, modulus, honest_at_least })?;
                    left.extend(timed(&mut self.cost.protocol_s, || participant.step(input)));
                }
                PartEffect::End(end) => return self.ended(end),
                PartEffect::Store(_) | PartEffect::Upload { .. } | PartEffect::Charge(_) | PartEffect::Wipe => {}
            }
        }
        self.state = match self.record.take() {
            Some(record) => State::Parked(Parked::store(&record, scene.plan.park.as_deref(), self.number)?),
            None => State::Here(participant),
        };
        Ok(())
    }

    /// The masked payload; what the core is told of it.
    fn mask(&mut self, scene: &Scene<'_>, masks: Masks) -> Result<PartInput, SimulationError> {
        let payload = masks.payload(scene, self.number, &mut self.cost.masking_s)?;
        let hash = timed(&mut self.cost.masking_s, || Hash::of(&payload));
        let bytes = payload.len() as u64;
        self.bytes.up("payload", payload.len());
        self.fresh = Some(payload);
        self.stated = Some(hash);
        self.masks = Some(masks);
        Ok(PartInput::Payload { hash, bytes })
    }

    fn is_lost_at(&self, kind: Option<&u8>) -> bool {
        self.lost_from.is_some_and(|lost| kind.is_some_and(|kind| *kind >= lost && *kind < HAVE))
    }

    fn ended(&mut self, end: PartEnd) -> Result<(), SimulationError> {
        match end {
            PartEnd::Round(EndReason::Done { epsilon, .. }) => {
                self.told_epsilon = Some(epsilon);
                Ok(())
            }
            PartEnd::Round(_) => Ok(()),
            // Its neighbours were lost.
            PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::FewNeighbours)) => Ok(()),
            end => Err(SimulationError::Left { participant: self.number, end }),
        }
    }
}

/// Whether participants go on from their records.
fn is_parked(plan: &SimulationPlan) -> bool {
    plan.restarts.participants || plan.park.is_some()
}

/// Where everybody sits.
pub(crate) type Seats = std::collections::BTreeMap<NodeId, Seat>;
