//! The services of federated learning: gRPC over TLS with node keys.
//!
//! The connection proves both node keys before a request is read. A node that the service does not list is refused
//! with the headers of its call, before a byte of the body is read; `Enrol` alone is open to everybody.
//!
//! ```text
//! participant                     aggregator
//!   Enrol(invitation)       ──▶     checks the owner's signature
//!   ◀── roster
//!   Attend(messages …)      ◀─▶     configuration, announcements …    for as long as it takes part
//!   Fetch(hash, offset)     ──▶
//!   ◀── chunks of 128 KiB           global weights
//!   UploadState             ──▶     bytes held
//!   Upload(start, chunks …) ──▶     masked payload
//! ```
//!
//! What travels inside (`docs/spec/secagg.md`) is signed by those who said it; nothing here reads it.

mod client;
mod gate;
pub mod limits;
mod server;

use futures::StreamExt;
use neuro_primitives::NodeId;
use neuro_protocol::federated::{
    AggregatorMessage, EnrolReply, EnrolRequest, FetchChunk, FetchRequest, ParticipantMessage, RoundStatus,
    RoundStatusRequest, StartRoundReply, StopRoundReply, UploadReply, UploadStart, UploadStateReply,
    UploadStateRequest,
};

pub use self::client::FederatedClient;
pub use self::server::serve;
use crate::control;
pub use crate::control::{ConnectError, ControlError, ControlErrorKind, Messages, ServeError};

/// Stubs that `build.rs` generates.
#[allow(missing_docs, clippy::too_many_lines, reason = "generated, and seen by this crate alone")]
mod stubs {
    include!(concat!(env!("OUT_DIR"), "/neuro.federated.v1.rs"));
}

/// What a participant says while it attends. An error means that the connection broke.
pub type ParticipantStream = Messages<ParticipantMessage>;

/// What an aggregator tells an attending participant.
pub type AggregatorStream = Messages<AggregatorMessage>;

/// The bytes behind a hash, at most 128 KiB each.
pub type ChunkStream = Messages<FetchChunk>;

/// The bytes of a payload, 1 to 128 KiB each.
pub type PayloadStream = Messages<Vec<u8>>;

/// What an aggregator answers. Implementations write `async fn`s; each call runs in the connection's task and is
/// dropped when the peer goes away.
pub trait FederatedService: Send + Sync + 'static {
    /// Whether `peer` may call anything but `Enrol`. Asked with the headers of every call: it must be quick.
    fn admits(&self, peer: NodeId) -> bool;

    /// Admits `peer` by its invitation, or tells it the newest roster.
    fn enrol(
        &self,
        peer: NodeId,
        request: EnrolRequest,
    ) -> impl Future<Output = Result<EnrolReply, ControlError>> + Send;

    /// Takes `peer`'s messages and returns its announcements. A node has one such conversation at a time.
    fn attend(
        &self,
        peer: NodeId,
        messages: ParticipantStream,
    ) -> impl Future<Output = Result<AggregatorStream, ControlError>> + Send;

    /// How much of `peer`'s payload is held.
    fn upload_state(
        &self,
        peer: NodeId,
        request: UploadStateRequest,
    ) -> impl Future<Output = Result<UploadStateReply, ControlError>> + Send;

    /// Takes `peer`'s payload from `start.offset` on. A node has one upload at a time.
    fn upload(
        &self,
        peer: NodeId,
        start: UploadStart,
        payload: PayloadStream,
    ) -> impl Future<Output = Result<UploadReply, ControlError>> + Send;

    /// The bytes behind a hash; see [`chunks`].
    fn fetch(
        &self,
        peer: NodeId,
        request: FetchRequest,
    ) -> impl Future<Output = Result<ChunkStream, ControlError>> + Send;

    /// A snapshot of the task and one round.
    fn round_status(
        &self,
        peer: NodeId,
        request: RoundStatusRequest,
    ) -> impl Future<Output = Result<RoundStatus, ControlError>> + Send;

    /// Begins a round.
    fn start_round(&self, peer: NodeId) -> impl Future<Output = Result<StartRoundReply, ControlError>> + Send;

    /// Ends the running round.
    fn stop_round(&self, peer: NodeId) -> impl Future<Output = Result<StopRoundReply, ControlError>> + Send;
}

/// `source` from `offset` on, cut into chunks of 128 KiB. A mapped file is read as the chunks leave.
///
/// # Errors
/// `BadRequest` when `offset` lies behind the end.
pub fn chunks<B>(source: B, offset: u64) -> Result<ChunkStream, ControlError>
where
    B: AsRef<[u8]> + Send + 'static,
{
    let chunks = control::chunks(source, offset)?;
    Ok(Box::pin(chunks.map(|chunk| chunk.map(|chunk| FetchChunk { data: chunk.data }))))
}
