//! A configuration under the aggregator's signature, as it is announced.

use neuro_primitives::codec::Reader;
use neuro_primitives::{Hash, NodeId, Signature, Untrusted};

use super::{RoundConfig, canonical};
use crate::error::DocumentError;
use crate::roster::Registry;
use crate::{fields, tags};

/// A configuration with its aggregator's signature.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedConfig {
    config: RoundConfig,
    signature: Signature,
}

impl SignedConfig {
    pub(super) const fn new(config: RoundConfig, signature: Signature) -> Self {
        Self { config, signature }
    }

    /// The configuration, for who made it. Others take it from [`Self::check`].
    #[must_use]
    pub const fn config(&self) -> &RoundConfig {
        &self.config
    }

    /// The configuration's bytes, then the signature.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&self.config.encode()[..], &self.signature.0].concat()
    }

    /// Reads a configuration that [`Self::check`] has to let out.
    ///
    /// # Errors
    /// When the bytes are malformed or a field is outside its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Untrusted<Self>, DocumentError> {
        let mut reader = Reader::new(bytes);
        let config = canonical::read(&mut reader)?;
        let signature = fields::signature(&mut reader)?;
        reader.finish()?;
        Ok(Untrusted::new(Self { config, signature }))
    }

    /// The configuration, if the registry's aggregator signed it for the registry's task and for exactly its version.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn check(self, registry: &dyn Registry) -> Result<RoundConfig, ConfigRefused> {
        let aggregator = registry.aggregator();
        if !aggregator.verifies(tags::CONFIG, &self.config.encode(), &self.signature) {
            return Err(ConfigRefused::Signature { aggregator });
        }
        let (expected, got) = (registry.task(), self.config.task);
        if got != expected {
            return Err(ConfigRefused::Task { expected, got });
        }
        let (version, hash) = registry.version();
        if (self.config.roster_version, self.config.roster_hash) != (version, hash) {
            return Err(ConfigRefused::Roster {
                version,
                hash,
                got_version: self.config.roster_version,
                got_hash: self.config.roster_hash,
            });
        }
        Ok(self.config)
    }
}

/// Why a configuration is not one for this participant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigRefused {
    /// The aggregator did not sign it.
    #[error("expected a signature of aggregator {aggregator} under the configuration, got another")]
    Signature {
        /// The aggregator that the roster names.
        aggregator: NodeId,
    },
    /// Another task.
    #[error("expected a configuration of task {expected}, got one of {got}")]
    Task {
        /// The pinned task.
        expected: Hash,
        /// The task that it names.
        got: Hash,
    },
    /// Another roster: an older one may still list who was revoked; a newer one has to be fetched first.
    #[error("expected roster version {version} with hash {hash}, got {got_version} with {got_hash}")]
    Roster {
        /// The version at hand.
        version: u64,
        /// Its hash.
        hash: Hash,
        /// The version that the configuration names.
        got_version: u64,
        /// The hash that it names.
        got_hash: Hash,
    },
}

impl ConfigRefused {
    /// Nobody: without the signature it is anyone's, and with it the roster may just have changed.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        None
    }

    /// Whether fetching the newest roster may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Roster { .. })
    }
}
