//! The server: calls from gRPC to a [`ControlService`] and back.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use neuro_primitives::{NodeId, NodeKey};
use neuro_protocol::control as messages;
use neuro_protocol::limits::CHUNK_BYTES;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::acceptor::Acceptor;
use super::connection::Peer;
use super::error::innermost;
use super::stubs::control_server::{Control, ControlServer};
use super::{ControlError, ControlErrorKind, ControlService, Messages, limits};
use crate::peer_to_peer::PeerStream;
use crate::tls::{self, TlsError};

/// Why the control services ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP/2 server failed. A single connection's failure never ends it.
    #[error("the control server failed: {reason}")]
    Server {
        /// What failed.
        reason: String,
    },
}

impl ServeError {
    /// Whether serving again may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Server { .. })
    }
}

/// Serves `service` on `listener` (TLS with `key`) and on `p2p_streams`, until `shutdown` completes and calls under
/// way have ended, or two seconds later, when what is left is cut.
///
/// # Errors
/// When TLS cannot be set up or the server as a whole fails; a peer cannot bring that about.
pub async fn serve<S: ControlService>(
    listener: TcpListener,
    p2p_streams: mpsc::Receiver<(NodeId, PeerStream)>,
    key: &NodeKey,
    service: Arc<S>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let settings = settings().timeout(limits::CALL_TIME_LIMIT);
    serve_calls(listener, p2p_streams, key, settings, handlers(service), shutdown).await
}

/// As [`serve`], for any gRPC service: every call that reaches `calls` carries its [`Peer`].
pub(crate) async fn serve_calls<S>(
    listener: TcpListener,
    p2p_streams: mpsc::Receiver<(NodeId, PeerStream)>,
    key: &NodeKey,
    settings: Server,
    calls: S,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError>
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let (admitted, connections) = mpsc::channel(limits::ACCEPTED_CONNECTIONS);
    let (stopping, cut) = (CancellationToken::new(), CancellationToken::new());
    // Each connection has a task of its own: they must end even when this future is dropped.
    let _cut_at_the_end = cut.clone().drop_guard();
    let acceptor = Acceptor::new(TlsAcceptor::from(tls::server(key)?), admitted, cut.clone());
    let stop = async {
        shutdown.await;
        stopping.cancel();
    };
    let accept = async {
        tokio::select! {
            () = acceptor.clone().accept_tls(listener) => {}
            () = acceptor.clone().accept_streams(p2p_streams) => {}
            () = stopping.cancelled() => {}
        }
        sleep(limits::SHUTDOWN_TIME_LIMIT).await;
        cut.cancel();
        pending::<()>().await;
    };
    let incoming = ReceiverStream::new(connections).map(Ok::<_, Infallible>);
    let server = settings.serve_with_incoming_shutdown(calls, incoming, stop);
    tokio::select! {
        outcome = server => outcome.map_err(|error| ServeError::Server { reason: innermost(&error).to_string() }),
        () = accept => Ok(()),
    }
}

/// The bounds that every service has.
pub(crate) fn settings() -> Server {
    Server::builder()
        .max_concurrent_streams(limits::MAX_CALLS_PER_CONNECTION)
        .initial_stream_window_size(limits::CALL_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(limits::MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(limits::KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEP_ALIVE_TIME_LIMIT))
}

fn handlers<S: ControlService>(service: Arc<S>) -> ControlServer<Handlers<S>> {
    ControlServer::new(Handlers(service)).max_decoding_message_size(limits::MAX_REQUEST_BYTES)
}

/// Messages as gRPC sends them.
pub(crate) type Statuses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The generated trait, in terms of ours.
struct Handlers<S>(Arc<S>);

#[tonic::async_trait]
impl<S: ControlService> Control for Handlers<S> {
    type AttendStream = Statuses<messages::Instruction>;
    type FetchStream = Statuses<messages::FetchChunk>;

    async fn join(&self, request: Request<messages::JoinRequest>) -> Result<Response<messages::JoinReply>, Status> {
        let peer = peer_of(&request)?;
        Ok(Response::new(self.0.join(peer, request.into_inner()).await?))
    }

    async fn attend(
        &self,
        request: Request<Streaming<messages::WorkerReport>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let peer = peer_of(&request)?;
        let reports = request.into_inner().map(|report| report.map_err(ControlError::from));
        answer(self.0.attend(peer, Box::pin(reports)).await?)
    }

    async fn fetch(&self, request: Request<messages::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let peer = peer_of(&request)?;
        let chunks = self.0.fetch(peer, request.into_inner()).await?;
        answer(Box::pin(chunks.map(|chunk| chunk.and_then(checked))))
    }

    async fn status(&self, request: Request<messages::StatusRequest>) -> Result<Response<messages::Status>, Status> {
        Ok(Response::new(self.0.status(peer_of(&request)?).await?))
    }

    async fn placement(
        &self,
        request: Request<messages::PlacementRequest>,
    ) -> Result<Response<messages::PlacementReply>, Status> {
        Ok(Response::new(self.0.placement(peer_of(&request)?).await?))
    }

    async fn credit(
        &self,
        request: Request<messages::CreditRequest>,
    ) -> Result<Response<messages::CreditReply>, Status> {
        let peer = peer_of(&request)?;
        Ok(Response::new(self.0.credit(peer, request.into_inner()).await?))
    }

    async fn set_team(
        &self,
        request: Request<messages::SetTeamRequest>,
    ) -> Result<Response<messages::SetTeamReply>, Status> {
        let peer = peer_of(&request)?;
        Ok(Response::new(self.0.set_team(peer, request.into_inner()).await?))
    }

    async fn pardon(
        &self,
        request: Request<messages::PardonRequest>,
    ) -> Result<Response<messages::PardonReply>, Status> {
        let peer = peer_of(&request)?;
        Ok(Response::new(self.0.pardon(peer, request.into_inner()).await?))
    }

    async fn stop(&self, request: Request<messages::StopRequest>) -> Result<Response<messages::StopReply>, Status> {
        Ok(Response::new(self.0.stop(peer_of(&request)?).await?))
    }
}

/// Whom a request came from.
pub(crate) fn peer_of<T>(request: &Request<T>) -> Result<NodeId, Status> {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    peer.ok_or_else(|| Status::unauthenticated("the connection has no peer"))
}

/// `messages`, with errors as gRPC says them.
pub(crate) fn answer<T: Send + 'static>(messages: Messages<T>) -> Result<Response<Statuses<T>>, Status> {
    Ok(Response::new(Box::pin(messages.map(|message| message.map_err(Status::from)))))
}

/// A chunk within its bounds. Both sides check: a worker must not be flooded, and our own handlers must not flood.
pub(super) fn checked(chunk: messages::FetchChunk) -> Result<messages::FetchChunk, ControlError> {
    match chunk.data.len() {
        1..=CHUNK_BYTES => Ok(chunk),
        got => {
            let message = format!("expected a chunk of 1 to {CHUNK_BYTES} bytes, got {got}");
            Err(ControlError::new(ControlErrorKind::Internal, message))
        }
    }
}
