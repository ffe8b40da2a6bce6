//! The control services: gRPC over TLS with node keys, or over a libp2p stream where only that path exists.
//!
//! Either way the connection proves both node keys before a request is read, and the peer's [`NodeId`] reaches the
//! handlers with every call. Whether a node may do what it asks is the handlers' decision.
//!
//! ```text
//! worker                          orchestrator
//!   Join(ticket, abilities)  ──▶    checks the ticket
//!   ◀── signed manifest, data addresses
//!   Attend(reports …)        ◀─▶    instructions …        for as long as the worker serves
//!   Fetch(hash, offset)      ──▶
//!   ◀── chunks of 128 KiB
//! ```
//!
//! A connection that ends is the end of the worker's attendance: keep-alive pings notice a silent one within 15 s.

mod acceptor;
pub(crate) mod client;
pub(crate) mod connection;
mod error;
pub mod limits;
pub(crate) mod server;
pub(crate) mod slots;

use std::pin::Pin;

use futures::{Stream, StreamExt};
use neuro_primitives::NodeId;
use neuro_protocol::control::{
    CreditReply, CreditRequest, FetchChunk, FetchRequest, Instruction, JoinReply, JoinRequest, PardonReply,
    PardonRequest, PlacementReply, SetTeamReply, SetTeamRequest, Status, StopReply, WorkerReport,
};
use neuro_protocol::limits::CHUNK_BYTES;

pub use self::client::{ConnectError, ControlClient};
pub use self::error::{ControlError, ControlErrorKind};
pub use self::server::{ServeError, serve};

/// Stubs that `build.rs` generates.
#[allow(missing_docs, clippy::too_many_lines, reason = "generated, and seen by this crate alone")]
mod stubs {
    include!(concat!(env!("OUT_DIR"), "/neuro.control.v1.rs"));
}

/// Messages that arrive or leave one by one; its end is the end of the conversation.
pub type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, ControlError>> + Send>>;

/// What a worker reports while it attends. An error means that the connection broke.
pub type ReportStream = Messages<WorkerReport>;

/// What an orchestrator tells an attending worker.
pub type InstructionStream = Messages<Instruction>;

/// The bytes behind a hash, at most 128 KiB each.
pub type ChunkStream = Messages<FetchChunk>;

/// What an orchestrator answers. Implementations write `async fn`s; each call runs in the connection's task and is
/// dropped when the peer goes away.
pub trait ControlService: Send + Sync + 'static {
    /// Admits `peer` by its ticket.
    fn join(&self, peer: NodeId, request: JoinRequest) -> impl Future<Output = Result<JoinReply, ControlError>> + Send;

    /// Takes `peer`'s reports and returns its instructions. Ending the instructions ends the worker's service.
    fn attend(
        &self,
        peer: NodeId,
        reports: ReportStream,
    ) -> impl Future<Output = Result<InstructionStream, ControlError>> + Send;

    /// The bytes of one tensor or asset; see [`chunks`].
    fn fetch(
        &self,
        peer: NodeId,
        request: FetchRequest,
    ) -> impl Future<Output = Result<ChunkStream, ControlError>> + Send;

    /// A snapshot of this node.
    fn status(&self, peer: NodeId) -> impl Future<Output = Result<Status, ControlError>> + Send;

    /// Who holds how much, and what moves. A node that places nothing has no answer.
    fn placement(&self, _peer: NodeId) -> impl Future<Output = Result<PlacementReply, ControlError>> + Send {
        std::future::ready(Err(ControlError::new(ControlErrorKind::NotFound, "this node places no experts")))
    }

    /// Who earned what. A node that counts nothing has no answer.
    fn credit(
        &self,
        _peer: NodeId,
        _request: CreditRequest,
    ) -> impl Future<Output = Result<CreditReply, ControlError>> + Send {
        std::future::ready(Err(counts_nothing()))
    }

    /// Changes `peer`'s team.
    fn set_team(
        &self,
        _peer: NodeId,
        _request: SetTeamRequest,
    ) -> impl Future<Output = Result<SetTeamReply, ControlError>> + Send {
        std::future::ready(Err(counts_nothing()))
    }

    /// Lets a worker work again that was excluded. A node without workers has none.
    fn pardon(
        &self,
        _peer: NodeId,
        _request: PardonRequest,
    ) -> impl Future<Output = Result<PardonReply, ControlError>> + Send {
        std::future::ready(Err(ControlError::new(ControlErrorKind::NotFound, "this node has no workers")))
    }

    /// Asks this node to finish.
    fn stop(&self, peer: NodeId) -> impl Future<Output = Result<StopReply, ControlError>> + Send;
}

fn counts_nothing() -> ControlError {
    ControlError::new(ControlErrorKind::NotFound, "this node counts no credit")
}

/// `source` from `offset` on, cut into chunks of 128 KiB. A mapped file is read as the chunks leave.
///
/// # Errors
/// `BadRequest` when `offset` lies behind the end.
pub fn chunks<B>(source: B, offset: u64) -> Result<ChunkStream, ControlError>
where
    B: AsRef<[u8]> + Send + 'static,
{
    let length = source.as_ref().len();
    let start = usize::try_from(offset).ok().filter(|&start| start <= length).ok_or_else(|| {
        ControlError::new(ControlErrorKind::BadRequest, format!("expected an offset of at most {length}, got {offset}"))
    })?;
    let starts = futures::stream::iter((start..length).step_by(CHUNK_BYTES));
    Ok(Box::pin(starts.map(move |at| {
        let end = length.min(at + CHUNK_BYTES);
        Ok(FetchChunk { data: source.as_ref()[at..end].to_vec() })
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lengths(source: Vec<u8>, offset: u64) -> Vec<usize> {
        chunks(source, offset).unwrap().map(|chunk| chunk.unwrap().data.len()).collect().await
    }

    #[tokio::test]
    async fn bytes_are_cut_into_chunks_from_the_offset_on() {
        assert_eq!(lengths(vec![0; 2 * CHUNK_BYTES + 5], 0).await, [CHUNK_BYTES, CHUNK_BYTES, 5]);
        assert_eq!(lengths(vec![0; 2 * CHUNK_BYTES + 5], 10).await, [CHUNK_BYTES, CHUNK_BYTES - 5]);
        assert_eq!(lengths(vec![0; 7], 7).await, [0; 0]);
        let error = chunks(vec![0; 7], 8).err().unwrap();
        assert_eq!(error.kind, ControlErrorKind::BadRequest);
    }
}
