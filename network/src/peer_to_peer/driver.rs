//! The task that drives the swarm: carries out requests, publishes what happens.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, ping};
use neuro_primitives::NodeId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::address;
use super::backlog::Backlog;
use super::error::NetworkError;
use super::limits::{LISTEN_TIME_LIMIT, PING_TIME_LIMIT, SHUTDOWN_TIME_LIMIT};
use super::streams::{Accepted, OpenReply};
use super::swarm::{Behaviour, BehaviourEvent};
use super::{PeerEvent, PeerStream, StreamKind, View};
use crate::identity;

type DialReply = oneshot::Sender<Result<(), NetworkError>>;

/// What a task of this node asks for.
#[derive(Debug)]
pub(super) enum Command {
    /// A connection to a peer.
    Dial { peer: NodeId, id: PeerId, addresses: Vec<Multiaddr>, reply: DialReply },
    /// A stream to a connected peer.
    Open { id: PeerId, kind: StreamKind, reply: OpenReply },
    /// The end of all connections to a peer.
    Close { id: PeerId, reply: oneshot::Sender<()> },
    /// The end.
    ShutDown { reply: oneshot::Sender<()> },
}

/// A peer that is being dialled, and who waits for it.
struct Dialling {
    peer: NodeId,
    connection: ConnectionId,
    replies: Vec<DialReply>,
}

/// The swarm with all its ends.
pub(super) struct Driver {
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    streams: mpsc::Sender<(NodeId, StreamKind, PeerStream)>,
    events: mpsc::Sender<PeerEvent>,
    backlog: Backlog,
    dialling: HashMap<PeerId, Dialling>,
    /// Listeners that have announced an address.
    listening: HashSet<ListenerId>,
    view: Arc<View>,
}

impl Driver {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        commands: mpsc::Receiver<Command>,
        streams: mpsc::Sender<(NodeId, StreamKind, PeerStream)>,
        events: mpsc::Sender<PeerEvent>,
        view: Arc<View>,
    ) -> Self {
        Self {
            swarm,
            commands,
            streams,
            events,
            backlog: Backlog::default(),
            dialling: HashMap::new(),
            listening: HashSet::new(),
            view,
        }
    }

    /// Listens on all of `texts`; returns once each has announced an address.
    pub(super) async fn listen(&mut self, texts: &[String]) -> Result<(), NetworkError> {
        for text in texts {
            let address = address::parse(text)?;
            address::check_free(text, &address)?;
            let refused = |error: libp2p::TransportError<std::io::Error>| match error {
                libp2p::TransportError::MultiaddrNotSupported(_) => address::bad(text, "no transport of ours fits"),
                libp2p::TransportError::Other(error) => {
                    NetworkError::Listen { address: text.clone(), reason: error.to_string() }
                }
            };
            let listener = self.swarm.listen_on(address).map_err(refused)?;
            let announced = timeout(LISTEN_TIME_LIMIT, self.announced(listener)).await;
            announced.map_err(|_| NetworkError::Slow { what: "listening", limit: LISTEN_TIME_LIMIT })?;
        }
        Ok(())
    }

    async fn announced(&mut self, listener: ListenerId) {
        while !self.listening.contains(&listener) {
            let event = self.swarm.select_next_some().await;
            self.on_event(event);
        }
    }

    /// Runs until it is told to stop or nobody can tell it anything any more.
    pub(super) async fn run(mut self) {
        let events = self.events.clone();
        let done = loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                command = self.commands.recv() => match command {
                    Some(Command::ShutDown { reply }) => break Some(reply),
                    Some(command) => self.on_command(command),
                    None => break None,
                },
                room = events.reserve(), if !self.backlog.is_empty() => match (room, self.backlog.pop()) {
                    (Ok(room), Some(event)) => room.send(event),
                    _ => self.backlog = Backlog::default(),
                },
            }
        };
        self.say_goodbye().await;
        drop(self);
        if let Some(reply) = done {
            let _ = reply.send(());
        }
    }

    /// Closes all connections and waits a moment until they are closed, so that peers notice at once.
    async fn say_goodbye(&mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                let event = self.swarm.select_next_some().await;
                self.on_event(event);
            }
        };
        let _ = timeout(SHUTDOWN_TIME_LIMIT, closed).await;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial { peer, id, addresses, reply } => self.dial(peer, id, addresses, reply),
            Command::Open { id, kind, reply } => self.swarm.behaviour_mut().streams.open(id, kind, reply),
            Command::Close { id, reply } => {
                let _ = self.swarm.disconnect_peer_id(id);
                let _ = reply.send(());
            }
            Command::ShutDown { .. } => {}
        }
    }

    fn dial(&mut self, peer: NodeId, id: PeerId, addresses: Vec<Multiaddr>, reply: DialReply) {
        if self.swarm.is_connected(&id) {
            let _ = reply.send(Ok(()));
            return;
        }
        if let Some(dialling) = self.dialling.get_mut(&id) {
            dialling.replies.push(reply);
            return;
        }
        let options =
            DialOpts::peer_id(id).addresses(addresses).condition(PeerCondition::Always).allocate_new_port().build();
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => drop(self.dialling.insert(id, Dialling { peer, connection, replies: vec![reply] })),
            Err(error) => drop(reply.send(Err(dial_failure(peer, &error)))),
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(accepted)) => self.on_stream(accepted),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => self.on_ping(&ping),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, num_established, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint, num_established.get());
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, cause, .. } => {
                tracing::debug!(peer = %peer_id, ?cause, "a connection ended");
                self.on_closed(peer_id, connection_id, num_established);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id: Some(peer), error } => {
                self.on_dial_failure(peer, connection_id, &error);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(from = %send_back_addr, %error, "a connection was not established");
            }
            SwarmEvent::NewListenAddr { listener_id, address } => {
                self.listening.insert(listener_id);
                self.view.addresses().push(address);
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => self.view.addresses().retain(|other| *other != address),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::warn!(?addresses, ?reason, "stopped listening");
                self.view.addresses().retain(|other| !addresses.contains(other));
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener failed once"),
            _ => {}
        }
    }

    fn on_connected(&mut self, id: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint, count: u32) {
        let Some(peer) = identity::node_id(&id) else { return };
        self.view.paths().add(peer, connection, endpoint);
        if count == 1 {
            self.backlog.push(PeerEvent::Connected(peer));
        }
        // Whichever side's dial succeeded: there is a connection now.
        for reply in self.dialling.remove(&id).into_iter().flat_map(|dialling| dialling.replies) {
            let _ = reply.send(Ok(()));
        }
    }

    fn on_closed(&mut self, id: PeerId, connection: ConnectionId, left: u32) {
        let Some(peer) = identity::node_id(&id) else { return };
        self.view.paths().remove(peer, connection);
        if left == 0 {
            self.backlog.push(PeerEvent::Disconnected(peer));
        }
    }

    fn on_dial_failure(&mut self, id: PeerId, connection: ConnectionId, error: &DialError) {
        if self.dialling.get(&id).is_none_or(|dialling| dialling.connection != connection) {
            return;
        }
        let Some(dialling) = self.dialling.remove(&id) else { return };
        for reply in dialling.replies {
            let _ = reply.send(Err(dial_failure(dialling.peer, error)));
        }
    }

    fn on_stream(&mut self, Accepted { peer, kind, stream }: Accepted) {
        let Some(peer) = identity::node_id(&peer) else { return };
        if self.streams.try_send((peer, kind, stream)).is_err() {
            tracing::warn!(peer = %peer.short(), ?kind, "nobody takes incoming streams; this one is reset");
        }
    }

    fn on_ping(&mut self, ping: &ping::Event) {
        match &ping.result {
            Ok(rtt) => {
                if let Some(peer) = identity::node_id(&ping.peer) {
                    self.view.paths().measured(peer, ping.connection, *rtt);
                }
            }
            Err(failure) if self.is_quiet(ping.connection) => {
                tracing::info!(peer = %ping.peer, %failure, "a peer fell silent; its connection is closed");
                self.swarm.close_connection(ping.connection);
            }
            Err(_) => {}
        }
    }

    /// Whether nothing came lately. A pong may be stuck behind megabytes of answers; those prove life as well.
    fn is_quiet(&self, connection: ConnectionId) -> bool {
        let activity = self.swarm.behaviour().streams.activity(connection);
        activity.is_none_or(|activity| activity.quiet_for() > PING_TIME_LIMIT)
    }
}

fn dial_failure(peer: NodeId, error: &DialError) -> NetworkError {
    match error {
        DialError::WrongPeerId { obtained, address } => {
            NetworkError::WrongPeer { expected: peer, got: identity::node_id(obtained), address: address.to_string() }
        }
        DialError::LocalPeerId { .. } => NetworkError::Myself { peer },
        DialError::NoAddresses => NetworkError::Unreachable { peer, reason: "no address is known".into() },
        DialError::Transport(failures) => NetworkError::Unreachable { peer, reason: reasons(failures) },
        other => NetworkError::Unreachable { peer, reason: other.to_string() },
    }
}

/// One clause per address. Only the innermost error says anything.
fn reasons(failures: &[(Multiaddr, libp2p::TransportError<std::io::Error>)]) -> String {
    let clause = |(address, error): &(Multiaddr, libp2p::TransportError<std::io::Error>)| {
        let mut innermost: &dyn std::error::Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        format!("{address}: {innermost}")
    };
    failures.iter().map(clause).collect::<Vec<_>>().join("; ")
}
