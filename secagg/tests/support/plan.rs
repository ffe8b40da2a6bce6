//! What a test's round looks like.

use std::sync::Arc;

use neuro_primitives::{Hash, NodeKey, UnixMillis};
use neuro_secagg::aggregator::ModulusRule;
use neuro_secagg::config::{Base, Deadlines, Privacy, PrivacyMode, RoundConfig, Strategy};
use neuro_secagg::floors::{Floors, Past};
use neuro_secagg::masks::Generator;
use neuro_secagg::messages::Shape;
use neuro_secagg::roster::{Registry, Roster, RosterFields, RosterMember};

/// Numbers of a round; the rest is fixed.
#[derive(Debug, Clone)]
pub struct Plan {
    pub members: u16,
    pub entries: u32,
    pub weight_cap: u32,
    pub corrupt_bps: u16,
    pub dropout_bps: u16,
    pub security_bits: u8,
    pub generator: Generator,
    pub feldman: bool,
    pub verifies_on_receipt: bool,
    pub least_members: u16,
    pub least_alpha_bps: u16,
    pub round: u64,
    pub base: Hash,
    /// Private mode with this rule for the modulus.
    pub private: Option<ModulusRule>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            members: 10,
            entries: 37,
            weight_cap: 1_000,
            corrupt_bps: 1_000,
            dropout_bps: 3_000,
            security_bits: 40,
            generator: Generator::Aes128Ctr,
            feldman: false,
            verifies_on_receipt: false,
            least_members: 8,
            least_alpha_bps: 5_000,
            round: 1,
            base: Hash::of(b"global weights"),
            private: None,
        }
    }
}

impl Plan {
    pub fn owner_key(&self) -> NodeKey {
        NodeKey::from_secret(&[201; 32])
    }

    pub fn aggregator_key(&self) -> NodeKey {
        NodeKey::from_secret(&[202; 32])
    }

    /// The key of a member, or of a stranger beyond them.
    pub fn key(&self, at: u16) -> NodeKey {
        NodeKey::from_secret(&Hash::of(&[b"member", &at.to_le_bytes()[..]].concat()).0)
    }

    /// All members in two batches, and their keys by node id.
    pub fn roster(&self) -> (Arc<Roster>, Vec<NodeKey>) {
        let mut keys: Vec<NodeKey> = (0..self.members).map(|at| self.key(at)).collect();
        keys.sort_by_key(NodeKey::node_id);
        let member = |(at, key): (usize, &NodeKey)| RosterMember { node: key.node_id(), batch: at as u16 % 2 };
        let roster = Roster::new(RosterFields {
            task_name: "digits".to_owned(),
            owner: self.owner_key().node_id(),
            aggregator: self.aggregator_key().node_id(),
            version: 3,
            issued: UnixMillis(1),
            expires: UnixMillis(1_000_000),
            members: keys.iter().enumerate().map(member).collect(),
        });
        (Arc::new(roster.expect("a roster")), keys)
    }

    pub fn config(&self, roster: &Roster) -> RoundConfig {
        let (roster_version, roster_hash) = roster.version();
        RoundConfig {
            task: roster.task(),
            round: self.round,
            cohort: 0,
            cohorts: 1,
            round_id: [9; 32],
            roster_version,
            roster_hash,
            batches: vec![0, 1],
            base: Base::Weights(self.base),
            layout: Hash::of(b"layout"),
            entries: self.entries,
            vector_entries: self.entries + 1,
            strategy: Strategy { name: "fed-avg".to_owned(), settings: Vec::new() },
            weight_cap: self.weight_cap,
            value_bits: 9,
            scale: 425.0,
            privacy: Privacy { mode: self.privacy(), settings: Vec::new() },
            generator: self.generator,
            corrupt_bps: self.corrupt_bps,
            dropout_bps: self.dropout_bps,
            security_bits: self.security_bits,
            correctness_bits: 20,
            least_members: self.least_members,
            most_members: self.members.max(self.least_members),
            deadlines: Deadlines {
                join_ms: 1_000,
                reveal_ms: 1_000,
                shares_ms: 1_000,
                received_ms: 1_000,
                upload_ms: 1_000,
                vote_ms: 1_000,
                answer_ms: 1_000,
            },
            feldman: self.feldman,
        }
    }

    fn privacy(&self) -> PrivacyMode {
        if self.private.is_some() { PrivacyMode::Distributed } else { PrivacyMode::None }
    }

    /// The shape of a cohort of all members, if it is a complete graph.
    pub fn shape(&self) -> Shape {
        let n = self.members;
        let dropout = (u32::from(n) * u32::from(self.dropout_bps) / 10_000) as u16;
        let corrupt = (u32::from(n) * u32::from(self.corrupt_bps)).div_ceil(10_000) as u16;
        Shape { n, k: n - 1, t: n - 1 - dropout, q: (n + corrupt) / 2 + 1, feldman: self.feldman }
    }

    pub fn floors(&self) -> Floors {
        Floors { least_security_bits: self.security_bits, least_alpha_bps: self.least_alpha_bps, ..Floors::default() }
    }

    pub fn past(&self) -> Past {
        Past { now: UnixMillis(1_000), newest_round: None, releases: Vec::new(), epsilon: f64::INFINITY, delta: 0.0 }
    }
}
