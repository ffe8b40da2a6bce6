//! The server: calls from gRPC to a [`FederatedService`] and back.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use neuro_primitives::{NodeId, NodeKey};
use neuro_protocol::federated as messages;
use neuro_protocol::limits::CHUNK_BYTES;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use super::gate::Gate;
use super::stubs::federated_server::{Federated, FederatedServer};
use super::{ControlError, ControlErrorKind, FederatedService, Messages, PayloadStream, ServeError, limits};
use crate::control::server::{Statuses, answer, peer_of, serve_calls, settings};
use crate::control::slots::{Slot, Slots};

/// Serves `service` on `listener` (TLS with `key`), until `shutdown` completes and calls under way have ended, or two
/// seconds later, when what is left is cut.
///
/// # Errors
/// When TLS cannot be set up or the server as a whole fails; a peer cannot bring that about.
pub async fn serve<S: FederatedService>(
    listener: TcpListener,
    key: &NodeKey,
    service: Arc<S>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let handlers = Handlers {
        service: Arc::clone(&service),
        attending: Slots::new(limits::MAX_ATTENDING, limits::CONVERSATIONS_PER_NODE),
        uploading: Slots::new(limits::MAX_ATTENDING, limits::UPLOADS_PER_NODE),
    };
    let calls = FederatedServer::new(handlers).max_decoding_message_size(limits::MAX_REQUEST_BYTES);
    // No streams come over peer-to-peer: the sender is gone at once.
    let (_, no_streams) = mpsc::channel(1);
    serve_calls(listener, no_streams, key, settings(), Gate::new(calls, service), shutdown).await
}

/// The generated trait, in terms of ours.
struct Handlers<S> {
    service: Arc<S>,
    attending: Slots<NodeId>,
    uploading: Slots<NodeId>,
}

#[tonic::async_trait]
impl<S: FederatedService> Federated for Handlers<S> {
    type AttendStream = Statuses<messages::AggregatorMessage>;
    type FetchStream = Statuses<messages::FetchChunk>;

    async fn enrol(&self, request: Request<messages::EnrolRequest>) -> Result<Response<messages::EnrolReply>, Status> {
        let peer = peer_of(&request)?;
        Ok(Response::new(self.service.enrol(peer, request.into_inner()).await?))
    }

    async fn attend(
        &self,
        request: Request<Streaming<messages::ParticipantMessage>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let peer = peer_of(&request)?;
        let place = self.attending.take(peer).ok_or_else(|| taken("this node attends already"))?;
        let incoming = request.into_inner().map(|message| message.map_err(ControlError::from));
        let outgoing = self.service.attend(peer, Box::pin(incoming)).await?;
        answer(Box::pin(Held { messages: outgoing, _place: place }))
    }

    async fn upload_state(
        &self,
        request: Request<messages::UploadStateRequest>,
    ) -> Result<Response<messages::UploadStateReply>, Status> {
        let peer = peer_of(&request)?;
        Ok(Response::new(self.service.upload_state(peer, request.into_inner()).await?))
    }

    async fn upload(
        &self,
        request: Request<Streaming<messages::UploadChunk>>,
    ) -> Result<Response<messages::UploadReply>, Status> {
        let peer = peer_of(&request)?;
        let _place = self.uploading.take(peer).ok_or_else(|| taken("this node uploads already"))?;
        let mut chunks = request.into_inner();
        let first = timeout(limits::CHUNK_TIME_LIMIT, chunks.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no chunk came"))??;
        let Some(messages::UploadChunk { start: Some(start), data }) = first else {
            return Err(Status::invalid_argument("the first chunk must say where the upload begins"));
        };
        Ok(Response::new(self.service.upload(peer, start, payload(data, chunks)).await?))
    }

    async fn fetch(&self, request: Request<messages::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let peer = peer_of(&request)?;
        let chunks = self.service.fetch(peer, request.into_inner()).await?;
        answer(Box::pin(chunks.map(|chunk| chunk.and_then(checked))))
    }

    async fn round_status(
        &self,
        request: Request<messages::RoundStatusRequest>,
    ) -> Result<Response<messages::RoundStatus>, Status> {
        let peer = peer_of(&request)?;
        Ok(Response::new(self.service.round_status(peer, request.into_inner()).await?))
    }

    async fn start_round(
        &self,
        request: Request<messages::StartRoundRequest>,
    ) -> Result<Response<messages::StartRoundReply>, Status> {
        Ok(Response::new(self.service.start_round(peer_of(&request)?).await?))
    }

    async fn stop_round(
        &self,
        request: Request<messages::StopRoundRequest>,
    ) -> Result<Response<messages::StopRoundReply>, Status> {
        Ok(Response::new(self.service.stop_round(peer_of(&request)?).await?))
    }
}

/// The payload's bytes: those of the first chunk, then one chunk after the other, none too large or too late.
fn payload(first: Vec<u8>, rest: Streaming<messages::UploadChunk>) -> PayloadStream {
    let first = (!first.is_empty()).then(|| piece(first));
    let rest = futures::stream::unfold(Some(rest), |chunks| async {
        let mut chunks = chunks?;
        match timeout(limits::CHUNK_TIME_LIMIT, chunks.message()).await {
            Ok(Ok(Some(chunk))) => Some((piece(chunk.data), Some(chunks))),
            Ok(Ok(None)) => None,
            Ok(Err(status)) => Some((Err(ControlError::from(status)), None)),
            Err(_) => Some((Err(ControlError::new(ControlErrorKind::Unavailable, "no chunk came")), None)),
        }
    });
    Box::pin(futures::stream::iter(first).chain(rest))
}

fn piece(data: Vec<u8>) -> Result<Vec<u8>, ControlError> {
    match data.len() {
        1..=CHUNK_BYTES => Ok(data),
        got => {
            let message = format!("expected a chunk of 1 to {CHUNK_BYTES} bytes, got {got}");
            Err(ControlError::new(ControlErrorKind::BadRequest, message))
        }
    }
}

/// A chunk within its bounds. Both sides check: a participant must not be flooded, and our own handlers must not flood.
pub(super) fn checked(chunk: messages::FetchChunk) -> Result<messages::FetchChunk, ControlError> {
    Ok(messages::FetchChunk { data: piece(chunk.data)? })
}

/// One's place is taken by oneself: an earlier line that is not yet known to be dead, or a second participant.
fn taken(message: &str) -> Status {
    ControlError::new(ControlErrorKind::Unavailable, message).into()
}

/// A conversation that keeps its place until it is dropped.
struct Held<T> {
    messages: Messages<T>,
    _place: Slot<NodeId>,
}

impl<T> Stream for Held<T> {
    type Item = Result<T, ControlError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Self::Item>> {
        self.messages.as_mut().poll_next(cx)
    }
}
