//! The libp2p behaviour that opens and accepts our streams.
//!
//! libp2p-stream 0.5 offers the same, but keeps room for one accepted stream per protocol and drops the second when
//! two peers open theirs at once, and it never forgets a closed connection. This one hands every accepted stream to
//! the swarm's owner, and opens on the connection that is oldest, hence most stable.

mod handler;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;

use self::handler::StreamHandler;
use super::StreamKind;
use super::stream::{Activity, PeerStream};
use crate::identity;

/// Where the outcome of a request for a stream goes. Dropping it means that the connection went away.
pub(super) type OpenReply = oneshot::Sender<Result<PeerStream, OpenFailure>>;

/// Why a connection did not give a stream.
#[derive(Debug)]
pub(super) enum OpenFailure {
    /// The peer does not speak the protocol.
    Unsupported,
    /// The connection failed or took too long.
    Io(std::io::Error),
}

/// A request for a stream on one connection.
#[derive(Debug)]
pub(super) struct OpenRequest {
    kind: StreamKind,
    reply: OpenReply,
}

/// A stream that a peer opened.
#[derive(Debug)]
pub(super) struct Accepted {
    /// The peer.
    pub(super) peer: PeerId,
    /// What the stream is for.
    pub(super) kind: StreamKind,
    /// The stream.
    pub(super) stream: PeerStream,
}

/// A peer whose key is of another kind than ours.
#[derive(Debug, thiserror::Error)]
#[error("expected a peer with an ed25519 key, got {0}")]
struct NotANode(PeerId);

/// The behaviour's state: the connections of each peer, oldest first, and what is to be told to the swarm.
#[derive(Default)]
pub(super) struct Streams {
    connections: HashMap<PeerId, Vec<ConnectionId>>,
    activities: HashMap<ConnectionId, Arc<Activity>>,
    queue: VecDeque<ToSwarm<Accepted, OpenRequest>>,
}

impl Streams {
    /// Asks for a stream on the oldest connection to `peer`; drops `reply` when there is none.
    pub(super) fn open(&mut self, peer: PeerId, kind: StreamKind, reply: OpenReply) {
        let oldest = self.connections.get(&peer).and_then(|connections| connections.first());
        if let Some(&connection) = oldest {
            let event = OpenRequest { kind, reply };
            self.queue.push_back(ToSwarm::NotifyHandler {
                peer_id: peer,
                handler: NotifyHandler::One(connection),
                event,
            });
        }
    }

    /// When bytes of our streams last came over `connection`.
    pub(super) fn activity(&self, connection: ConnectionId) -> Option<&Activity> {
        self.activities.get(&connection).map(Arc::as_ref)
    }

    fn admit(&mut self, connection: ConnectionId, peer: PeerId) -> Result<StreamHandler, ConnectionDenied> {
        if identity::node_id(&peer).is_none() {
            return Err(ConnectionDenied::new(NotANode(peer)));
        }
        let activity = Arc::new(Activity::new());
        self.activities.insert(connection, Arc::clone(&activity));
        Ok(StreamHandler::new(activity))
    }

    fn forget(&mut self, connection: ConnectionId, peer: PeerId) {
        self.activities.remove(&connection);
        if let Some(connections) = self.connections.get_mut(&peer) {
            connections.retain(|&other| other != connection);
            if connections.is_empty() {
                self.connections.remove(&peer);
            }
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = StreamHandler;
    type ToSwarm = Accepted;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(connection, peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(connection, peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, .. }) => {
                self.connections.entry(peer_id).or_default().push(connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.forget(connection_id, peer_id);
            }
            // A later behaviour may still refuse a connection that this one admitted.
            FromSwarm::DialFailure(failure) => drop(self.activities.remove(&failure.connection_id)),
            FromSwarm::ListenFailure(failure) => drop(self.activities.remove(&failure.connection_id)),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        let (kind, stream) = event;
        self.queue.push_back(ToSwarm::GenerateEvent(Accepted { peer, kind, stream }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // No waker: the queue grows only from the swarm's own callbacks and from its owner, who polls afterwards.
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
