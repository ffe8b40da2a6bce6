//! The client: one connection to one orchestrator.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use neuro_primitives::{NodeId, NodeKey};
use neuro_protocol::control::{
    CreditReply, CreditRequest, FetchRequest, JoinReply, JoinRequest, PardonReply, PardonRequest, PlacementReply,
    PlacementRequest, SetTeamReply, SetTeamRequest, Status, StatusRequest, StopReply, StopRequest, WorkerReport,
};
use neuro_protocol::limits::{CHUNK_BYTES, MAX_SIGNED_MANIFEST_BYTES};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response};

use super::connection::Duplex;
use super::error::innermost;
use super::stubs::control_client::ControlClient as Stub;
use super::{ChunkStream, ControlError, ControlErrorKind, InstructionStream, limits};
use crate::peer_to_peer::{NetworkError, PeerToPeer, StreamKind};
use crate::tls::{self, TlsError};

/// What HTTP/2 wants to call the server. Nobody resolves it: the connection exists already.
const ORIGIN: &str = "http://node.invalid";

/// Why there is no connection to an orchestrator.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address does not answer.
    #[error("no connection to {address}: {source}")]
    Unreachable {
        /// The control address, `host:port`.
        address: String,
        /// What happened.
        source: io::Error,
    },
    /// Connecting and the handshake took too long.
    #[error("no connection to {address} within {} ms", limit.as_millis())]
    Slow {
        /// The control address, or the node.
        address: String,
        /// The time that connecting may take.
        limit: Duration,
    },
    /// Somebody answers, but not with the handshake of the node that we want.
    #[error("no connection to {address}: {source}")]
    Tls {
        /// The control address, `host:port`.
        address: String,
        /// What the handshake failed of.
        source: TlsError,
    },
    /// There is no stream to the node.
    #[error(transparent)]
    PeerToPeer(#[from] NetworkError),
    /// The other side does not speak HTTP/2.
    #[error("node {} does not speak HTTP/2: {reason}", peer.short())]
    Http {
        /// The node.
        peer: NodeId,
        /// What failed.
        reason: String,
    },
}

impl ConnectError {
    /// Whether the same attempt may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Slow { .. } | Self::Http { .. } => true,
            Self::Tls { source, .. } => source.is_retryable(),
            Self::PeerToPeer(error) => error.is_retryable(),
        }
    }

    /// The node, if this error is its doing; an address that leads elsewhere blames nobody.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        match self {
            Self::PeerToPeer(error) => error.blames(),
            _ => None,
        }
    }
}

/// One connection to one node's control services. Cloning shares it. When it breaks, calls fail with `Unavailable` and
/// a new client is needed: who reconnects should know that it does.
#[derive(Debug, Clone)]
pub struct ControlClient {
    peer: NodeId,
    channel: Channel,
}

impl ControlClient {
    /// Connects to `address` (`host:port`) by TLS, proving `key`, and accepts nobody there but `expected`.
    ///
    /// # Errors
    /// When the address does not answer in time or the handshake fails, [`TlsError::WrongNode`] among others.
    pub async fn connect_tls(address: &str, key: &NodeKey, expected: NodeId) -> Result<Self, ConnectError> {
        Ok(Self { peer: expected, channel: channel_by_tls(address, key, expected).await? })
    }

    /// Connects to `peer` over a libp2p stream; there must be a connection already, see [`PeerToPeer::dial`].
    ///
    /// # Errors
    /// When no stream can be opened.
    pub async fn connect_p2p(p2p: &PeerToPeer, peer: NodeId) -> Result<Self, ConnectError> {
        let stream = p2p.open(peer, StreamKind::Control).await?;
        Ok(Self { peer, channel: channel_over(Box::new(stream), peer).await? })
    }

    /// The node at the other end, which proved its key.
    #[must_use]
    pub const fn peer(&self) -> NodeId {
        self.peer
    }

    /// Asks to be admitted.
    ///
    /// # Errors
    /// `NotAllowed` for a ticket that is not accepted; `Unavailable` when the connection broke.
    pub async fn join(&self, request: JoinRequest) -> Result<JoinReply, ControlError> {
        let mut stub = self.stub(MAX_SIGNED_MANIFEST_BYTES + limits::MESSAGE_OVERHEAD_BYTES);
        called(stub.join(request)).await
    }

    /// Attends: sends `reports` as they come and returns the instructions. The end of `reports`, or dropping the
    /// instructions, ends the attendance.
    ///
    /// # Errors
    /// `NotAllowed` before joining; `Unavailable` when the connection broke.
    pub async fn attend(
        &self,
        reports: impl Stream<Item = WorkerReport> + Send + 'static,
    ) -> Result<InstructionStream, ControlError> {
        let mut stub = self.stub(limits::MAX_INSTRUCTION_BYTES);
        let instructions = called(stub.attend(Request::new(reports))).await?;
        Ok(Box::pin(instructions.map(|instruction| instruction.map_err(ControlError::from))))
    }

    /// Fetches the bytes behind a hash. They are not verified here.
    ///
    /// # Errors
    /// `NotFound` for a hash that the manifest does not name; `Unavailable` when the connection broke.
    pub async fn fetch(&self, request: FetchRequest) -> Result<ChunkStream, ControlError> {
        let mut stub = self.stub(CHUNK_BYTES + limits::MESSAGE_OVERHEAD_BYTES);
        let chunks = called(stub.fetch(request)).await?;
        Ok(Box::pin(chunks.map(|chunk| chunk.map_err(ControlError::from).and_then(super::server::checked))))
    }

    /// Asks for a snapshot.
    ///
    /// # Errors
    /// `NotAllowed` for a stranger; `Unavailable` when the connection broke.
    pub async fn status(&self) -> Result<Status, ControlError> {
        called(self.stub(limits::MAX_STATUS_BYTES).status(StatusRequest {})).await
    }

    /// Asks who holds how much, and what moves.
    ///
    /// # Errors
    /// `NotAllowed` for anyone but the node's own key; `Unavailable` when the connection broke.
    pub async fn placement(&self) -> Result<PlacementReply, ControlError> {
        called(self.stub(limits::MAX_STATUS_BYTES).placement(PlacementRequest {})).await
    }

    /// Asks who earned what.
    ///
    /// # Errors
    /// `NotAllowed` for a stranger; `Unavailable` when the store does not answer or the connection broke.
    pub async fn credit(&self, request: CreditRequest) -> Result<CreditReply, ControlError> {
        called(self.stub(limits::MAX_CREDIT_BYTES).credit(request)).await
    }

    /// Changes this worker's team.
    ///
    /// # Errors
    /// `NotAllowed` for a stranger; `BadRequest` for a name that no team can have.
    pub async fn set_team(&self, request: SetTeamRequest) -> Result<SetTeamReply, ControlError> {
        called(self.stub(limits::MESSAGE_OVERHEAD_BYTES).set_team(request)).await
    }

    /// Asks for a worker that was excluded to work again.
    ///
    /// # Errors
    /// `NotAllowed` for anyone but the node's own key; `NotFound` and `BadRequest` for none or several that are called so.
    pub async fn pardon(&self, request: PardonRequest) -> Result<PardonReply, ControlError> {
        called(self.stub(limits::MESSAGE_OVERHEAD_BYTES).pardon(request)).await
    }

    /// Asks the node to finish.
    ///
    /// # Errors
    /// `NotAllowed` for anyone but the node's own key; `Unavailable` when the connection broke.
    pub async fn stop(&self) -> Result<StopReply, ControlError> {
        called(self.stub(limits::MESSAGE_OVERHEAD_BYTES).stop(StopRequest {})).await
    }

    fn stub(&self, limit_bytes: usize) -> Stub<Channel> {
        Stub::new(self.channel.clone()).max_decoding_message_size(limit_bytes)
    }
}

/// HTTP/2 over TLS to `address`, where nobody but `expected` is accepted.
///
/// # Errors
/// As [`ControlClient::connect_tls`].
pub(crate) async fn channel_by_tls(address: &str, key: &NodeKey, expected: NodeId) -> Result<Channel, ConnectError> {
    let limit = limits::HANDSHAKE_TIME_LIMIT;
    match timeout(limit, shake_hands(address, key, expected)).await {
        Ok(stream) => channel_over(Box::new(stream?), expected).await,
        Err(_) => Err(ConnectError::Slow { address: address.to_owned(), limit }),
    }
}

/// HTTP/2 over `stream`, which is handed out once: a broken connection stays broken.
async fn channel_over(stream: Box<dyn Duplex>, peer: NodeId) -> Result<Channel, ConnectError> {
    let once = Mutex::new(Some(TokioIo::new(stream)));
    let connector = tower::service_fn(move |_| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(stream.ok_or(io::Error::from(io::ErrorKind::NotConnected)))
    });
    let connected = timeout(limits::HANDSHAKE_TIME_LIMIT, endpoint().connect_with_connector(connector)).await;
    let slow = |_| ConnectError::Slow { address: peer.to_string(), limit: limits::HANDSHAKE_TIME_LIMIT };
    let failed = |error| ConnectError::Http { peer, reason: innermost(&error).to_string() };
    connected.map_err(slow)?.map_err(failed)
}

async fn shake_hands(address: &str, key: &NodeKey, expected: NodeId) -> Result<impl Duplex + use<>, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { address: address.to_owned(), source };
    let failed = |source| ConnectError::Tls { address: address.to_owned(), source };
    let connector = TlsConnector::from(tls::client(key, expected).map_err(failed)?);
    let name = tls::server_name().map_err(failed)?;
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    connector.connect(name, stream).await.map_err(|error| failed(TlsError::of_handshake(error)))
}

fn endpoint() -> Endpoint {
    Endpoint::from_static(ORIGIN)
        .initial_stream_window_size(limits::CALL_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(limits::KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(limits::KEEP_ALIVE_TIME_LIMIT)
        .keep_alive_while_idle(true)
}

/// Waits for a call's answer to begin, not for ever.
pub(crate) async fn called<T>(
    call: impl Future<Output = Result<Response<T>, tonic::Status>>,
) -> Result<T, ControlError> {
    match timeout(limits::CALL_TIME_LIMIT, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(ControlError::new(
            ControlErrorKind::Unavailable,
            format!("no answer within {} ms", limits::CALL_TIME_LIMIT.as_millis()),
        )),
    }
}
