//! What proves that a member broke the protocol. Each kind can be checked by anybody who knows the announcements.

use neuro_primitives::id::NodeId;

use crate::messages::{Kind, SharePath};

/// Proof of one member's fault, as it was received: canonical bytes with the member's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// Two different joins of one attempt (section 5).
    TwoJoins {
        /// Who signed both.
        member: NodeId,
        /// The join that came first.
        first: Vec<u8>,
        /// The other.
        second: Vec<u8>,
    },
    /// Two upload statements with different payloads (section 8).
    TwoUploads {
        /// Who signed both.
        member: NodeId,
        /// The statement that came first.
        first: Vec<u8>,
        /// The other.
        second: Vec<u8>,
    },
    /// A share in a signed answer that is not the one the dealer committed to (section 9.3).
    WrongShare {
        /// Who signed the answer.
        responder: NodeId,
        /// The answer.
        answer: Vec<u8>,
        /// Whose share it should be.
        dealer: NodeId,
        /// The dealer's signed statement with the root.
        statement: Vec<u8>,
        /// From the two leaves of the pair to the root.
        path: SharePath,
    },
    /// Shares that all match the dealer's signed root and rebuild another secret (section 9.3).
    BadDealer {
        /// Who signed the root.
        dealer: NodeId,
        /// The signed statement.
        statement: Vec<u8>,
        /// Which of the two secrets.
        kind: Kind,
        /// t holders and the shares they answered with.
        shares: Vec<(NodeId, [u8; 32])>,
    },
}

impl Evidence {
    /// Whose fault it proves.
    #[must_use]
    pub const fn blames(&self) -> NodeId {
        match self {
            Self::TwoJoins { member, .. } | Self::TwoUploads { member, .. } => *member,
            Self::WrongShare { responder, .. } => *responder,
            Self::BadDealer { dealer, .. } => *dealer,
        }
    }
}
