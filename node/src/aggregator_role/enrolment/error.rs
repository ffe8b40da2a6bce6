//! Why the roster cannot be used, or does not let somebody in.

use std::io;
use std::path::PathBuf;

use neuro_primitives::NodeId;
use neuro_primitives::key::EntropyError;
use neuro_protocol::federated::InvitationError;
use neuro_secagg::error::DocumentError;
use neuro_secagg::roster::RosterRefused;

/// The roster cannot be read or changed, or does not let somebody in.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// A file.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The roster file holds something else.
    #[error("the roster file is damaged: {0}")]
    Document(#[from] DocumentError),
    /// The roster is not the owner's, or has expired.
    #[error(transparent)]
    Roster(#[from] RosterRefused),
    /// There is no roster, and no owner's key to make one.
    #[error("there is no roster; its owner has to make one")]
    NoRoster {
        /// What the owner needs for it.
        task_file: PathBuf,
    },
    /// The invitation.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// The caller is not listed and shows nothing.
    #[error("the roster does not list node {}; ask the owner for an invitation", .0.short())]
    NotInvited(NodeId),
    /// The invitation has enrolled as many nodes as it may.
    #[error("the invitation has enrolled {uses} of {uses} nodes; ask the owner for another")]
    UsedUp {
        /// How many it may enrol.
        uses: u32,
    },
    /// The owner took the node off the roster.
    #[error("the owner has revoked node {}", .0.short())]
    Revoked(NodeId),
    /// The owner's key is not here.
    #[error("the owner has to list node {0} first")]
    OwnerAway(NodeId),
    /// The key in this data folder is not the owner's.
    #[error("expected the key of the task's owner {owner}, got that of {got}")]
    OwnerElsewhere {
        /// The task's owner.
        owner: NodeId,
        /// Whose key is here.
        got: NodeId,
    },
    /// `task.json` of the aggregator holds something else.
    #[error("{path} is no task of an aggregator")]
    NoTask {
        /// The file.
        path: PathBuf,
    },
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}
