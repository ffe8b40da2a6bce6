//! The control services of an orchestrator: who may join, and the standing conversation with each worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::StreamExt;
use neuro_network::control::{
    ChunkStream, ControlError, ControlErrorKind, ControlService, InstructionStream, ReportStream, chunks,
};
use neuro_orchestrator::Input;
use neuro_primitives::{ExpertId, Hash, NodeId};
use neuro_protocol::control::{
    DropExperts, Expert, FailedExpert, FetchRequest, HeldExperts, HoldExperts, Instruction, JoinReply, JoinRequest,
    Status, StopReply, StopWork, WorkerReport, instruction, worker_report,
};
use neuro_protocol::version::{ENGINE_SPEC, negotiate, supported};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::dispatch::{LINK_QUEUE_FRAMES, Link, Order};
use super::link::{LinkError, OpenLink};
use super::members::unix_now;
use super::shared::Shared;
use super::status;

/// Instructions that may wait for one worker. The core has few outstanding; a worker that far behind is lost.
const INSTRUCTION_QUEUE: usize = 64;

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
        self.shared.members.check_conduct(peer, Instant::now()).map_err(|error| not_allowed(error.to_string()))
    }

    fn known(&self, peer: NodeId) -> Result<(), ControlError> {
        self.well_behaved(peer)?;
        if self.shared.members.knows(peer) {
            return Ok(());
        }
        Err(not_allowed(format!("node {} has not joined; join with a ticket first", peer.short())))
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
        let admitted = shared.members.admit(peer, &request.ticket, unix_now());
        admitted.map_err(|error| not_allowed(error.to_string()))?;
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
        let model = self.shared.publication.manifest().model_id();
        let d_model = self.shared.trunk.config().d_model;
        let open = OpenLink::open(&self.shared.network, peer, model, d_model).await;
        let link = match open {
            Ok(link) => link,
            Err(error) => return Err(unopened(&self.shared, peer, &error)),
        };
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        let (frames, outgoing) = mpsc::channel(LINK_QUEUE_FRAMES);
        let (orders, incoming) = mpsc::channel(INSTRUCTION_QUEUE);
        let (instructions, stream) = mpsc::channel(INSTRUCTION_QUEUE);
        self.shared.dispatch.joined(peer, Link { session, frames, orders }, limit);
        self.shared.roster.attends(peer);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = link.run(peer, session, outgoing, &shared.dispatch) => ended,
                reason = take_reports(&shared, peer, reports) => {
                    tracing::info!(worker = %peer.short(), reason, "a worker left");
                    Ok(())
                }
                () = pass_orders(incoming, instructions.clone()) => Ok(()),
            };
            if let Err(error) = &ended {
                tracing::info!(worker = %peer.short(), %error, "a worker left");
            }
            shared.dispatch.left(peer, session);
            if let Err(error) = ended
                && error.is_violation(peer)
            {
                turn_away(&shared, peer, &error);
                let _ = instructions.try_send(Ok(instruction_of(Order::Expel(error.to_string()))));
            }
            note_absence(&shared, peer);
            if shared.members.check_conduct(peer, Instant::now()).is_err() {
                shared.network.close(peer).await;
            }
        });
        Ok(Box::pin(ReceiverStream::new(stream)))
    }

    async fn fetch(&self, peer: NodeId, request: FetchRequest) -> Result<ChunkStream, ControlError> {
        self.known(peer)?;
        let hash = request.hash.try_into().map(Hash).map_err(|_| bad_request("a hash has 32 bytes"))?;
        let Some(name) = self.shared.publication.name_of(&hash) else {
            return Err(ControlError::new(ControlErrorKind::NotFound, format!("no tensor has the hash {hash}")));
        };
        chunks(StoredTensor { shared: Arc::clone(&self.shared), name }, request.offset)
    }

    async fn status(&self, peer: NodeId) -> Result<Status, ControlError> {
        self.owner(peer)?;
        Ok(status::read(&self.shared))
    }

    async fn stop(&self, peer: NodeId) -> Result<StopReply, ControlError> {
        self.owner(peer)?;
        self.stop.cancel();
        Ok(StopReply {})
    }
}

/// What a worker hears whose data stream cannot be opened. One that answered the greeting with nonsense is turned away.
fn unopened(shared: &Shared, peer: NodeId, error: &LinkError) -> ControlError {
    note_absence(shared, peer);
    if error.is_violation(peer) {
        turn_away(shared, peer, error);
        return not_allowed(error.to_string());
    }
    ControlError::new(ControlErrorKind::Unavailable, error.to_string())
}

/// Shuts a worker out that broke the protocol: it would do so again.
fn turn_away(shared: &Shared, peer: NodeId, error: &LinkError) {
    tracing::warn!(worker = %peer.short(), %error, "a worker broke the protocol and is turned away");
    shared.dispatch.blame(peer);
    shared.members.turn_away(peer, error.to_string(), Instant::now());
}

/// Marks a worker as gone, unless it is already back over another link.
fn note_absence(shared: &Shared, peer: NodeId) {
    if !shared.dispatch.is_linked(peer) {
        shared.roster.left(peer);
    }
}

/// A tensor's bytes in the mapped checkpoint: read as they leave.
struct StoredTensor {
    shared: Arc<Shared>,
    name: String,
}

impl AsRef<[u8]> for StoredTensor {
    fn as_ref(&self) -> &[u8] {
        self.shared.publication.checkpoint().tensor(&self.name).map_or(&[], |tensor| tensor.bytes)
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

fn not_allowed(message: impl Into<String>) -> ControlError {
    ControlError::new(ControlErrorKind::NotAllowed, message)
}

fn bad_request(message: impl Into<String>) -> ControlError {
    ControlError::new(ControlErrorKind::BadRequest, message)
}

/// Passes the worker's reports to the core until they end; returns why.
async fn take_reports(shared: &Shared, worker: NodeId, mut reports: ReportStream) -> String {
    loop {
        match reports.next().await {
            None => return "it ended the conversation".to_owned(),
            Some(Err(error)) => return error.to_string(),
            Some(Ok(WorkerReport { report })) => match report {
                Some(worker_report::Report::Holding(held)) => shared.dispatch.reported(ready(worker, &held)),
                Some(worker_report::Report::Failed(failed)) => {
                    if let Some(input) = failure(worker, failed) {
                        shared.dispatch.reported(input);
                    }
                }
                Some(worker_report::Report::Beat(beat)) => shared.roster.beat(worker, &beat),
                Some(worker_report::Report::Progress(_)) | None => {}
            },
        }
    }
}

/// Turns the core's orders into instructions until the core has no more, or the worker takes none.
async fn pass_orders(mut orders: mpsc::Receiver<Order>, instructions: mpsc::Sender<Result<Instruction, ControlError>>) {
    while let Some(order) = orders.recv().await {
        if instructions.send(Ok(instruction_of(order))).await.is_err() {
            return;
        }
    }
}

fn instruction_of(order: Order) -> Instruction {
    let experts = |experts: Vec<ExpertId>| experts.into_iter().map(Expert::from).collect();
    Instruction {
        instruction: Some(match order {
            Order::Hold(held) => instruction::Instruction::Hold(HoldExperts { experts: experts(held) }),
            Order::Drop(dropped) => instruction::Instruction::Drop(DropExperts { experts: experts(dropped) }),
            Order::Expel(reason) => instruction::Instruction::Stop(StopWork { reason }),
        }),
    }
}

fn ready(worker: NodeId, held: &HeldExperts) -> Input {
    Input::WorkerReady {
        worker,
        experts: held.experts.iter().filter_map(|expert| ExpertId::try_from(*expert).ok()).collect(),
    }
}

fn failure(worker: NodeId, failed: FailedExpert) -> Option<Input> {
    tracing::warn!(worker = %worker.short(), reason = failed.reason, "a worker could not load an expert");
    Some(Input::ExpertFailed { worker, expert: ExpertId::try_from(failed.expert?).ok()?, reason: failed.reason })
}
