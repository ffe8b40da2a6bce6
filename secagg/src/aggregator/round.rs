//! What stays the same from phase to phase, and who is out of the round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use neuro_primitives::{Hash, NodeId, NodeKey};

use super::effect::Effect;
use super::refused::MessageRefused;
use crate::config::{PrivacyMode, RoundConfig, SignedConfig};
use crate::messages::{Announcement, End, EndReason, OutCause};
use crate::modulus_rule::ModulusRule;
use crate::parameters::Demand;
use crate::roster::Registry;

/// The round apart from its phase.
pub(super) struct Round {
    pub(super) signed: SignedConfig,
    pub(super) config_hash: Hash,
    pub(super) registry: Arc<dyn Registry + Send + Sync>,
    pub(super) key: NodeKey,
    pub(super) modulus: ModulusRule,
    /// `N`.
    pub(super) rostered: u32,
    /// Members with a stream. Not in the journal: it decides nothing.
    pub(super) connected: BTreeSet<NodeId>,
    /// Whoever joined in any attempt.
    pub(super) joined: BTreeSet<NodeId>,
    /// Who is out, and why.
    pub(super) left_out: BTreeMap<NodeId, OutCause>,
    /// How often each member was told in this phase what the phase had announced already. Not in the journal: a restart
    /// begins to count anew.
    pub(super) told: BTreeMap<NodeId, u8>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

/// How often a member is told again in one phase. An announcement may be made and signed for it alone and have 1 MiB, so
/// that asking for it costs far less than answering. A line that breaks before each of so many has arrived carries none.
pub(super) const MOST_TELLINGS: u8 = 16;

impl Round {
    pub(super) fn new(
        signed: SignedConfig,
        registry: Arc<dyn Registry + Send + Sync>,
        key: NodeKey,
        modulus: ModulusRule,
    ) -> Self {
        let config = signed.config();
        Self {
            config_hash: config.hash(),
            rostered: registry.rostered(&config.batches),
            signed,
            registry,
            key,
            modulus,
            connected: BTreeSet::new(),
            joined: BTreeSet::new(),
            left_out: BTreeMap::new(),
            told: BTreeMap::new(),
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    pub(super) const fn config(&self) -> &RoundConfig {
        self.signed.config()
    }

    /// Whether the roster lists `node` in one of the round's batches.
    pub(super) fn calls(&self, node: NodeId) -> bool {
        let batch = self.registry.batch_of(node);
        batch.is_some_and(|batch| self.config().batches.binary_search(&batch).is_ok())
    }

    /// The section 11 inputs for a cohort of `n`.
    pub(super) fn demand(&self, n: u16) -> Demand {
        self.config().demand(n, self.rostered)
    }

    /// Signs an announcement.
    pub(super) fn sign(&self, announcement: &Announcement) -> Vec<u8> {
        announcement.sign(&self.key)
    }

    /// The signed end of the round, for all or for one.
    pub(super) fn end(&self, reason: EndReason) -> Vec<u8> {
        self.sign(&Announcement::End(End { config: self.config_hash, reason }))
    }

    /// Takes `node` out of the round and tells it so.
    pub(super) fn leave_out(&mut self, node: NodeId, cause: OutCause, out: &mut Vec<Effect>) {
        if self.left_out.insert(node, cause).is_none() {
            out.push(Effect::Tell { to: node, bytes: self.end(EndReason::OutOfRound(cause)) });
        }
    }

    /// Counts that `node` is told something again. The error says that it was often enough.
    pub(super) fn count_telling(&mut self, node: NodeId) -> Result<(), MessageRefused> {
        let told = self.told.entry(node).or_default();
        if *told >= MOST_TELLINGS {
            return Err(MessageRefused::ToldEnough { node, most: MOST_TELLINGS });
        }
        *told += 1;
        Ok(())
    }

    /// Those of `nodes` that are still in the round.
    pub(super) fn staying(&self, nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
        nodes.into_iter().filter(|node| !self.left_out.contains_key(node)).collect()
    }

    /// Everybody who has a stream or has joined, and is not out.
    pub(super) fn audience(&self) -> Vec<NodeId> {
        self.staying(self.connected.union(&self.joined).copied())
    }

    /// Whether vectors carry noise, so that the modulus has a margin for it.
    pub(super) fn is_private(config: &RoundConfig) -> bool {
        config.privacy.mode == PrivacyMode::Distributed
    }
}
