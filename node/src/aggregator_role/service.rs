//! The federated services of an aggregator: who may call what, and the standing conversation with each participant.

use std::sync::Arc;

use futures::StreamExt;
use neuro_model::mapped_file::MappedFile;
use neuro_network::federated::{
    AggregatorStream, ChunkStream, ControlError, ControlErrorKind, FederatedService, ParticipantStream, PayloadStream,
    chunks,
};
use neuro_primitives::{Hash, NodeId};
use neuro_protocol::federated::{
    AggregatorMessage, EnrolReply, EnrolRequest, FetchRequest, ParticipantMessage, RoundEnded, RoundStatus,
    RoundStatusRequest, StartRoundReply, StopRoundReply, UploadReply, UploadStart, UploadStateReply,
    UploadStateRequest, aggregator_message::Body,
};
use neuro_secagg::aggregator::Input;
use neuro_secagg::roster::Registry;
use tokio_stream::wrappers::ReceiverStream;

use super::cohort::CohortHandle;
use super::enrolment::EnrolError;
use super::shared::Shared;
use super::status;
use super::uploads::Expected;
use crate::clock::unix_now;

/// Answers participants and this machine's own commands.
pub struct AggregatorService {
    shared: Arc<Shared>,
}

impl AggregatorService {
    /// The services of one aggregator.
    #[must_use]
    pub const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Only the aggregator's own key and the owner may start and stop rounds.
    fn owner(&self, peer: NodeId) -> Result<(), ControlError> {
        if peer == self.shared.key.node_id() || peer == self.shared.roster.identity().owner {
            return Ok(());
        }
        Err(refused(ControlErrorKind::NotAllowed, "only the aggregator's own key and the owner's may do this"))
    }

    fn cohort(&self, round: u64, cohort: u32) -> Result<Arc<CohortHandle>, ControlError> {
        let gone = || refused(ControlErrorKind::NotFound, format!("cohort {cohort} of round {round} does not run"));
        self.shared.cohort(round, cohort).ok_or_else(gone)
    }
}

impl FederatedService for AggregatorService {
    fn admits(&self, peer: NodeId) -> bool {
        self.shared.roster.lists(peer) || self.owner(peer).is_ok()
    }

    async fn enrol(&self, peer: NodeId, request: EnrolRequest) -> Result<EnrolReply, ControlError> {
        let shared = &self.shared;
        let listed = match shared.roster.enrol(shared.owner.as_ref(), peer, &request.invitation, unix_now()) {
            Ok(()) => true,
            Err(EnrolError::OwnerAway(node)) => {
                tracing::warn!(%node, name = %request.name, "a node shows an invitation; its owner has to list it");
                false
            }
            Err(error) => return Err(enrol_refused(&error)),
        };
        if listed {
            shared.capabilities().insert(peer, request.capability);
        }
        let signed_roster = shared.roster.encoded().to_vec();
        Ok(EnrolReply { signed_roster, listed, description: shared.description.clone() })
    }

    async fn attend(&self, peer: NodeId, messages: ParticipantStream) -> Result<AggregatorStream, ControlError> {
        if !self.shared.roster.lists(peer) {
            return Err(refused(ControlErrorKind::NotAllowed, "the roster does not list this node"));
        }
        let (session, outgoing) = self.shared.streams.open(peer);
        tracing::info!(peer = %peer.short(), "attends");
        tokio::spawn(converse(Arc::clone(&self.shared), peer, session, messages));
        Ok(Box::pin(ReceiverStream::new(outgoing)))
    }

    async fn upload_state(&self, peer: NodeId, request: UploadStateRequest) -> Result<UploadStateReply, ControlError> {
        let cohort = self.cohort(request.round, request.cohort)?;
        let nothing = || refused(ControlErrorKind::NotFound, "no payload of this node is expected");
        let state = cohort.uploads.state(peer).ok_or_else(nothing)?;
        Ok(UploadStateReply { held_bytes: state.held, complete: state.complete })
    }

    async fn upload(
        &self,
        peer: NodeId,
        start: UploadStart,
        payload: PayloadStream,
    ) -> Result<UploadReply, ControlError> {
        let cohort = self.cohort(start.round, start.cohort)?;
        let reply = cohort.uploads.receive(peer, &start, payload).await;
        match cohort.uploads.state(peer) {
            Some(Expected { payload, bytes, complete: true, .. }) => {
                cohort.post(Input::UploadComplete { from: peer, payload, bytes }).await;
            }
            Some(Expected { payload, unfit: true, .. }) => {
                cohort.post(Input::UploadUnfit { from: peer, payload }).await;
            }
            _ => {}
        }
        reply
    }

    async fn fetch(&self, _: NodeId, request: FetchRequest) -> Result<ChunkStream, ControlError> {
        let hash = request.hash.try_into().map(Hash);
        let hash = hash.map_err(|_| refused(ControlErrorKind::BadRequest, "a hash has 32 bytes"))?;
        let unknown = || refused(ControlErrorKind::NotFound, format!("nothing here has the hash {hash}"));
        let path = self.shared.models.find(hash).ok_or_else(unknown)?;
        chunks(Mapped(MappedFile::open(&path).map_err(|_| unknown())?), request.offset)
    }

    async fn round_status(&self, _: NodeId, request: RoundStatusRequest) -> Result<RoundStatus, ControlError> {
        let missing = || refused(ControlErrorKind::NotFound, format!("there was no round {}", request.round));
        status::read(&self.shared, request.round).ok_or_else(missing)
    }

    async fn start_round(&self, peer: NodeId) -> Result<StartRoundReply, ControlError> {
        self.owner(peer)?;
        let round = self.shared.start_round().await;
        Ok(StartRoundReply { round: round.map_err(|reason| refused(ControlErrorKind::BadRequest, reason))? })
    }

    async fn stop_round(&self, peer: NodeId) -> Result<StopRoundReply, ControlError> {
        self.owner(peer)?;
        let cohorts = self.shared.cohorts();
        for cohort in &cohorts {
            cohort.post(Input::Stop).await;
        }
        Ok(StopRoundReply { round: cohorts.first().map_or(0, |cohort| cohort.config.config().round) })
    }
}

/// One conversation until it ends. A message is dealt with durably before the next one is read.
async fn converse(shared: Arc<Shared>, peer: NodeId, session: u64, mut messages: ParticipantStream) {
    for cohort in shared.cohorts_of(peer) {
        cohort.post(Input::Connected(peer)).await;
    }
    while let Some(Ok(message)) = messages.next().await {
        let ParticipantMessage { round, cohort, body } = message;
        let Some(cohort) = shared.cohort(round, cohort) else {
            shared.tell_end(peer, round, cohort);
            continue;
        };
        let input = if body.is_empty() { Input::Connected(peer) } else { Input::Message { from: peer, bytes: body } };
        cohort.post(input).await;
    }
    if shared.streams.close(peer, session) {
        tracing::info!(peer = %peer.short(), "attends no more");
        for cohort in shared.cohorts_of(peer) {
            cohort.post_blindly(Input::Lost(peer));
        }
    }
}

impl Shared {
    /// The cohorts that call `peer`'s batch.
    fn cohorts_of(&self, peer: NodeId) -> Vec<Arc<CohortHandle>> {
        let Some(batch) = self.roster.roster().batch_of(peer) else { return Vec::new() };
        let calls = |cohort: &Arc<CohortHandle>| cohort.config.config().batches.contains(&batch);
        self.answering().into_iter().filter(calls).collect()
    }

    /// Tells `peer` how a round ended that nobody here answers for any more.
    fn tell_end(&self, peer: NodeId, round: u64, cohort: u32) {
        let history = self.history();
        let Some(ended) = history.rounds().iter().rev().find(|ended| ended.number == round) else { return };
        let body = Body::Ended(RoundEnded { done: ended.done, reason: ended.outcome.clone() });
        self.streams.send(peer, AggregatorMessage { round, cohort, body: Some(body) });
    }
}

/// A file whose bytes are read as they leave.
struct Mapped(MappedFile);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// What the caller did wrong is told; what is wrong here is not its business.
fn enrol_refused(error: &EnrolError) -> ControlError {
    match error {
        EnrolError::Io { .. } | EnrolError::Document(_) | EnrolError::Roster(_) | EnrolError::Entropy(_) => {
            tracing::error!(%error, "a node cannot be enrolled");
            refused(ControlErrorKind::Internal, "the roster cannot be used; ask its owner")
        }
        _ => refused(ControlErrorKind::NotAllowed, error.to_string()),
    }
}

fn refused(kind: ControlErrorKind, message: impl Into<String>) -> ControlError {
    ControlError::new(kind, message)
}
