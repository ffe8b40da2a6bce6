//! libp2p, gRPC and TLS behind narrow faces: the only crate that knows them.
//!
//! - [`peer_to_peer`]: long-lived streams between nodes, named by their keys.
//! - [`frames`]: length-prefixed frames over any stream.
//! - [`tls`]: TLS 1.3 with node keys instead of certificates.
//! - [`control`]: the control services over either.
//! - [`federated`]: the services of federated learning over TLS.
//! - [`smpc`]: links of private inference over TLS.

pub mod control;
pub mod federated;
pub mod frames;
mod identity;
pub mod peer_to_peer;
pub mod smpc;
pub mod tls;

pub use control::{ControlClient, ControlError, ControlErrorKind, ControlService};
pub use federated::{FederatedClient, FederatedService};
pub use peer_to_peer::{Incoming, NetworkError, PathInfo, PeerEvent, PeerStream, PeerToPeer, StreamKind};
