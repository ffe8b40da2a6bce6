//! From a raw connection to an authenticated one that speaks: bounded in number and time, and never fatal.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use neuro_primitives::NodeId;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Duplex};
use super::limits;
use super::slots::Slots;
use crate::peer_to_peer::PeerStream;
use crate::tls::{self, TlsError};

/// Why a connection was not admitted. Logged; nobody else is told.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("nothing was said within {} ms", limits::HANDSHAKE_TIME_LIMIT.as_millis())]
    Silent,
    #[error("the connection ended before it began")]
    Ended,
    #[error("node {} has too many connections, or all are taken", .0.short())]
    Full(NodeId),
    #[error("the server has ended")]
    Late,
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// Admits connections and hands them on.
#[derive(Clone)]
pub(super) struct Acceptor {
    tls: TlsAcceptor,
    nodes: Arc<Slots<NodeId>>,
    admitted: mpsc::Sender<Connection>,
    cut: CancellationToken,
}

impl Acceptor {
    pub(super) fn new(tls: TlsAcceptor, admitted: mpsc::Sender<Connection>, cut: CancellationToken) -> Self {
        let nodes = Slots::new(limits::MAX_CONNECTIONS, limits::MAX_CONNECTIONS_PER_NODE);
        Self { tls, nodes: Arc::new(nodes), admitted, cut }
    }

    /// Accepts TLS connections for ever. When too many shake hands, further ones wait in the system's queue.
    pub(super) async fn accept_tls(self, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(limits::MAX_HANDSHAKES));
        let addresses: Slots<IpAddr> = Slots::new(limits::MAX_HANDSHAKES, limits::MAX_HANDSHAKES_PER_ADDRESS);
        let mut handshakes = JoinSet::new();
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            reap(&mut handshakes);
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(limits::ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = addresses.take(address.ip().to_canonical()) else { continue };
            let acceptor = self.clone();
            handshakes.spawn(async move {
                acceptor.conclude(permit, acceptor.shake_hands(stream), address).await;
                drop(place);
            });
        }
    }

    /// Accepts libp2p streams until there are none any more, then waits for ever.
    pub(super) async fn accept_streams(self, mut streams: mpsc::Receiver<(NodeId, PeerStream)>) {
        let permits = Arc::new(Semaphore::new(limits::MAX_HANDSHAKES));
        let mut handshakes = JoinSet::new();
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            reap(&mut handshakes);
            let Some((peer, stream)) = streams.recv().await else { break };
            let acceptor = self.clone();
            handshakes.spawn(async move {
                acceptor.conclude(permit, acceptor.admit(peer, stream), peer.short()).await;
            });
        }
        while handshakes.join_next().await.is_some() {}
        std::future::pending().await
    }

    async fn conclude(
        &self,
        permit: OwnedSemaphorePermit,
        admission: impl Future<Output = Result<(), Refusal>>,
        from: impl std::fmt::Display,
    ) {
        let outcome = timeout(limits::HANDSHAKE_TIME_LIMIT, admission).await;
        drop(permit);
        if let Err(refusal) = outcome.unwrap_or(Err(Refusal::Silent)) {
            tracing::debug!(%from, %refusal, "a control connection was not admitted");
        }
    }

    async fn shake_hands(&self, stream: TcpStream) -> Result<(), Refusal> {
        stream.set_nodelay(true)?;
        let stream = self.tls.accept(stream).await.map_err(TlsError::of_handshake)?;
        let peer = tls::peer_of(stream.get_ref().1)?;
        self.admit(peer, stream).await
    }

    /// Waits for the first byte, so that who says nothing holds no server task, and hands the connection on.
    async fn admit(&self, peer: NodeId, stream: impl Duplex + 'static) -> Result<(), Refusal> {
        let slot = self.nodes.take(peer).ok_or(Refusal::Full(peer))?;
        let mut stream = BufReader::new(stream);
        if stream.fill_buf().await?.is_empty() {
            return Err(Refusal::Ended);
        }
        let connection = Connection::new(Box::new(stream), peer, self.cut.clone(), slot);
        self.admitted.send(connection).await.map_err(|_| Refusal::Late)
    }
}

/// Forgets handshakes that are over.
fn reap(handshakes: &mut JoinSet<()>) {
    while handshakes.try_join_next().is_some() {}
}
