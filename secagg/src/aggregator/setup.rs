//! Making a core, and looking at it.

use std::collections::BTreeSet;
use std::sync::Arc;

use neuro_primitives::{NodeId, NodeKey};

use super::Aggregator;
use super::journal::Journal;
use super::round::Round;
use super::stage::{Progress, Stage};
use super::view::{CohortNumbers, RoundView};
use crate::config::{ConfigRefused, SignedConfig};
use crate::messages::OutCause;
use crate::modulus_rule::{ModulusRule, plain_modulus};
use crate::parameters;
use crate::roster::Registry;

/// Why no round can be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SetupError {
    /// The key is not the aggregator's that the roster names.
    #[error("expected the key of aggregator {expected}, got that of {got}")]
    Key {
        /// As the roster says.
        expected: NodeId,
        /// Whose key it is.
        got: NodeId,
    },
    /// A configuration that no participant of this roster would take.
    #[error(transparent)]
    Config(#[from] ConfigRefused),
    /// In private mode the modulus has a margin for noise, which this crate cannot size.
    #[error("expected a rule for the modulus of private mode, got none")]
    NoModulusRule,
}

impl Aggregator {
    /// A round that begins with [`super::Input::Start`].
    ///
    /// # Errors
    /// When the configuration is not this aggregator's for this roster, and in private mode, which needs
    /// [`Self::with_modulus`].
    pub fn new(
        config: SignedConfig,
        registry: Arc<dyn Registry + Send + Sync>,
        key: NodeKey,
    ) -> Result<Self, SetupError> {
        if Round::is_private(config.config()) {
            return Err(SetupError::NoModulusRule);
        }
        Self::with_modulus(config, registry, key, plain_modulus)
    }

    /// [`Self::new`] with another rule for `B`, which is the plain one unless vectors carry noise (section 10).
    ///
    /// # Errors
    /// When the configuration is not this aggregator's for this roster.
    pub fn with_modulus(
        config: SignedConfig,
        registry: Arc<dyn Registry + Send + Sync>,
        key: NodeKey,
        modulus: ModulusRule,
    ) -> Result<Self, SetupError> {
        let (expected, got) = (registry.aggregator(), key.node_id());
        if expected != got {
            return Err(SetupError::Key { expected, got });
        }
        config.clone().check(&*registry)?;
        let round = Round::new(config, registry, key, modulus);
        let journal = Journal::new(round.config_hash);
        Ok(Self { round, stage: Stage::Idle, journal, deadline: None, proved: Vec::new() })
    }

    /// The same round without those of `nodes` that it would call: they broke the protocol in an earlier round. A restarted
    /// core has to be told of the same.
    #[must_use]
    pub fn without(mut self, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        for node in nodes {
            if self.round.calls(node) {
                self.round.left_out.insert(node, OutCause::Blamed);
            }
        }
        self
    }

    /// How many entries the journal has: after a replay, a torn entry behind them is to be cut off.
    #[must_use]
    pub const fn journal_entries(&self) -> u64 {
        self.journal.entries()
    }

    /// What people see of the round.
    #[must_use]
    pub fn view(&self) -> RoundView {
        let Progress { reported, expected } = self.stage.progress(&self.round);
        let done: BTreeSet<&NodeId> = reported.iter().collect();
        let stragglers = expected.into_iter().filter(|node| !done.contains(node)).collect();
        let config = self.round.config();
        let suspected = |cause: OutCause| matches!(cause, OutCause::Complaints | OutCause::ComplainedOf);
        RoundView {
            round: config.round,
            cohort: config.cohort,
            phase: self.stage.phase(),
            attempt: self.stage.attempt(),
            deadline: self.deadline,
            stragglers,
            in_sum: self.stage.in_sum(),
            suspected: self.left_out(suspected),
            left_out: self.round.left_out.iter().map(|(&node, &cause)| (node, cause)).collect(),
            bytes_in: self.round.bytes_in,
            bytes_out: self.round.bytes_out,
            numbers: self.numbers(),
            alpha: parameters::least_alpha(&self.round.demand(0), config.least_members..=config.most_members),
            end: self.stage.ended().cloned(),
            reported,
        }
    }

    fn left_out(&self, which: impl Fn(OutCause) -> bool) -> Vec<NodeId> {
        self.round.left_out.iter().filter(|(_, cause)| which(**cause)).map(|(&node, _)| node).collect()
    }

    fn numbers(&self) -> Option<CohortNumbers> {
        self.stage.assembly().map(|assembly| CohortNumbers {
            n: assembly.n(),
            k: assembly.shape.k,
            t: assembly.shape.t,
            q: assembly.shape.q,
            modulus_bits: assembly.modulus.bits(),
        })
    }
}
