//! The aggregator's node: its core, its journal, the payloads and the sum.

use std::collections::BTreeMap;
use std::sync::Arc;

use neuro_primitives::clock::Moment;
use neuro_primitives::{Hash, NodeId, NodeKey};
use neuro_secagg::aggregator::{
    Aggregator, CohortNumbers, Effect, Evidence, Input, MessageRefused, ModulusRule, SetupError,
};
use neuro_secagg::config::SignedConfig;
use neuro_secagg::masks::MaskJob;
use neuro_secagg::messages::EndReason;
use neuro_secagg::packing::Modulus;
use neuro_secagg::roster::Roster;
use neuro_secagg::sum::Accumulator;

use super::Mail;

pub struct Server {
    pub core: Aggregator,
    pub config: SignedConfig,
    pub roster: Arc<Roster>,
    pub key: NodeKey,
    pub private: Option<ModulusRule>,
    pub now: Moment,
    pub wake: Option<Moment>,
    /// On disk.
    pub journal: Vec<Vec<u8>>,
    /// How many entries there were when it died last.
    pub crashed_at: usize,
    /// On disk: payloads that are whole.
    pub payloads: BTreeMap<NodeId, Vec<u8>>,
    /// Whose payloads the sum holds.
    pub in_sum: Vec<NodeId>,
    pub expected_uploads: BTreeMap<NodeId, (Hash, u64)>,
    /// The unmasked sum. `[entries + 1]`
    pub result: Option<Vec<i64>>,
    /// All bytes that were announced to anybody, in order.
    pub announced: Vec<(NodeId, Vec<u8>)>,
    pub blamed: Vec<Evidence>,
    pub refused: Vec<(NodeId, MessageRefused)>,
    pub unmaskings: usize,
    /// Numbers of the cohort announced last.
    pub numbers: Option<CohortNumbers>,
    pub end: Option<EndReason>,
}

impl Server {
    pub fn new(config: SignedConfig, roster: Arc<Roster>, key: NodeKey, private: Option<ModulusRule>) -> Self {
        let core = core(&config, &roster, &key, private).expect("a round");
        Self {
            core,
            private,
            config,
            roster,
            key,
            now: Moment(5_000_000),
            wake: None,
            journal: Vec::new(),
            crashed_at: 0,
            payloads: BTreeMap::new(),
            in_sum: Vec::new(),
            expected_uploads: BTreeMap::new(),
            result: None,
            announced: Vec::new(),
            blamed: Vec::new(),
            refused: Vec::new(),
            unmaskings: 0,
            numbers: None,
            end: None,
        }
    }

    pub fn step(&mut self, input: Input) -> Vec<Mail> {
        self.now.0 += 1_000;
        let effects = self.core.step(self.now, input);
        self.numbers = self.core.view().numbers.or(self.numbers);
        self.carry_out(effects)
    }

    /// Leaves these out of the round.
    pub fn without(&mut self, nodes: &[NodeId]) {
        let core = core(&self.config, &self.roster, &self.key, self.private).expect("a round");
        self.core = core.without(nodes.iter().copied());
    }

    pub fn sleep(&mut self) {
        self.now = self.wake.expect("somebody is waited for").max(self.now);
    }

    /// The process dies and starts again from its journal; connections are made anew.
    pub fn crash(&mut self) -> Vec<Mail> {
        if self.journal.is_empty() {
            return Vec::new();
        }
        self.crashed_at = self.journal.len();
        let connected = self.roster.fields().members.clone();
        let before = self.core.view();
        let journal = self.journal.clone().into_iter();
        let core = core(&self.config, &self.roster, &self.key, self.private).expect("a round");
        self.core = core.replayed(journal).expect("a journal");
        assert_eq!(self.core.journal_entries(), self.journal.len() as u64);
        let after = self.core.view();
        assert_eq!((before.phase, before.attempt), (after.phase, after.attempt));
        assert_eq!((before.reported, before.in_sum), (after.reported, after.in_sum));
        assert_eq!((before.left_out, before.bytes_in), (after.left_out, after.bytes_in));
        for member in connected {
            let _ = self.core.step(self.now, Input::Connected(member.node));
        }
        let effects = self.core.step(self.now, Input::Start);
        self.carry_out(effects)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Vec<Mail> {
        let mut mail = Vec::new();
        for effect in effects {
            match effect {
                Effect::Journal(entry) => self.journal.push(entry),
                Effect::Configure { to, .. } => mail.extend(to.into_iter().map(|to| Mail::Config { to })),
                Effect::Announce { to, bytes } => {
                    mail.extend(to.into_iter().map(|to| self.announce(to, bytes.to_vec())));
                }
                Effect::AnnounceEach { to } => {
                    for to in to {
                        let bytes = self.core.announcement_for(to).expect("an announcement of its own");
                        mail.push(self.announce(to, bytes));
                    }
                }
                Effect::Tell { to, bytes } => mail.push(self.announce(to, bytes)),
                Effect::OpenUpload { of, payload, bytes } => {
                    self.expected_uploads.insert(of, (payload, bytes));
                }
                Effect::Add(node) => {
                    assert!(self.payloads.contains_key(&node), "what is added is held");
                    if !self.in_sum.contains(&node) {
                        self.in_sum.push(node);
                    }
                }
                Effect::Subtract(node) => self.in_sum.retain(|held| *held != node),
                Effect::Unmask { jobs } => mail.extend(self.unmask(&jobs)),
                Effect::Blame(evidence) => self.blamed.push(evidence),
                Effect::Refuse { from, why } => self.refused.push((from, why)),
                Effect::WakeAt(moment) => self.wake = Some(moment),
                Effect::End(reason) => self.end = Some(reason),
            }
        }
        mail
    }

    fn announce(&mut self, to: NodeId, bytes: Vec<u8>) -> Mail {
        self.announced.push((to, bytes.clone()));
        Mail::ToPerson { to, bytes }
    }

    /// Takes a payload whole, if it was announced so.
    pub fn receive(&mut self, from: NodeId, payload: Vec<u8>) -> Option<Input> {
        let (hash, bytes) = *self.expected_uploads.get(&from)?;
        if Hash::of(&payload) != hash || payload.len() as u64 != bytes {
            return None;
        }
        self.payloads.insert(from, payload);
        Some(Input::UploadComplete { from, payload: hash, bytes })
    }

    /// The sum of what it holds, with these masks taken away.
    pub fn open(&self, members: &[NodeId], jobs: &[MaskJob]) -> Vec<i64> {
        let bits = self.numbers.expect("a cohort").modulus_bits;
        let entries = self.config.config().vector_entries as usize;
        let mut sum = Accumulator::new(entries, Modulus::new(bits).expect("a modulus"));
        for node in members {
            sum.add(&self.payloads[node]).expect("a payload");
        }
        sum.unmask(jobs, 1);
        sum.finish()
    }

    fn unmask(&mut self, jobs: &[MaskJob]) -> Vec<Mail> {
        self.unmaskings += 1;
        let sum = self.open(&self.in_sum.clone(), jobs);
        let bytes: Vec<u8> = sum.iter().flat_map(|value| value.to_le_bytes()).collect();
        let weight = sum[sum.len() - 1].cast_unsigned();
        self.result = Some(sum);
        self.step(Input::Unmasked { sum: Hash::of(&bytes), weight, epsilon: f64::INFINITY })
    }
}

fn core(
    config: &SignedConfig,
    roster: &Arc<Roster>,
    key: &NodeKey,
    private: Option<ModulusRule>,
) -> Result<Aggregator, SetupError> {
    let (config, roster, key) = (config.clone(), roster.clone(), key.clone());
    match private {
        Some(rule) => Aggregator::with_modulus(config, roster, key, rule),
        None => Aggregator::new(config, roster, key),
    }
}
