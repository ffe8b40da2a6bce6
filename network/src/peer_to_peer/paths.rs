//! The paths to connected peers.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::swarm::ConnectionId;
use neuro_primitives::NodeId;

use super::PathInfo;
use super::address::{is_relayed, transport_of};

/// Per peer its connections, oldest first: streams are opened on the oldest, so that one is the peer's path.
#[derive(Debug, Default)]
pub(super) struct Paths(HashMap<NodeId, Vec<(ConnectionId, PathInfo)>>);

impl Paths {
    /// The path that streams to `peer` take.
    pub(super) fn of(&self, peer: NodeId) -> Option<&PathInfo> {
        self.0.get(&peer).and_then(|connections| connections.first()).map(|(_, path)| path)
    }

    pub(super) fn add(&mut self, peer: NodeId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let address = endpoint.get_remote_address();
        let path = PathInfo {
            direct: !(is_relayed(address) || endpoint.is_relayed()),
            transport: transport_of(address).to_owned(),
            rtt: None,
        };
        self.0.entry(peer).or_default().push((connection, path));
    }

    pub(super) fn remove(&mut self, peer: NodeId, connection: ConnectionId) {
        if let Some(connections) = self.0.get_mut(&peer) {
            connections.retain(|(other, _)| *other != connection);
            if connections.is_empty() {
                self.0.remove(&peer);
            }
        }
    }

    pub(super) fn measured(&mut self, peer: NodeId, connection: ConnectionId, rtt: Duration) {
        let connections = self.0.get_mut(&peer).into_iter().flatten();
        for (_, path) in connections.filter(|(other, _)| *other == connection) {
            path.rtt = Some(rtt);
        }
    }
}
