//! Why a member's message changes nothing.

use neuro_primitives::{Hash, NodeId};

use super::view::Phase;
use crate::error::DocumentError;
use crate::fields::SignatureRefused;
use crate::share_tree::TreeError;

/// What is wrong with a message. Its sender, whom the transport has authenticated, did not follow the protocol or came
/// too late; neither is proof for others.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MessageRefused {
    /// Not a message of this protocol and cohort.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A signature that its signer did not make.
    #[error(transparent)]
    Signature(#[from] SignatureRefused),
    /// Longer than any message.
    #[error("expected a message of at most {most} bytes, got {got}")]
    TooLong {
        /// The bound.
        most: usize,
        /// The message's length.
        got: usize,
    },
    /// A node that the roster does not list in the round's batches.
    #[error("expected a member of the round's batches, got node {node}")]
    Stranger {
        /// The sender.
        node: NodeId,
    },
    /// A member that is out of this round.
    #[error("expected a member that is still in the round, got node {node}")]
    LeftOut {
        /// The sender.
        node: NodeId,
    },
    /// A member that asked for the phase's announcement again and again.
    #[error("expected member {node} to ask at most {most} times in a phase for what was announced, got another time")]
    ToldEnough {
        /// The sender.
        node: NodeId,
        /// How often it was told.
        most: u8,
    },
    /// A message of a phase that is over: others were quicker, or it is said again over a new line.
    #[error("expected a message of phase {phase:?}, got {got}, too late or again")]
    Late {
        /// The phase of the round.
        phase: Phase,
        /// What came.
        got: &'static str,
    },
    /// A message of another phase.
    #[error("expected a message of phase {phase:?}, got {got}")]
    Phase {
        /// The phase of the round.
        phase: Phase,
        /// What came.
        got: &'static str,
    },
    /// A statement that names another node than its sender.
    #[error("expected a statement of sender {sender}, got one of {got}")]
    NotItsOwn {
        /// The sender.
        sender: NodeId,
        /// Whom it names.
        got: NodeId,
    },
    /// Something that belongs to another round, cohort, graph or set.
    #[error("expected {what} {expected}, got {got}")]
    Other {
        /// What differs.
        what: &'static str,
        /// This round's.
        expected: Hash,
        /// What the message names.
        got: Hash,
    },
    /// A join of another attempt.
    #[error("expected a join of attempt {expected}, got one of attempt {got}")]
    Attempt {
        /// The attempt that runs.
        expected: u8,
        /// The join's.
        got: u8,
    },
    /// A key that another member has joined with.
    #[error("expected keys that nobody else joined with, got a point of member {other}")]
    SharedPoint {
        /// Who joined with it.
        other: NodeId,
    },
    /// A nonce that is not what the join committed to.
    #[error("expected the nonce that the join committed to, got another")]
    Opening,
    /// Leaves that do not give the signed root.
    #[error(transparent)]
    Leaves(#[from] TreeError),
    /// Another answer than the first of the same kind.
    #[error("expected {what} once, got another")]
    Changed {
        /// What was sent twice.
        what: &'static str,
    },
    /// A complaint about a member that dealt the sender nothing.
    #[error("expected complaints about the sender's dealers, got one about member {}", member.0)]
    NoDealer {
        /// Whom it complains about.
        member: crate::identity::Member,
    },
    /// A number that this round does not have.
    #[error("expected {expected} {what}, got {got}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// How many there must be.
        expected: u64,
        /// How many came.
        got: u64,
    },
    /// A share in an answer that is not its dealer's.
    #[error("expected the share that dealer {dealer} committed to, got another")]
    WrongShare {
        /// Whose share it should be.
        dealer: NodeId,
    },
}

impl MessageRefused {
    /// Whether honest members send such messages: a vote after the quorum, or what was said before a line broke.
    #[must_use]
    pub const fn is_expected(&self) -> bool {
        matches!(self, Self::Late { .. })
    }
}
