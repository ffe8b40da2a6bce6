//! Reveals and the list of nonces (section 5), from which everybody derives the graph's seed.

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Hash, NodeId};

use super::cohort::Cohort;
use super::join::{attempt, nonce_commitment};
use super::shape::Shape;
use crate::error::DocumentError;
use crate::fields;
use crate::tags;

/// A participant's nonce, sent for one `R` per attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reveal {
    /// The configuration's hash.
    pub config: Hash,
    /// 0 to 2.
    pub attempt: u8,
    /// `R`: the cohort that it accepted.
    pub cohort: Hash,
    /// What its join committed to.
    pub nonce: [u8; 32],
}

impl Reveal {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.config.0);
        writer.u8(self.attempt);
        writer.raw(&self.cohort.0);
        writer.raw(&self.nonce);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DocumentError> {
        Ok(Self {
            config: fields::hash(reader)?,
            attempt: attempt(reader)?,
            cohort: fields::hash(reader)?,
            nonce: reader.array()?,
        })
    }
}

/// Everybody's nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonces {
    /// `R`.
    pub cohort: Hash,
    /// `[n]`, in the members' order.
    pub nonces: Vec<[u8; 32]>,
}

impl Nonces {
    /// The graph's seed, `H(neuro/fl/graph/1; R ‖ nonces)`, if every nonce opens its member's commitment in `cohort`,
    /// whose hash is `r`.
    ///
    /// # Errors
    /// When the nonces are another cohort's, are not as many as its members, or when one does not open its commitment.
    pub fn seed(&self, cohort: &Cohort, r: &Hash) -> Result<Hash, NoncesRefused> {
        if self.cohort != *r {
            return Err(NoncesRefused::Cohort { expected: *r, got: self.cohort });
        }
        if self.nonces.len() != cohort.rows.len() {
            return Err(NoncesRefused::Count { expected: cohort.rows.len(), got: self.nonces.len() });
        }
        for (row, nonce) in cohort.rows.iter().zip(&self.nonces) {
            if nonce_commitment(&cohort.config, cohort.attempt, &row.node, nonce) != row.nonce_commitment {
                return Err(NoncesRefused::Opening { member: row.node });
            }
        }
        Ok(tags::GRAPH_HASH.hash(&[&r.0, self.nonces.as_flattened()]))
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.cohort.0);
        writer.raw(self.nonces.as_flattened());
    }

    pub(super) fn read(reader: &mut Reader<'_>, shape: &Shape) -> Result<Self, DocumentError> {
        Ok(Self { cohort: fields::hash(reader)?, nonces: fields::arrays(reader, shape.n.into())? })
    }
}

/// Why nonces give no seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoncesRefused {
    /// Those of another cohort.
    #[error("expected the nonces of cohort {expected}, got those of {got}")]
    Cohort {
        /// `R`.
        expected: Hash,
        /// The cohort that they name.
        got: Hash,
    },
    /// Not one per member.
    #[error("expected {expected} nonces, got {got}")]
    Count {
        /// Members of the cohort.
        expected: usize,
        /// Nonces.
        got: usize,
    },
    /// A nonce is not what its member committed to.
    #[error("expected the nonce that member {member} committed to, got another")]
    Opening {
        /// The member, who need not have sent it.
        member: NodeId,
    },
}

impl NoncesRefused {
    /// Nobody: nonces are not signed by those who send them.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        None
    }
}
