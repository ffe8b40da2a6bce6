//! What proves that a member broke the protocol. Each kind can be checked by anybody who knows the announcements.

use neuro_primitives::{Hash, NodeId};

use crate::fields::Signed;
use crate::messages::ShareStatement;
use crate::share_tree::ShareKind;

/// Proof of one member's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// Two different joins of one attempt (section 5).
    TwoJoins {
        /// Who signed both.
        member: NodeId,
        /// The join that came first, as a message.
        first: Vec<u8>,
        /// The other.
        second: Vec<u8>,
    },
    /// Two upload statements with different payloads (section 8).
    TwoUploads {
        /// Who signed both.
        member: NodeId,
        /// The statement that came first, as a message.
        first: Vec<u8>,
        /// The other.
        second: Vec<u8>,
    },
    /// A share in a signed answer that is not the one that the dealer committed to (section 9.3).
    WrongShare {
        /// Who signed the answer.
        responder: NodeId,
        /// The answer, as a message.
        answer: Vec<u8>,
        /// Whose share it should be.
        dealer: NodeId,
        /// The dealer's signed root.
        statement: Box<Signed<ShareStatement>>,
        /// Of which secret.
        kind: ShareKind,
        /// The leaves of the responder's two shares.
        leaves: [Hash; 2],
        /// From the leaves' node to the root.
        path: Vec<Hash>,
    },
    /// Shares that all match the dealer's signed root and rebuild another secret (section 9.3).
    BadDealer {
        /// Who signed the root.
        dealer: NodeId,
        /// The signed root.
        statement: Option<Box<Signed<ShareStatement>>>,
        /// Of which secret.
        kind: ShareKind,
        /// t holders and the shares that they answered with. `[t]`
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
