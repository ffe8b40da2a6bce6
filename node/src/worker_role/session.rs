//! One membership: from the ticket to the last instruction, and again after a loss.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use neuro_expert_runtime::ExpertPool;
use neuro_model::ModelConfig;
use neuro_network::control::{ControlClient, InstructionStream};
use neuro_network::peer_to_peer::{Incoming, NetworkError, PeerEvent, StreamKind};
use neuro_primitives::{ExpertId, ModelId, UnixMillis};
use neuro_protocol::control::{
    Beat, Calibration, Expert, FailedExpert, HeldExperts, Instruction, JoinReply, JoinRequest, Progress, VoucherOffer,
    WorkerReport, instruction, worker_report,
};
use neuro_protocol::frame::{Answer, MicroTask};
use neuro_protocol::manifest::{SignedManifest, VerifiedManifest};
use neuro_protocol::version::{ENGINE_SPEC, WIRE_MAX, WIRE_MIN};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::cache::TensorCache;
use super::calibration::calibrate;
use super::compute::Compute;
use super::holdings::Holdings;
use super::meter::Meter;
use super::parts::Parts;
use super::receipts::Receipts;
use super::serve::{Gate, Serving, serve};
use super::trust::check_publisher;
use super::{TICKET_FILE, Worker, WorkerError, WorkerEvent};
use crate::clock::unix_now;
use crate::vouchers::VoucherFiles;

/// How often a worker sends its counters.
const BEAT_INTERVAL: Duration = Duration::from_secs(2);

/// Reports that may wait for the control connection.
const REPORT_QUEUE: usize = 64;

/// Instructions that may wait for loading to get to them.
const INSTRUCTION_QUEUE: usize = 64;

/// A worker's standing with its orchestrator. Survives lost connections with all it holds.
pub struct Session {
    worker: Worker,
    gate: Gate,
    meter: Arc<Meter>,
    receipts: Arc<Receipts>,
    model: Option<LoadedModel>,
    admitted: bool,
    ever_admitted: bool,
}

/// The model that experts are held of.
struct LoadedModel {
    id: ModelId,
    name: String,
    holdings: Arc<Holdings>,
    compute: Compute,
    /// How fast this machine computes its experts, once measured; none where it cannot be.
    calibration: OnceLock<Option<Calibration>>,
}

impl Session {
    /// A session that has not joined. Streams from `incoming` are served from now on.
    pub fn new(worker: Worker, vouchers: VoucherFiles, incoming: Incoming) -> Self {
        let gate = Gate::default();
        tokio::spawn(serve_incoming(gate.clone(), incoming));
        let receipts = Receipts::new(worker.key.clone(), worker.ticket.orchestrator, Box::new(vouchers));
        let (meter, receipts) = (Arc::default(), Arc::new(receipts));
        Self { worker, gate, meter, receipts, model: None, admitted: false, ever_admitted: false }
    }

    /// Whether the last attempt got in.
    pub const fn was_admitted(&self) -> bool {
        self.admitted
    }

    /// Whether any attempt got in.
    pub const fn ever_admitted(&self) -> bool {
        self.ever_admitted
    }

    /// Whether the ticket is forged or expired: it can then admit nobody new.
    pub fn ticket_is_bad(&self, now: UnixMillis) -> bool {
        self.worker.signed.verify(now).is_err()
    }

    /// Tells the owner.
    pub fn say(&self, event: WorkerEvent) {
        (self.worker.report)(event);
    }

    /// Closes what is left of the connections to an orchestrator that is gone. One whose end did not get through would be
    /// taken for a living one until its idle time is over.
    pub async fn disconnect(&self) {
        self.worker.network.close(self.orchestrator()).await;
    }

    /// Ends every connection.
    pub async fn leave(self) {
        self.worker.network.shutdown().await;
    }

    /// Joins and attends until the conversation ends.
    pub async fn attend(&mut self) -> Result<Infallible, WorkerError> {
        self.admitted = false;
        let (client, over) = self.connect().await?;
        let reply = client.join(self.join_request()).await?;
        (self.admitted, self.ever_admitted) = (true, true);
        self.remember_ticket();
        self.prepare(&reply)?;
        self.reach_data_plane(&reply).await?;
        let (reports, outgoing) = mpsc::channel(REPORT_QUEUE);
        let receipts = Arc::clone(&self.receipts);
        let last = on_disk(move || receipts.last()).await?;
        send(&reports, worker_report::Report::LastVoucher(last)).await?;
        let model = self.model.as_ref().ok_or(WorkerError::Gone)?;
        self.tell_speed(model, &reports).await?;
        let instructions = client.attend(ReceiverStream::new(outgoing)).await?;
        let orchestrator = self.orchestrator();
        self.say(WorkerEvent::Joined { model: model.name.clone(), orchestrator, over });
        let (orders, queue) = mpsc::channel(INSTRUCTION_QUEUE);
        tokio::select! {
            ended = self.read_instructions(instructions, orders, &reports) => ended,
            ended = self.carry_out(model, &client, queue, &reports) => ended,
            ended = self.send_beats(model, &reports) => ended,
        }
    }

    /// So that commands of this machine find the orchestrator. Without it, work goes on.
    fn remember_ticket(&self) {
        let config = &self.worker.config;
        if let Err(error) = config.data_dir.remember(TICKET_FILE, &config.ticket) {
            tracing::warn!(%error, "`neuro credit` will not find this orchestrator");
        }
    }

    fn orchestrator(&self) -> neuro_primitives::NodeId {
        self.worker.ticket.orchestrator
    }

    /// Reaches the control services: over TLS where an address answers, over peer-to-peer otherwise.
    async fn connect(&self) -> Result<(ControlClient, &'static str), WorkerError> {
        let (ticket, worker) = (&self.worker.ticket, &self.worker);
        if !worker.config.p2p_only {
            for address in &ticket.control {
                match ControlClient::connect_tls(address, &worker.key, ticket.orchestrator).await {
                    Ok(client) => return Ok((client, "tls")),
                    Err(error) => tracing::debug!(address, %error, "no control services here"),
                }
            }
        }
        worker.network.dial(ticket.orchestrator, &ticket.p2p).await?;
        Ok((ControlClient::connect_p2p(&worker.network, ticket.orchestrator).await?, "p2p"))
    }

    fn join_request(&self) -> JoinRequest {
        let config = &self.worker.config;
        JoinRequest {
            ticket: config.ticket.clone(),
            wire_min: WIRE_MIN.into(),
            wire_max: WIRE_MAX.into(),
            engine_spec: ENGINE_SPEC,
            engine: neuro_expert_runtime::default_engine().id().class.to_owned(),
            name: config.name.clone(),
            threads: u32::try_from(config.threads).unwrap_or(u32::MAX),
            memory_limit_bytes: self.worker.memory_limit_bytes,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hardware: Some(self.worker.hardware.clone()),
        }
    }

    /// Says how fast this machine is; measured once for each model.
    async fn tell_speed(&self, model: &LoadedModel, reports: &mpsc::Sender<WorkerReport>) -> Result<(), WorkerError> {
        let holdings = Arc::clone(&model.holdings);
        let measure = move || {
            let first = holdings.manifest.experts().first().copied()?;
            calibrate(&holdings.config, &holdings.entries(first).ok()?)
        };
        let calibration = match model.calibration.get() {
            Some(calibration) => calibration.clone(),
            None => on_disk(measure).await?,
        };
        match model.calibration.get_or_init(|| calibration) {
            Some(calibration) => send(reports, worker_report::Report::Calibration(calibration.clone())).await,
            None => Ok(()),
        }
    }

    /// Verifies the manifest, makes ready to hold its experts, and lets the orchestrator in.
    fn prepare(&mut self, reply: &JoinReply) -> Result<(), WorkerError> {
        let manifest = SignedManifest::verify(SignedManifest::decode(&reply.signed_manifest)?)?;
        check_publisher(&self.worker.config.data_dir, &manifest)?;
        let same = self.model.take().filter(|model| model.id == manifest.model_id());
        let model = match same {
            Some(model) => model,
            None => self.load_model(&manifest)?,
        };
        self.gate.open(Serving {
            orchestrator: self.orchestrator(),
            model: model.id,
            d_model: model.holdings.config.d_model,
            formats: model.holdings.manifest.activation_formats.as_slice().into(),
            compute: model.compute.clone(),
        });
        self.model = Some(model);
        Ok(())
    }

    fn load_model(&self, manifest: &VerifiedManifest) -> Result<LoadedModel, WorkerError> {
        let unusable = |error: &dyn std::fmt::Display| WorkerError::Model(error.to_string());
        let config = ModelConfig::from_json(&manifest.manifest().config).map_err(|error| unusable(&error))?;
        let pool = ExpertPool::new(neuro_expert_runtime::default_engine(), config.d_model);
        let pool = Arc::new(pool.with_limit(Some(self.worker.memory_limit_bytes)));
        let receipts = Arc::clone(&self.receipts);
        let answered = Box::new(move |task: &MicroTask, answer: &Answer| receipts.answered(task, answer));
        let compute = Compute::start(Arc::clone(&pool), Arc::clone(&self.meter), answered);
        let compute = compute.map_err(|error| WorkerError::Threads(error.to_string()))?;
        let holdings = Holdings {
            manifest: Arc::new(manifest.manifest().clone()),
            config: Arc::new(config),
            pool,
            cache: TensorCache::new(self.worker.config.data_dir.folder("tensors")?),
            parts: Parts::default(),
        };
        Ok(LoadedModel {
            id: manifest.model_id(),
            name: manifest.manifest().name.clone(),
            holdings: Arc::new(holdings),
            compute,
            calibration: OnceLock::new(),
        })
    }

    /// Connects to the orchestrator over peer-to-peer, so that it can open its stream of tasks.
    async fn reach_data_plane(&self, reply: &JoinReply) -> Result<(), NetworkError> {
        let addresses = [self.worker.ticket.p2p.as_slice(), &reply.p2p_addresses].concat();
        self.worker.network.dial(self.orchestrator(), &addresses).await
    }

    /// Loads and drops as told, in order.
    async fn carry_out(
        &self,
        model: &LoadedModel,
        client: &ControlClient,
        mut orders: mpsc::Receiver<instruction::Instruction>,
        reports: &mpsc::Sender<WorkerReport>,
    ) -> Result<Infallible, WorkerError> {
        let held = model.holdings.pool.held();
        if !held.is_empty() {
            send(reports, holding(&held)).await?;
        }
        while let Some(order) = orders.recv().await {
            match order {
                instruction::Instruction::Hold(hold) => {
                    let experts: Vec<ExpertId> = ids(&hold.experts);
                    self.hold(model, client, &experts, reports).await?;
                }
                instruction::Instruction::Drop(drop) => {
                    for expert in ids(&drop.experts) {
                        model.holdings.pool.remove(expert);
                    }
                }
                instruction::Instruction::Stop(stop) => return Err(WorkerError::Expelled { reason: stop.reason }),
                // Answered where they are read, before the queue.
                instruction::Instruction::Voucher(_) | instruction::Instruction::LastVoucher(_) => {}
            }
        }
        Err(WorkerError::Gone)
    }

    /// Loads experts one by one and reports each.
    async fn hold(
        &self,
        model: &LoadedModel,
        client: &ControlClient,
        experts: &[ExpertId],
        reports: &mpsc::Sender<WorkerReport>,
    ) -> Result<(), WorkerError> {
        let holdings = &model.holdings;
        let bytes_total = experts.iter().map(|&expert| holdings.manifest.expert_bytes(expert)).sum();
        let mut bytes_done = 0;
        for &expert in experts {
            match holdings.load(client, expert).await {
                Ok(()) => send(reports, holding(&[expert])).await?,
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%expert, %error, "loading broke off");
                    return Err(WorkerError::Gone);
                }
                Err(error) => {
                    let failed = FailedExpert { expert: Some(expert.into()), reason: error.to_string() };
                    send(reports, worker_report::Report::Failed(failed)).await?;
                }
            }
            bytes_done += holdings.manifest.expert_bytes(expert);
            self.say(WorkerEvent::Progress { bytes_done, bytes_total });
            send(reports, worker_report::Report::Progress(Progress { bytes_done, bytes_total })).await?;
        }
        let (experts, resident_bytes) = (holdings.pool.held().len(), holdings.pool.resident_bytes());
        self.say(WorkerEvent::Holding { experts, resident_bytes });
        Ok(())
    }

    /// Passes instructions on, so that the connection is read even while experts load. Vouchers are answered at once:
    /// loading may take longer than the orchestrator waits for a signature.
    async fn read_instructions(
        &self,
        mut instructions: InstructionStream,
        orders: mpsc::Sender<instruction::Instruction>,
        reports: &mpsc::Sender<WorkerReport>,
    ) -> Result<Infallible, WorkerError> {
        while let Some(instruction) = instructions.next().await {
            let Instruction { instruction } = instruction?;
            match instruction {
                Some(instruction::Instruction::Voucher(offer)) => self.sign(offer, reports).await?,
                Some(instruction::Instruction::LastVoucher(last)) => {
                    let receipts = Arc::clone(&self.receipts);
                    on_disk(move || receipts.told(&last)).await?;
                }
                Some(other) => orders.send(other).await.map_err(|_| WorkerError::Gone)?,
                None => {}
            }
        }
        Err(WorkerError::Gone)
    }

    async fn sign(&self, offer: VoucherOffer, reports: &mpsc::Sender<WorkerReport>) -> Result<(), WorkerError> {
        let receipts = Arc::clone(&self.receipts);
        let reply = on_disk(move || receipts.reply(&offer, unix_now())).await?;
        send(reports, worker_report::Report::Voucher(reply)).await
    }

    async fn send_beats(
        &self,
        model: &LoadedModel,
        reports: &mpsc::Sender<WorkerReport>,
    ) -> Result<Infallible, WorkerError> {
        let mut interval = tokio::time::interval(BEAT_INTERVAL);
        loop {
            interval.tick().await;
            let beat = Beat {
                resident_bytes: model.holdings.pool.resident_bytes(),
                tasks_done: self.meter.tasks(),
                busy_us: self.meter.busy_us(),
            };
            send(reports, worker_report::Report::Beat(beat)).await?;
        }
    }
}

/// Serves the orchestrator's streams of tasks; nobody else has business here.
async fn serve_incoming(gate: Gate, mut incoming: Incoming) {
    loop {
        tokio::select! {
            stream = incoming.streams.recv() => match stream {
                Some((caller, StreamKind::Experts, stream)) => {
                    let gate = gate.clone();
                    tokio::spawn(async move {
                        if let Err(error) = serve(gate, caller, stream).await {
                            tracing::warn!(%error, "a stream of tasks ended");
                        }
                    });
                }
                Some((caller, StreamKind::Control, _)) => tracing::debug!(caller = %caller.short(), "a worker has no control services"),
                None => return,
            },
            event = incoming.events.recv() => match event {
                Some(PeerEvent::Connected(peer)) => tracing::debug!(peer = %peer.short(), "connected"),
                Some(PeerEvent::Disconnected(peer)) => tracing::debug!(peer = %peer.short(), "disconnected"),
                None => return,
            },
        }
    }
}

/// `work` that waits for the disk, on a thread that may.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, WorkerError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| WorkerError::Gone)
}

fn ids(experts: &[Expert]) -> Vec<ExpertId> {
    experts.iter().filter_map(|expert| ExpertId::try_from(*expert).ok()).collect()
}

fn holding(experts: &[ExpertId]) -> worker_report::Report {
    worker_report::Report::Holding(HeldExperts { experts: experts.iter().copied().map(Expert::from).collect() })
}

async fn send(reports: &mpsc::Sender<WorkerReport>, report: worker_report::Report) -> Result<(), WorkerError> {
    reports.send(WorkerReport { report: Some(report) }).await.map_err(|_| WorkerError::Gone)
}
