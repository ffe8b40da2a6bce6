//! A member: its participant, its disk and its vector.

use std::collections::HashSet;
use std::sync::Arc;

use neuro_primitives::{Hash, NodeId, NodeKey, Untrusted};
use neuro_secagg::config::SignedConfig;
use neuro_secagg::floors::{Floors, Past};
use neuro_secagg::kdf::RoundSecret;
use neuro_secagg::masks::{self, Lanes, MaskJob};
use neuro_secagg::packing::{self, Modulus};
use neuro_secagg::participant::{ModulusRule, PartEffect, PartEnd, PartInput, Participant, Record, Release};
use neuro_secagg::quantise::{Grid, quantise};
use neuro_secagg::roster::Roster;

use super::Mail;
use super::plan::Plan;

pub struct Person {
    pub key: NodeKey,
    pub floors: Floors,
    pub past: Past,
    /// The rule that it has for the modulus of private mode.
    pub private: Option<ModulusRule>,
    pub verifies_on_receipt: bool,
    pub secret: [u8; 32],
    pub participant: Option<Participant>,
    /// The record as it lies on disk.
    pub record: Option<Vec<u8>>,
    /// The quantised vector with its weight, `[entries + 1]`.
    pub vector: Vec<i64>,
    /// The payload as it lies on disk.
    pub payload: Option<Vec<u8>>,
    /// Every message that left, in order.
    pub sent: Vec<Vec<u8>>,
    pub charged: Vec<Release>,
    /// Every announcement that came.
    pub seen: HashSet<Vec<u8>>,
    pub end: Option<PartEnd>,
    /// Does not finish its training.
    pub trains: bool,
}

impl Person {
    pub fn new(plan: &Plan, at: usize, key: NodeKey) -> Self {
        let weight = 1 + (at as u32 * 37) % plan.weight_cap;
        let value = |entry: u32| ((entry * 31 + at as u32 * 17) % 241) as f32 / 200.0 - 0.6;
        let values: Vec<f32> = (0..plan.entries).map(value).collect();
        let mut words = vec![0_u64; values.len()];
        let grid = Grid::new(9, 425.0).expect("a grid");
        quantise(&values, weight, grid, Lanes::Wide(&mut words)).expect("finite");
        let mut vector: Vec<i64> = words.iter().map(|word| word.cast_signed()).collect();
        vector.push(weight.into());
        Self {
            secret: Hash::of(&key.node_id().0).0,
            key,
            floors: plan.floors(),
            past: plan.past(),
            private: plan.private,
            verifies_on_receipt: plan.verifies_on_receipt,
            participant: None,
            record: None,
            vector,
            payload: None,
            sent: Vec::new(),
            charged: Vec::new(),
            seen: HashSet::new(),
            end: None,
            trains: true,
        }
    }

    pub fn id(&self) -> NodeId {
        self.key.node_id()
    }

    pub fn join(&mut self, config: Untrusted<SignedConfig>, registry: Arc<Roster>) -> Vec<Mail> {
        if self.participant.is_some() || self.end.is_some() {
            return Vec::new();
        }
        let secret = RoundSecret::from_bytes(self.secret);
        match Participant::join(config, registry, &self.floors, &self.past, self.key.clone(), secret) {
            Ok((participant, effects)) => {
                self.seat(participant);
                self.carry_out(effects)
            }
            Err(refused) => {
                self.end = Some(PartEnd::Refused(refused));
                Vec::new()
            }
        }
    }

    fn seat(&mut self, mut participant: Participant) {
        participant.verify_on_receipt(self.verifies_on_receipt);
        if let Some(rule) = self.private {
            participant.check_modulus_by(rule);
        }
        self.participant = Some(participant);
    }

    pub fn receive(&mut self, bytes: Vec<u8>) -> Vec<Mail> {
        self.step(PartInput::Message(bytes))
    }

    pub fn step(&mut self, input: PartInput) -> Vec<Mail> {
        let Some(participant) = &mut self.participant else { return Vec::new() };
        let effects = participant.step(input);
        self.carry_out(effects)
    }

    /// The process dies and starts again from what is on disk.
    pub fn crash(&mut self, registry: Arc<Roster>) -> Vec<Mail> {
        let Some(bytes) = self.record.clone() else { return Vec::new() };
        let record = Record::decode(&bytes).expect("a record");
        assert_eq!(record.encode().to_vec(), bytes, "a record has one form");
        let (participant, effects) = Participant::resume(record, registry, self.key.clone()).expect("its own record");
        self.seat(participant);
        self.carry_out(effects)
    }

    pub fn carry_out(&mut self, effects: Vec<PartEffect>) -> Vec<Mail> {
        let mut mail = Vec::new();
        for effect in effects {
            match effect {
                PartEffect::Store(record) => self.record = Some(record.encode().to_vec()),
                PartEffect::Send(bytes) => {
                    self.sent.push(bytes.clone());
                    mail.push(Mail::ToServer { from: self.id(), bytes });
                }
                PartEffect::Mask { jobs, modulus, .. } => {
                    if self.trains {
                        mail.extend(self.mask(&jobs, modulus));
                    }
                }
                PartEffect::Upload { payload } => {
                    let stored = self.payload.as_ref().expect("stored before the statement");
                    assert_eq!(Hash::of(stored), payload);
                    mail.push(Mail::Payload { from: self.id() });
                }
                PartEffect::Charge(release) => {
                    if !self.charged.contains(&release) {
                        self.charged.push(release);
                    }
                }
                PartEffect::Wipe => (self.record, self.payload) = (None, None),
                PartEffect::End(end) => {
                    self.participant = None;
                    self.end = Some(end);
                }
            }
        }
        mail
    }

    fn mask(&mut self, jobs: &[MaskJob], modulus: Modulus) -> Vec<Mail> {
        let packed = masked(&self.vector, jobs, modulus);
        let input = PartInput::Payload { hash: Hash::of(&packed), bytes: packed.len() as u64 };
        self.payload = Some(packed);
        self.step(input)
    }
}

/// The vector with all masks, packed.
pub fn masked(vector: &[i64], jobs: &[MaskJob], modulus: Modulus) -> Vec<u8> {
    let mut packed = Vec::new();
    if modulus.is_narrow() {
        let mut words: Vec<u32> = vector.iter().map(|value| *value as u32).collect();
        masks::apply(Lanes::Narrow(&mut words), 0, jobs);
        packing::pack(Lanes::Narrow(&mut words), modulus, &mut packed);
    } else {
        let mut words: Vec<u64> = vector.iter().map(|value| value.cast_unsigned()).collect();
        masks::apply(Lanes::Wide(&mut words), 0, jobs);
        packing::pack(Lanes::Wide(&mut words), modulus, &mut packed);
    }
    packed
}
