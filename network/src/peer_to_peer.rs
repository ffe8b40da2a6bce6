//! Streams between nodes over libp2p: TCP with noise and yamux, or QUIC.
//!
//! One task drives the swarm; [`PeerToPeer`] sends it requests and [`Incoming`] is what it has to tell. A peer is
//! named by its [`NodeId`] alone, which the handshake proves. Streams are long-lived, so that a request costs one
//! round trip and no negotiation; what goes over them is the caller's business.
//!
//! A peer counts as connected from its first connection to the end of its last. A process that dies closes its
//! connections at once; a machine that falls silent is noticed by unanswered pings after about 15 s.
//!
//! Not protected against: a peer that keeps within all limits and does nothing; which peers may stay is for the owner
//! to decide, with [`PeerToPeer::close`].

mod address;
mod backlog;
mod driver;
mod error;
pub mod limits;
mod paths;
mod stream;
mod streams;
mod swarm;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::swarm::StreamProtocol;
use libp2p::{Multiaddr, PeerId};
use neuro_primitives::{NodeId, NodeKey};
use neuro_protocol::version::{CONTROL_PROTOCOL, DATA_PROTOCOL};
use tokio::sync::{mpsc, oneshot};

use self::driver::{Command, Driver};
pub use self::error::NetworkError;
use self::paths::Paths;
pub use self::stream::PeerStream;
use self::streams::OpenFailure;
use crate::identity;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Micro-tasks and their answers.
    Experts,
    /// The control services, where only a peer-to-peer path exists.
    Control,
}

impl StreamKind {
    const ALL: [Self; 2] = [Self::Experts, Self::Control];

    /// The protocol's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Experts => DATA_PROTOCOL,
            Self::Control => CONTROL_PROTOCOL,
        }
    }

    const fn protocol(self) -> StreamProtocol {
        StreamProtocol::new(self.name())
    }
}

/// A change in who is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerEvent {
    /// The first connection to this peer is there.
    Connected(NodeId),
    /// The last connection to this peer is gone.
    Disconnected(NodeId),
}

impl PeerEvent {
    /// Whom the event is about.
    #[must_use]
    pub const fn peer(self) -> NodeId {
        match self {
            Self::Connected(peer) | Self::Disconnected(peer) => peer,
        }
    }
}

/// What other nodes did. To be read on: streams that nobody takes are reset once the channel is full.
#[derive(Debug)]
pub struct Incoming {
    /// Streams that peers opened.
    pub streams: mpsc::Receiver<(NodeId, StreamKind, PeerStream)>,
    /// Who came and who went, in order; none is lost, but a visit that ended before it was seen leaves no event.
    pub events: mpsc::Receiver<PeerEvent>,
}

/// How a peer is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// Whether the path is straight, not through a relay.
    pub direct: bool,
    /// `tcp` or `quic`.
    pub transport: String,
    /// The latest measured round trip; `None` until the first one.
    pub rtt: Option<Duration>,
}

/// This node among its peers. Cloning is cheap, and all clones are the same node.
#[derive(Debug, Clone)]
pub struct PeerToPeer {
    node: NodeId,
    commands: mpsc::Sender<Command>,
    view: Arc<View>,
}

/// What the driver publishes and anyone reads. The locks are held for a look-up, never across an await.
#[derive(Debug, Default)]
struct View {
    addresses: Mutex<Vec<Multiaddr>>,
    paths: Mutex<Paths>,
}

impl View {
    fn addresses(&self) -> MutexGuard<'_, Vec<Multiaddr>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn paths(&self) -> MutexGuard<'_, Paths> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PeerToPeer {
    /// Starts the swarm and listens on `listen`: multiaddrs such as `/ip4/0.0.0.0/tcp/0` or
    /// `/ip4/0.0.0.0/udp/0/quic-v1`. Port 0 means any free one. With no address the node only dials.
    ///
    /// # Errors
    /// When an address is malformed, a port is in use, or a transport cannot be set up.
    pub async fn start(key: &NodeKey, listen: &[String]) -> Result<(Self, Incoming), NetworkError> {
        let (commands, requests) = mpsc::channel(limits::COMMANDS);
        let (stream_sender, streams) = mpsc::channel(limits::INCOMING_STREAMS);
        let (event_sender, events) = mpsc::channel(limits::INCOMING_EVENTS);
        let view = Arc::new(View::default());
        let swarm = swarm::build(key)?;
        let mut driver = Driver::new(swarm, requests, stream_sender, event_sender, Arc::clone(&view));
        driver.listen(listen).await?;
        tokio::spawn(driver.run());
        Ok((Self { node: key.node_id(), commands, view }, Incoming { streams, events }))
    }

    /// The addresses that this node listens on, with their actual ports, one per interface.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.view.addresses().iter().map(ToString::to_string).collect()
    }

    /// This node.
    #[must_use]
    pub const fn node_id(&self) -> NodeId {
        self.node
    }

    /// Connects to `peer` at whichever of `addresses` answers first; host names are resolved. Returns at once when a
    /// connection exists. A second dial of the same peer waits for the first.
    ///
    /// # Errors
    /// When no address answers in time, somebody else answers, or `peer` is no node but this one.
    pub async fn dial(&self, peer: NodeId, addresses: &[String]) -> Result<(), NetworkError> {
        let id = peer_id(peer)?;
        if peer == self.node {
            return Err(NetworkError::Myself { peer });
        }
        if self.path(peer).is_some() {
            return Ok(());
        }
        let addresses = address::resolve_all(addresses).await?;
        let near = self.near(&addresses);
        if !near.is_empty() && self.ask(|reply| Command::Dial { peer, id, addresses: near, reply }).await?.is_ok() {
            return Ok(());
        }
        self.ask(|reply| Command::Dial { peer, id, addresses, reply }).await?
    }

    /// The addresses to try before the others: on loopback and in a local network, TCP has half of QUIC's round trip
    /// and several times its throughput; over the internet QUIC wins, and the swarm tries it first.
    fn near(&self, addresses: &[Multiaddr]) -> Vec<Multiaddr> {
        let own = self.view.addresses();
        addresses.iter().filter(|address| address::is_near_tcp(address, &own)).cloned().collect()
    }

    /// Opens a stream to a connected `peer`. No round trip: a peer that does not speak the protocol shows at the first
    /// read.
    ///
    /// # Errors
    /// When there is no connection, or it fails meanwhile.
    pub async fn open(&self, peer: NodeId, protocol: StreamKind) -> Result<PeerStream, NetworkError> {
        let id = peer_id(peer)?;
        if self.path(peer).is_none() {
            return Err(NetworkError::NotConnected { peer });
        }
        let (reply, outcome) = oneshot::channel();
        self.send(Command::Open { id, kind: protocol, reply }).await?;
        match outcome.await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(OpenFailure::Unsupported)) => Err(NetworkError::Unsupported { peer, protocol: protocol.name() }),
            Ok(Err(OpenFailure::Io(source))) => Err(NetworkError::Open { peer, source }),
            Err(_) => Err(NetworkError::Open { peer, source: io::ErrorKind::ConnectionReset.into() }),
        }
    }

    /// How `peer` is reached; `None` when it is not connected.
    #[must_use]
    pub fn path(&self, peer: NodeId) -> Option<PathInfo> {
        self.view.paths().of(peer).cloned()
    }

    /// Closes all connections to `peer`. Its `Disconnected` follows.
    pub async fn close(&self, peer: NodeId) {
        if let Ok(id) = peer_id(peer) {
            // A swarm that was shut down has no connections left.
            let _ = self.ask(|reply| Command::Close { id, reply }).await;
        }
    }

    /// Says goodbye to all peers, stops listening and ends the swarm, for all clones.
    pub async fn shutdown(self) {
        let _ = self.ask(|reply| Command::ShutDown { reply }).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, NetworkError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        answer.await.map_err(|_| NetworkError::ShutDown)
    }

    async fn send(&self, command: Command) -> Result<(), NetworkError> {
        self.commands.send(command).await.map_err(|_| NetworkError::ShutDown)
    }
}

fn peer_id(peer: NodeId) -> Result<PeerId, NetworkError> {
    identity::peer_id(peer).ok_or(NetworkError::NotANode { peer })
}
