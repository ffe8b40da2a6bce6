//! One participant: its core, and what it makes of the core's effects.

use std::sync::Arc;

use neuro_primitives::{Hash, NodeId, NodeKey};
use neuro_secagg::config::{RoundConfig, SignedConfig};
use neuro_secagg::floors::Past;
use neuro_secagg::masks::{self, Lanes, MaskJob};
use neuro_secagg::messages::OutCause;
use neuro_secagg::packing::{self, Modulus};
use neuro_secagg::participant::{OutOfRound, PartEffect, PartEnd, PartInput, Participant, Record};
use neuro_secagg::quantise::{Grid, quantise};

use crate::cast::{Cast, NOW, floors};
use crate::cpu::timed;
use crate::parking::Parked;
use crate::report::{Bytes, ParticipantCost};
use crate::{Commitments, SimulationError, SimulationPlan, Updates};

/// What all participants of a cohort see.
pub(crate) struct Scene<'a> {
    pub(crate) plan: &'a SimulationPlan,
    pub(crate) cast: &'a Cast,
    pub(crate) updates: &'a dyn Updates,
    pub(crate) config: RoundConfig,
}

/// What reaches a participant.
pub(crate) enum Post {
    /// The signed configuration.
    Config(Arc<[u8]>),
    /// Any later announcement.
    Announcement(Arc<[u8]>),
}

impl Post {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Config(bytes) | Self::Announcement(bytes) => bytes,
        }
    }

    /// Bytes that this letter alone keeps in memory: none if others share them.
    pub(crate) fn held_bytes(&self) -> u64 {
        match self {
            Self::Announcement(bytes) if is_for_one(bytes) => bytes.len() as u64,
            _ => 0,
        }
    }
}

/// The place of one participant.
pub(crate) struct Seat {
    pub(crate) number: u32,
    /// From which message on it sends nothing.
    lost_from: Option<u8>,
    state: State,
    /// The newest stored record, if it is to be gone on from.
    record: Option<Box<Record>>,
    /// Masks and modulus of the payload, which make it again.
    masks: Option<(Vec<MaskJob>, Modulus)>,
    /// The payload until it is uploaded.
    fresh: Option<Vec<u8>>,
    /// The payload's hash.
    pub(crate) stated: Option<Hash>,
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
    pub(crate) fn new(number: u32, lost_from: Option<u8>) -> Self {
        Self {
            number,
            lost_from,
            state: State::Away,
            record: None,
            masks: None,
            fresh: None,
            stated: None,
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
            (None, Some((jobs, modulus))) => {
                let mut unmeasured = 0.0;
                masked(scene, self.number, jobs, *modulus, &mut unmeasured)?
            }
            (None, None) => return Err(missing),
        };
        if Hash::of(&payload) == expected { Ok(payload) } else { Err(missing) }
    }

    /// Whether the plan loses it somewhere.
    pub(crate) const fn is_lost(&self) -> bool {
        self.lost_from.is_some()
    }

    fn join(&mut self, scene: &Scene<'_>, bytes: &[u8], sent: &mut Vec<Vec<u8>>) -> Result<(), SimulationError> {
        let (cast, number) = (scene.cast, self.number);
        let config = SignedConfig::decode(bytes).map_err(crate::PlanError::from)?;
        let (key, secret) = (cast.key(number).clone(), cast.secret(number));
        let registry = cast.registry.clone();
        let joined = timed(&mut self.cost.protocol_s, || {
            Participant::join(config, registry, &floors(), &Past::none(NOW), key, secret)
        });
        let (participant, effects) = joined.map_err(|why| SimulationError::DidNotJoin { participant: number, why })?;
        self.go_on(scene, Box::new(participant), effects, sent)
    }

    fn resume(&self, scene: &Scene<'_>, parked: &Parked) -> Result<Box<Participant>, SimulationError> {
        let key: NodeKey = scene.cast.key(self.number).clone();
        let resumed = Participant::resume(parked.load()?, scene.cast.registry.clone(), key);
        // What it sent last arrived.
        let (participant, _sent_again) =
            resumed.map_err(|why| SimulationError::Resume { participant: self.number, why })?;
        Ok(Box::new(participant))
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
                PartEffect::Mask { jobs, modulus, .. } => {
                    let input = self.mask(scene, jobs, modulus)?;
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
    fn mask(&mut self, scene: &Scene<'_>, jobs: Vec<MaskJob>, modulus: Modulus) -> Result<PartInput, SimulationError> {
        let payload = masked(scene, self.number, &jobs, modulus, &mut self.cost.masking_s)?;
        let hash = timed(&mut self.cost.masking_s, || Hash::of(&payload));
        let bytes = payload.len() as u64;
        self.bytes.up("payload", payload.len());
        self.fresh = Some(payload);
        self.stated = Some(hash);
        self.masks = Some((jobs, modulus));
        Ok(PartInput::Payload { hash, bytes })
    }

    fn is_lost_at(&self, kind: Option<&u8>) -> bool {
        self.lost_from.is_some_and(|lost| kind.is_some_and(|kind| *kind >= lost && *kind < HAVE))
    }

    fn ended(&self, end: PartEnd) -> Result<(), SimulationError> {
        match end {
            PartEnd::Round(_) => Ok(()),
            // Its neighbours were lost.
            PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::FewNeighbours)) => Ok(()),
            end => Err(SimulationError::Left { participant: self.number, end }),
        }
    }
}

/// The number of an upload statement.
const UPLOAD: u8 = 5;
/// The number of the message that says what a participant has.
const HAVE: u8 = 8;

/// Whether participants go on from their records.
fn is_parked(plan: &SimulationPlan) -> bool {
    plan.restarts.participants || plan.park.is_some()
}

/// The participant's update as a payload. Making the update is training and is not counted.
fn masked(
    scene: &Scene<'_>,
    participant: u32,
    jobs: &[MaskJob],
    modulus: Modulus,
    seconds: &mut f64,
) -> Result<Vec<u8>, SimulationError> {
    let (plan, weight) = (scene.plan, scene.updates.weight(participant));
    let mut values = vec![0.0; plan.entries as usize];
    scene.updates.fill(participant, 0, &mut values);
    let grid = Grid::new(plan.value_bits, plan.scale);
    let payload = grid.and_then(|grid| {
        timed(seconds, || {
            if modulus.is_narrow() {
                let mut words = vec![0_u32; values.len() + 1];
                words[values.len()] = weight;
                packed(Lanes::Narrow(&mut words), &values, weight, grid, jobs, modulus)
            } else {
                let mut words = vec![0_u64; values.len() + 1];
                words[values.len()] = weight.into();
                packed(Lanes::Wide(&mut words), &values, weight, grid, jobs, modulus)
            }
        })
    });
    payload.map_err(|source| SimulationError::Quantise { participant, source })
}

/// Quantised, masked, packed. `lanes`: the values' entries, then the weight.
fn packed(
    mut lanes: Lanes<'_>,
    values: &[f32],
    weight: u32,
    grid: Grid,
    jobs: &[MaskJob],
    modulus: Modulus,
) -> Result<Vec<u8>, neuro_secagg::quantise::QuantiseError> {
    quantise(values, weight, grid, lanes.part(0..values.len()))?;
    masks::apply(lanes.reborrow(), 0, jobs);
    let mut payload = Vec::new();
    packing::pack(lanes, modulus, &mut payload);
    Ok(payload)
}

/// The name of a participant's message, by its number.
pub(crate) fn message_name(bytes: &[u8]) -> &'static str {
    const NAMES: [&str; 9] = ["", "join", "reveal", "shares", "received", "upload", "vote", "answer", "have"];
    bytes.first().and_then(|kind| NAMES.get(usize::from(*kind))).copied().unwrap_or_default()
}

/// Whether an announcement is for one member: an inbox, or the survivors with its neighbours' statements.
fn is_for_one(bytes: &[u8]) -> bool {
    matches!(announcement_name(bytes), "inbox" | "survivors")
}

/// The name of an announcement, by its number.
fn announcement_name(bytes: &[u8]) -> &'static str {
    const NAMES: [&str; 9] = ["", "cohort", "nonces", "inbox", "sharers", "survivors", "certificate", "end", "restart"];
    bytes.first().and_then(|kind| NAMES.get(usize::from(*kind))).copied().unwrap_or_default()
}

/// Where everybody sits.
pub(crate) type Seats = std::collections::BTreeMap<NodeId, Seat>;
