//! The client: one connection to one aggregator.

use futures::{Stream, StreamExt};
use neuro_primitives::{NodeId, NodeKey};
use neuro_protocol::federated::{
    EnrolReply, EnrolRequest, FetchRequest, ParticipantMessage, RoundStatus, RoundStatusRequest, StartRoundReply,
    StartRoundRequest, StopRoundReply, StopRoundRequest, UploadChunk, UploadReply, UploadStart, UploadStateReply,
    UploadStateRequest,
};
use tonic::Request;
use tonic::transport::Channel;

use super::stubs::federated_client::FederatedClient as Stub;
use super::{AggregatorStream, ChunkStream, ConnectError, ControlError, limits};
use crate::control::client::{called, channel_by_tls};
use crate::control::limits::MESSAGE_OVERHEAD_BYTES;

/// One connection to one aggregator. Cloning shares it. When it breaks, calls fail with `Unavailable` and a new client
/// is needed.
#[derive(Debug, Clone)]
pub struct FederatedClient {
    peer: NodeId,
    channel: Channel,
}

impl FederatedClient {
    /// Connects to `address` (`host:port`) by TLS, proving `key`, and accepts nobody there but `expected`.
    ///
    /// # Errors
    /// When the address does not answer in time or the handshake fails.
    pub async fn connect(address: &str, key: &NodeKey, expected: NodeId) -> Result<Self, ConnectError> {
        Ok(Self { peer: expected, channel: channel_by_tls(address, key, expected).await? })
    }

    /// The node at the other end, which proved its key.
    #[must_use]
    pub const fn peer(&self) -> NodeId {
        self.peer
    }

    /// Asks to be let into the task, or for the newest roster.
    ///
    /// # Errors
    /// `NotAllowed` for an invitation that is not accepted; `Unavailable` when the connection broke.
    pub async fn enrol(&self, request: EnrolRequest) -> Result<EnrolReply, ControlError> {
        called(self.stub(limits::MAX_ROSTER_BYTES + MESSAGE_OVERHEAD_BYTES).enrol(request)).await
    }

    /// Attends: sends `messages` as they come and returns what the aggregator tells. The end of `messages`, or dropping
    /// the announcements, ends the attendance.
    ///
    /// # Errors
    /// `NotAllowed` for a node that the roster does not list; `Unavailable` when the connection broke or this node
    /// attends already.
    pub async fn attend(
        &self,
        messages: impl Stream<Item = ParticipantMessage> + Send + 'static,
    ) -> Result<AggregatorStream, ControlError> {
        let mut stub = self.stub(limits::MAX_ANNOUNCEMENT_BYTES + MESSAGE_OVERHEAD_BYTES);
        let announcements = called(stub.attend(Request::new(messages))).await?;
        Ok(Box::pin(announcements.map(|announcement| announcement.map_err(ControlError::from))))
    }

    /// Asks how much of this node's payload is held.
    ///
    /// # Errors
    /// `NotFound` when the aggregator expects none; `Unavailable` when the connection broke.
    pub async fn upload_state(&self, round: u64, cohort: u32) -> Result<UploadStateReply, ControlError> {
        called(self.stub(MESSAGE_OVERHEAD_BYTES).upload_state(UploadStateRequest { round, cohort })).await
    }

    /// Sends a payload's bytes, 1 to 128 KiB each, which begin at `start.offset`. Lasts as long as they do: the caller
    /// bounds it.
    ///
    /// # Errors
    /// `BadRequest` when they are not the ones of the signed statement; `Unavailable` when the connection broke.
    pub async fn upload(
        &self,
        start: UploadStart,
        payload: impl Stream<Item = Vec<u8>> + Send + 'static,
    ) -> Result<UploadReply, ControlError> {
        let first = UploadChunk { start: Some(start), data: Vec::new() };
        let rest = payload.map(|data| UploadChunk { start: None, data });
        let chunks = futures::stream::iter([first]).chain(rest);
        Ok(self.stub(MESSAGE_OVERHEAD_BYTES).upload(Request::new(chunks)).await?.into_inner())
    }

    /// Fetches the bytes behind a hash. They are not verified here.
    ///
    /// # Errors
    /// `NotFound` for a hash that the task does not know; `Unavailable` when the connection broke.
    pub async fn fetch(&self, request: FetchRequest) -> Result<ChunkStream, ControlError> {
        let chunks = called(self.stub(limits::MAX_CHUNK_MESSAGE_BYTES).fetch(request)).await?;
        Ok(Box::pin(chunks.map(|chunk| chunk.map_err(ControlError::from).and_then(super::server::checked))))
    }

    /// Asks for a snapshot; of round `round`, or of the newest if 0.
    ///
    /// # Errors
    /// `NotFound` for a round that never was; `Unavailable` when the connection broke.
    pub async fn round_status(&self, round: u64) -> Result<RoundStatus, ControlError> {
        called(self.stub(limits::MAX_STATUS_BYTES).round_status(RoundStatusRequest { round })).await
    }

    /// Begins a round.
    ///
    /// # Errors
    /// `NotAllowed` for anyone but the aggregator's own key and the owner; `BadRequest` while a round runs.
    pub async fn start_round(&self) -> Result<StartRoundReply, ControlError> {
        called(self.stub(MESSAGE_OVERHEAD_BYTES).start_round(StartRoundRequest {})).await
    }

    /// Ends the running round.
    ///
    /// # Errors
    /// `NotAllowed` for anyone but the aggregator's own key and the owner.
    pub async fn stop_round(&self) -> Result<StopRoundReply, ControlError> {
        called(self.stub(MESSAGE_OVERHEAD_BYTES).stop_round(StopRoundRequest {})).await
    }

    fn stub(&self, limit_bytes: usize) -> Stub<Channel> {
        Stub::new(self.channel.clone()).max_decoding_message_size(limit_bytes)
    }
}
