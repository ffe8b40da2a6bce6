//! The control services of an orchestrator: who may join, and the standing conversation with each worker.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::StreamExt;
use neuro_network::control::{
    ChunkStream, ControlError, ControlErrorKind, ControlService, InstructionStream, ReportStream, chunks,
};
use neuro_primitives::{Hash, NodeId};
use neuro_protocol::control::{
    CreditReply, CreditRequest, FetchRequest, JoinReply, JoinRequest, PardonReply, PardonRequest, PlacementReply,
    SetTeamReply, SetTeamRequest, Status, StopReply,
};
use neuro_protocol::version::{ENGINE_SPEC, negotiate, supported};
use tokio_util::sync::CancellationToken;

use super::attendance::Attendance;
use super::credit;
use super::hardware;
use super::members::{AdmissionError, unix_now};
use super::pardon;
use super::placement;
use super::shared::Shared;
use super::status;

/// Answers workers and this machine's own commands.
pub struct OrchestratorControl {
    shared: Arc<Shared>,
    sessions: AtomicU64,
    stop: CancellationToken,
}

impl OrchestratorControl {
    /// The services of one orchestrator. `stop` is cancelled when its owner asks it to stop.
    #[must_use]
    pub const fn new(shared: Arc<Shared>, stop: CancellationToken) -> Self {
        Self { shared, sessions: AtomicU64::new(1), stop }
    }

    /// Who broke the protocol a short time ago is not heard.
    fn well_behaved(&self, peer: NodeId) -> Result<(), ControlError> {
        self.shared.members.check_conduct(peer, Instant::now()).map_err(|error| refused(&error))
    }

    fn known(&self, peer: NodeId) -> Result<(), ControlError> {
        self.well_behaved(peer)?;
        if self.shared.members.knows(peer) {
            return Ok(());
        }
        Err(refused(&AdmissionError::NotInvited(peer)))
    }

    /// Only the node's own key may watch and stop it: the commands that run on its data folder have it.
    fn owner(&self, peer: NodeId) -> Result<(), ControlError> {
        if peer == self.shared.key.node_id() {
            return Ok(());
        }
        Err(not_allowed("only the node's owner may do this: use its data folder (--data-dir)"))
    }
}

impl ControlService for OrchestratorControl {
    async fn join(&self, peer: NodeId, request: JoinRequest) -> Result<JoinReply, ControlError> {
        let shared = &self.shared;
        self.well_behaved(peer)?;
        check_versions(&request)?;
        hardware::check(&request).map_err(|reason| bad_request(format!("no machine is like that: {reason}")))?;
        if let Some(reason) = shared.dispatch.excluded(peer) {
            return Err(not_allowed(format!("node {} is excluded: {reason}", peer.short())));
        }
        let admitted = shared.members.admit(peer, &request.ticket, unix_now());
        admitted.map_err(|error| refused(&error))?;
        shared.roster.joined(peer, &request, unix_now());
        Ok(JoinReply {
            signed_manifest: shared.publication.manifest().signed().encode(),
            p2p_addresses: shared.addresses.p2p.clone(),
            orchestrator: shared.key.node_id().0.to_vec(),
        })
    }

    async fn attend(&self, peer: NodeId, reports: ReportStream) -> Result<InstructionStream, ControlError> {
        self.known(peer)?;
        let facts = self.shared.roster.facts(peer);
        let limit = facts.ok_or_else(|| bad_request("join before attending"))?.memory_limit_bytes;
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        Attendance { shared: Arc::clone(&self.shared), worker: peer, session }.begin(limit, reports).await
    }

    async fn fetch(&self, peer: NodeId, request: FetchRequest) -> Result<ChunkStream, ControlError> {
        self.known(peer)?;
        let hash = request.hash.try_into().map(Hash).map_err(|_| bad_request("a hash has 32 bytes"))?;
        let Some(name) = self.shared.publication.name_of(&hash) else {
            return Err(ControlError::new(ControlErrorKind::NotFound, format!("no tensor has the hash {hash}")));
        };
        let stream = chunks(StoredTensor::new(Arc::clone(&self.shared), name), request.offset)?;
        Ok(metered(Arc::clone(&self.shared), peer, stream))
    }

    async fn status(&self, peer: NodeId) -> Result<Status, ControlError> {
        self.owner(peer)?;
        Ok(status::read(&self.shared))
    }

    async fn placement(&self, peer: NodeId) -> Result<PlacementReply, ControlError> {
        self.owner(peer)?;
        Ok(placement::read(&self.shared))
    }

    async fn credit(&self, peer: NodeId, request: CreditRequest) -> Result<CreditReply, ControlError> {
        self.owner(peer).or_else(|_| self.known(peer))?;
        credit::answer(&self.shared.recorder, peer, request).await
    }

    async fn set_team(&self, peer: NodeId, request: SetTeamRequest) -> Result<SetTeamReply, ControlError> {
        self.known(peer)?;
        credit::set_team(&self.shared.recorder, peer, request)
    }

    async fn pardon(&self, peer: NodeId, request: PardonRequest) -> Result<PardonReply, ControlError> {
        self.owner(peer)?;
        pardon::grant(&self.shared, &request)
    }

    async fn stop(&self, peer: NodeId) -> Result<StopReply, ControlError> {
        self.owner(peer)?;
        self.stop.cancel();
        Ok(StopReply {})
    }
}

/// The same stream; how fast the worker takes it is noted.
fn metered(shared: Arc<Shared>, worker: NodeId, stream: ChunkStream) -> ChunkStream {
    let mut last = Instant::now();
    Box::pin(stream.inspect(move |chunk| {
        let bytes = chunk.as_ref().map_or(0, |chunk| chunk.data.len() as u64);
        shared.roster.fetched(worker, bytes, last.elapsed());
        last = Instant::now();
    }))
}

/// A tensor's bytes: in the mapped checkpoint, read as they leave, or put together where the file has another form.
struct StoredTensor {
    shared: Arc<Shared>,
    name: String,
    assembled: Option<Vec<u8>>,
}

impl StoredTensor {
    fn new(shared: Arc<Shared>, name: String) -> Self {
        let assembled = match shared.publication.checkpoint().tensor(&name).map(|tensor| tensor.bytes) {
            Ok(Cow::Owned(bytes)) => Some(bytes),
            Ok(Cow::Borrowed(_)) | Err(_) => None,
        };
        Self { shared, name, assembled }
    }
}

impl AsRef<[u8]> for StoredTensor {
    fn as_ref(&self) -> &[u8] {
        match (&self.assembled, self.shared.publication.checkpoint().tensor(&self.name).map(|tensor| tensor.bytes)) {
            (Some(bytes), _) => bytes,
            (None, Ok(Cow::Borrowed(bytes))) => bytes,
            (None, _) => &[],
        }
    }
}

fn check_versions(request: &JoinRequest) -> Result<(), ControlError> {
    let version = |number| u16::try_from(number).unwrap_or(u16::MAX);
    let theirs = version(request.wire_min)..=version(request.wire_max);
    negotiate(supported(), theirs).map_err(|error| bad_request(error.to_string()))?;
    if request.engine_spec == ENGINE_SPEC {
        return Ok(());
    }
    let (ours, theirs) = (ENGINE_SPEC, request.engine_spec);
    Err(bad_request(format!("this network computes by engine rules {ours}, the worker by {theirs}")))
}

/// What a node hears that is not admitted.
pub fn refused(error: &AdmissionError) -> ControlError {
    match error {
        AdmissionError::DataDir(_) => ControlError::new(ControlErrorKind::Unavailable, error.to_string()),
        _ => not_allowed(error.to_string()),
    }
}

fn not_allowed(message: impl Into<String>) -> ControlError {
    ControlError::new(ControlErrorKind::NotAllowed, message)
}

fn bad_request(message: impl Into<String>) -> ControlError {
    ControlError::new(ControlErrorKind::BadRequest, message)
}
