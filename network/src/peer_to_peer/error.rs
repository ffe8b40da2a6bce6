//! What can go wrong between two nodes.

use std::io;
use std::time::Duration;

use neuro_primitives::NodeId;

/// Why the peer-to-peer side could not start, reach a peer, or open a stream.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A text is no address that this node can use.
    #[error(
        "expected an address such as /ip4/192.0.2.1/tcp/4300 or /ip4/192.0.2.1/udp/4300/quic-v1, got {address:?}: {reason}"
    )]
    BadAddress {
        /// The address as it came.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another program listens there.
    #[error("the port of {address} is in use by another program")]
    PortInUse {
        /// The address to listen on.
        address: String,
    },
    /// The operating system refused to listen there.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address to listen on.
        address: String,
        /// What the operating system said.
        reason: String,
    },
    /// The node's own key cannot be used.
    #[error("the node key cannot be used for connections: {reason}")]
    Key {
        /// What is wrong with it.
        reason: String,
    },
    /// A transport could not be set up.
    #[error("a transport could not be set up: {reason}")]
    Transport {
        /// What failed.
        reason: String,
    },
    /// An id that is no ed25519 key, so that no node can have it.
    #[error("{peer} is not the id of a node: it is no ed25519 key")]
    NotANode {
        /// The id.
        peer: NodeId,
    },
    /// The peer is this node itself.
    #[error("{peer} is this node itself")]
    Myself {
        /// This node.
        peer: NodeId,
    },
    /// Somebody else answered at the peer's address.
    #[error("expected node {expected} at {address}, got {}", got.map_or_else(|| "a node of another kind".into(), |got| got.to_string()))]
    WrongPeer {
        /// Whom the address belongs to, by what we were told.
        expected: NodeId,
        /// Who proved to be there; `None` for a peer whose key is not ed25519.
        got: Option<NodeId>,
        /// The address.
        address: String,
    },
    /// No address of the peer answered.
    #[error("node {} could not be reached: {reason}", peer.short())]
    Unreachable {
        /// The peer.
        peer: NodeId,
        /// What happened at each address.
        reason: String,
    },
    /// There is no connection to the peer.
    #[error("there is no connection to node {}", peer.short())]
    NotConnected {
        /// The peer.
        peer: NodeId,
    },
    /// The connection went away while a stream was being opened, or the peer refused it.
    #[error("no stream to node {} could be opened: {source}", peer.short())]
    Open {
        /// The peer.
        peer: NodeId,
        /// What happened.
        source: io::Error,
    },
    /// The peer does not speak the protocol.
    #[error("node {} does not speak {protocol}", peer.short())]
    Unsupported {
        /// The peer.
        peer: NodeId,
        /// The protocol asked for.
        protocol: &'static str,
    },
    /// Something took longer than it may.
    #[error("{what} took longer than {} ms", limit.as_millis())]
    Slow {
        /// What took long.
        what: &'static str,
        /// The time that it may take.
        limit: Duration,
    },
    /// The peer-to-peer side of this node has been shut down.
    #[error("this node's peer-to-peer side has been shut down")]
    ShutDown,
}

impl NetworkError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NotConnected { .. } | Self::Open { .. } | Self::Slow { .. })
    }

    /// The peer, if this error is its doing. An address that leads to somebody else blames nobody: whoever named the
    /// address may have been mistaken.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        match self {
            Self::Unsupported { peer, .. } => Some(*peer),
            _ => None,
        }
    }
}
