//! The orchestrator: holds the trunk, places experts on workers, answers over HTTP.
//!
//! ```text
//! http  ──▶ jobs ──▶ inference: a batch, through the trunk layer by layer
//!                                        │ ExpertLayers
//!                                        ▼
//!                dispatch ── Input ──▶ orchestrator core ── Effect ──▶ dispatch
//!                   │  ▲                                                 │
//!             frames▼  │answers (libp2p)                    instructions ▼ (gRPC)
//!                  worker                                             worker
//! ```

mod attendance;
mod auditor;
mod cases;
mod completer;
mod control_service;
mod credit;
pub mod dispatch;
mod experts;
mod faults;
mod hardware;
mod ledger;
pub mod link;
pub mod members;
mod metrics;
mod own_prompts;
mod pardon;
mod placement;
pub mod receipts;
pub mod recorder;
mod roster;
mod shared;
mod status;
pub mod tally;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use neuro_expert_runtime::Engine;
use neuro_inference::{LoadError, Trunk};
use neuro_model::{ChatTemplate, Checkpoint, CheckpointError, Tokenizer};
use neuro_network::peer_to_peer::{Incoming, NetworkError, PeerEvent, PeerToPeer, StreamKind};
use neuro_orchestrator::receipts::ReceiptSettings;
use neuro_orchestrator::store::StoreError;
use neuro_orchestrator::{Checks, ExpertSpec, Settings};
use neuro_primitives::key::EntropyError;
use neuro_primitives::{NodeId, NodeKey};
use neuro_protocol::manifest::{Manifest, VerifiedManifest};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::data_dir::{DataDir, DataDirError, RunningNode};
use crate::http::{self, ApiKeys, HttpError, HttpOptions, KeysError};
use crate::jobs::{JobLimits, JobRunner, TrunkDecoder};
use crate::publish::{Publication, PublishError};
use auditor::Auditor;
use cases::Cases;
use completer::DistributedCompleter;
use control_service::OrchestratorControl;
use dispatch::Dispatch;
use experts::RemoteExperts;
use members::{Members, new_ticket, unix_now};
use metrics::CoreCollector;
use receipts::Receipts;
use recorder::{Pace, Purpose, Recorder};
use roster::Roster;
use shared::Shared;

/// How often the node looks whether every expert has a holder, to say so.
const COVERAGE_INTERVAL: Duration = Duration::from_millis(50);

/// How often the use of experts is kept. What a crash loses of it is of no weight.
const USE_INTERVAL: Duration = Duration::from_secs(10);

/// The store in the data folder.
const STORE_FILE: &str = "orchestrator.sqlite";

/// A unit of credit is a million micro-units, so 10^9 multiply-adds.
const MULTIPLY_ADDS_PER_MICRO_UNIT: u64 = 1_000;

/// Control streams over peer-to-peer that may wait to be served.
const CONTROL_STREAM_QUEUE: usize = 16;

/// How an orchestrator is to run.
#[derive(Debug, Clone)]
pub struct OrchestratorConfig {
    /// Its folder.
    pub data_dir: DataDir,
    /// The checkpoint's folder.
    pub model: PathBuf,
    /// `host:port` of the API.
    pub api: String,
    /// File with the API's bearer keys.
    pub api_key_file: Option<PathBuf>,
    /// Host names that requests may carry besides the API's own.
    pub allowed_hosts: Vec<String>,
    /// `host:port` of the control services.
    pub control: String,
    /// Multiaddrs to listen on.
    pub p2p: Vec<String>,
    /// Jobs that run at once.
    pub slots: usize,
    /// Jobs that may wait.
    pub queue: usize,
    /// Bytes that keys and values of all jobs may take; without it, a part of the memory that is free.
    pub kv_cache_bytes: Option<u64>,
    /// Workers that hold each expert.
    pub replicas: usize,
    /// Which answers of workers are checked.
    pub checks: Checks,
    /// How long the printed ticket admits.
    pub ticket_lifetime: Duration,
    /// Workers that are started together with it: none gets experts before all have joined, or a few seconds passed.
    pub expected_workers: usize,
    /// How long a request waits for an expert that nobody holds; without it, as the core does by itself.
    pub call_patience: Option<Duration>,
    /// Path or URL of the store; without it, a file in the folder.
    pub store: Option<String>,
}

/// What happens while an orchestrator starts and runs.
#[derive(Debug, Clone)]
pub enum OrchestratorEvent {
    /// The checkpoint is read.
    Loading {
        /// Bytes hashed and converted.
        bytes_done: u64,
        /// Bytes to hash and convert.
        bytes_total: u64,
    },
    /// It listens.
    Ready(Addresses),
    /// Every expert has a holder, and nothing more is being loaded.
    Serving,
    /// Some expert has none.
    Waiting {
        /// Experts with a holder.
        covered: usize,
        /// Experts of the model.
        experts: usize,
    },
}

/// Where an orchestrator can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// `http://host:port`.
    pub api: String,
    /// `host:port`.
    pub control: String,
    /// Multiaddrs.
    pub p2p: Vec<String>,
    /// A ticket for workers.
    pub ticket: String,
}

impl Addresses {
    /// What to type on another machine.
    #[must_use]
    pub fn join_command(&self) -> String {
        format!("neuro worker start --join {}", self.ticket)
    }
}

/// Hears what happens.
pub type Report = Arc<dyn Fn(OrchestratorEvent) + Send + Sync>;

/// An orchestrator cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum OrchestratorError {
    /// The data folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its manifest.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Its trunk.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its tokenizer or chat template.
    #[error("the model's {what} cannot be used: {reason}")]
    Text {
        /// Which of them.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Peer-to-peer.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The API's keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The HTTP API.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An address.
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen {
        /// What would listen.
        what: &'static str,
        /// Where.
        address: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Threads.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// A part of the node broke.
    #[error("a part of the node failed: {0}")]
    Broken(String),
}

/// Runs an orchestrator until `stop` is cancelled.
///
/// # Errors
/// When the model cannot be loaded or an address cannot be used.
pub async fn run(config: OrchestratorConfig, report: Report, stop: CancellationToken) -> Result<(), OrchestratorError> {
    let key = config.data_dir.node_key()?;
    let api = listen("the API", &config.api).await?;
    let control = listen("the control services", &config.control).await?;
    let keys = config.api_key_file.as_deref().map(ApiKeys::from_file).transpose()?;
    // Before anything is loaded or said to be ready.
    http::check_keys(api.local_addr().map_err(HttpError::from)?, keys.as_ref())?;
    let (loaded, key) = {
        let (config, report) = (config.clone(), Arc::clone(&report));
        blocking(move || Loaded::read(&config, &key, &report).map(|loaded| (loaded, key))).await??
    };
    let recorder = {
        let (config, purpose) = (config.clone(), loaded.purpose(key.node_id()));
        blocking(move || start_recorder(&config, purpose)).await??
    };
    let (network, incoming) = PeerToPeer::start(&key, &config.p2p).await?;
    let addresses = addresses(&key, &api, &control, &network, config.ticket_lifetime)?;
    let mut options = HttpOptions { keys, allowed_hosts: config.allowed_hosts.clone(), ..HttpOptions::default() };
    let node = Node::assemble(&config, loaded, key, addresses, network, recorder)?;
    options.registry.register_collector(Box::new(CoreCollector(Arc::clone(&node.shared.dispatch))));
    let _announcement = config.data_dir.announce(&node.running())?;
    report(OrchestratorEvent::Ready(node.shared.addresses.clone()));
    node.serve(api, control, incoming, options, report, stop).await
}

/// What is read from disk.
struct Loaded {
    publication: Publication,
    trunk: Trunk,
    engine: Arc<dyn Engine>,
}

impl Loaded {
    fn read(config: &OrchestratorConfig, key: &NodeKey, report: &Report) -> Result<Self, OrchestratorError> {
        let checkpoint = Arc::new(Checkpoint::open(&config.model)?);
        let to_hash = checkpoint.trunk_bytes() + checkpoint.expert_bytes();
        let bytes_total = to_hash + checkpoint.trunk_bytes();
        let loading = |bytes_done| report(OrchestratorEvent::Loading { bytes_done, bytes_total });
        let publication = Publication::new(Arc::clone(&checkpoint), &config.data_dir, key, &loading)?;
        let engine = neuro_expert_runtime::default_engine();
        let trunk = Trunk::load(&checkpoint, Arc::clone(&engine), &mut |done| loading(to_hash + done))?;
        Ok(Self { publication, trunk, engine })
    }

    /// What is recorded, and what work is worth: a row takes three products of `d_model` × `d_expert` at an expert.
    fn purpose(&self, orchestrator: NodeId) -> Purpose {
        let config = self.trunk.config();
        let multiply_adds = 3 * config.d_model as u64 * config.d_expert as u64;
        let micro_units_per_row = multiply_adds.div_ceil(MULTIPLY_ADDS_PER_MICRO_UNIT);
        Purpose { orchestrator, model: self.publication.manifest().model_id(), micro_units_per_row }
    }
}

/// Opens the store and begins to write it. May block for seconds.
fn start_recorder(config: &OrchestratorConfig, purpose: Purpose) -> Result<Recorder, StoreError> {
    let own = || format!("sqlite:{}", config.data_dir.join(STORE_FILE).display());
    let store = neuro_storage::open(&config.store.clone().unwrap_or_else(own))?;
    Recorder::start(store, purpose, Pace::default())
}

/// The core with its settings, and the way to workers.
fn dispatcher(config: &OrchestratorConfig, manifest: &VerifiedManifest) -> Result<Dispatch, OrchestratorError> {
    let usual = Settings::new(expert_specs(manifest.manifest()));
    let settings = Settings {
        replicas: config.replicas,
        gather_workers: config.expected_workers,
        call_patience: config.call_patience.unwrap_or(usual.call_patience),
        checks: config.checks,
        secret: random_secret()?,
        ..usual
    };
    Ok(Dispatch::new(manifest.model_id(), manifest.manifest().activation_formats.clone(), settings))
}

/// The checkpoint's tokenizer and chat template.
fn text_of(checkpoint: &Checkpoint) -> Result<(Arc<Tokenizer>, Option<ChatTemplate>), OrchestratorError> {
    let failed = |what, error: &dyn std::fmt::Display| OrchestratorError::Text { what, reason: error.to_string() };
    let tokenizer = checkpoint.tokenizer().map_err(|error| failed("tokenizer", &error))?;
    let template = checkpoint.chat_template().map_err(|error| failed("chat template", &error))?;
    Ok((Arc::new(tokenizer), template))
}

/// A node whose parts are made and not yet running.
struct Node {
    shared: Arc<Shared>,
    completer: Arc<DistributedCompleter>,
}

impl Node {
    fn assemble(
        config: &OrchestratorConfig,
        loaded: Loaded,
        key: NodeKey,
        addresses: Addresses,
        network: PeerToPeer,
        recorder: Recorder,
    ) -> Result<Self, OrchestratorError> {
        let Loaded { publication, trunk, engine } = loaded;
        let dispatch = Arc::new(dispatcher(config, publication.manifest())?.recorded(recorder.clone()));
        let receipts = Receipts::new(key.clone(), ReceiptSettings::default(), Arc::new(recorder.clone()));
        let (publication, receipts) = (Arc::new(publication), Arc::new(receipts));
        dispatch.set_receipts(Arc::clone(&receipts));
        let cases = Arc::new(Cases::open(&config.data_dir, Arc::clone(&publication), Arc::clone(&receipts))?);
        Auditor::start(&publication, &engine, Arc::clone(&cases), &dispatch)?;
        let experts = Arc::new(RemoteExperts::new(Arc::clone(&dispatch)));
        let (tokenizer, template) = text_of(publication.checkpoint())?;
        let trunk = Arc::new(trunk);
        let decoder =
            TrunkDecoder::new(Arc::clone(&trunk), Arc::clone(&tokenizer), experts.clone(), config.kv_cache_bytes);
        let context = decoder.context();
        let limits = JobLimits { slots: config.slots, queue: config.queue };
        let runner = Arc::new(JobRunner::start(limits, decoder).map_err(OrchestratorError::Threads)?);
        let members = Members::load(&config.data_dir, key.node_id())?;
        let (started, roster) = (unix_now(), Roster::of_before(recorder.workers()));
        dispatch.remember_use(&recorder.used_before());
        let shared = Shared {
            key,
            addresses,
            started,
            trunk,
            publication,
            dispatch,
            runner,
            receipts,
            cases,
            members,
            roster,
            recorder,
            network,
        };
        let shared = Arc::new(shared);
        let engine = engine.id().class;
        let completer = Arc::new(DistributedCompleter {
            shared: Arc::clone(&shared),
            experts,
            tokenizer,
            template,
            engine,
            context,
        });
        Ok(Self { shared, completer })
    }

    fn running(&self) -> RunningNode {
        let addresses = &self.shared.addresses;
        RunningNode {
            pid: std::process::id(),
            node: self.shared.key.node_id().to_string(),
            api: Some(addresses.api.clone()),
            control: Some(addresses.control.clone()),
            p2p: addresses.p2p.clone(),
        }
    }

    /// Runs every part until `stop`, then ends what is running: open streams get an error object, not silence.
    async fn serve(
        self,
        api: TcpListener,
        control: TcpListener,
        incoming: Incoming,
        options: HttpOptions,
        report: Report,
        stop: CancellationToken,
    ) -> Result<(), OrchestratorError> {
        let Self { shared, completer } = self;
        let (control_streams, streams) = mpsc::channel(CONTROL_STREAM_QUEUE);
        let service = Arc::new(OrchestratorControl::new(Arc::clone(&shared), stop.clone()));
        let stopped = || stop.clone().cancelled_owned();
        // With other policies no rows are shown that need not be.
        let (checks_by_chance, experts) = (shared.dispatch.checks_by_chance(), Arc::clone(&completer.experts));
        let parts = async {
            tokio::select! {
                served = neuro_network::control::serve(control, streams, &shared.key, service, stopped()) => {
                    served.map_err(|error| OrchestratorError::Broken(error.to_string()))
                }
                () = shared.dispatch.run_timer() => Ok(()),
                () = sort_incoming(incoming, control_streams) => Err(OrchestratorError::Broken("peer-to-peer ended".into())),
                () = announce_coverage(&shared.dispatch, report) => Ok(()),
                () = keep_use(&shared.dispatch) => Ok(()),
                () = own_prompts::ask_now_and_then(&shared, &experts), if checks_by_chance => Ok(()),
                never = end_calls(&shared, &stop) => match never {},
            }
        };
        // The API goes last: it tells open streams why they end.
        let api = http::serve(api, completer, options, stopped());
        let parts = async {
            let ended = parts.await.inspect_err(|_| stop.cancel());
            // Any of the parts may have been the first to see the end.
            shared.end_calls();
            ended
        };
        let (parts, api) = tokio::join!(parts, async { api.await.inspect_err(|_| stop.cancel()) });
        stop.cancel();
        shared.network.clone().shutdown().await;
        shared.dispatch.record_use();
        let recorder = shared.recorder.clone();
        let recorded = blocking(move || recorder.close()).await;
        parts.and(recorded).and(api.map_err(OrchestratorError::from))
    }
}

/// Once `stop` is cancelled, ends waiting calls and jobs, so that the API can tell its clients.
async fn end_calls(shared: &Shared, stop: &CancellationToken) -> Infallible {
    stop.cancelled().await;
    shared.end_calls();
    // The control services end by themselves once their calls have: the answer to `stop` must still go out.
    std::future::pending().await
}

/// Hands control streams to the control services. Data streams go the other way: only an orchestrator opens them.
async fn sort_incoming(
    mut incoming: Incoming,
    control: mpsc::Sender<(NodeId, neuro_network::peer_to_peer::PeerStream)>,
) {
    loop {
        tokio::select! {
            stream = incoming.streams.recv() => match stream {
                Some((peer, StreamKind::Control, stream)) => drop(control.try_send((peer, stream))),
                Some((peer, StreamKind::Experts, _)) => tracing::debug!(peer = %peer.short(), "an orchestrator takes no tasks"),
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

/// Has the use of experts kept every now and then, so that placement after a restart begins with it.
async fn keep_use(dispatch: &Dispatch) {
    let mut interval = tokio::time::interval(USE_INTERVAL);
    loop {
        interval.tick().await;
        dispatch.record_use();
    }
}

/// Says when every expert has its holders, and when one has none again.
async fn announce_coverage(dispatch: &Dispatch, report: Report) {
    let mut said: Option<bool> = None;
    let mut interval = tokio::time::interval(COVERAGE_INTERVAL);
    loop {
        interval.tick().await;
        let (coverage, loading) = dispatch.view(|core, _| (core.coverage(), core.in_flight().loading));
        let complete = coverage.is_complete();
        if said == Some(complete) || (complete && loading > 0) {
            continue;
        }
        said = Some(complete);
        report(match complete {
            true => OrchestratorEvent::Serving,
            false => OrchestratorEvent::Waiting { covered: coverage.covered, experts: coverage.experts },
        });
    }
}

/// What the core draws from. Nobody else may know it.
fn random_secret() -> Result<[u8; 32], OrchestratorError> {
    let key = NodeKey::generate()?;
    Ok(*key.secret())
}

async fn listen(what: &'static str, address: &str) -> Result<TcpListener, OrchestratorError> {
    let failed = |source| OrchestratorError::Listen { what, address: address.to_owned(), source };
    TcpListener::bind(address).await.map_err(failed)
}

fn addresses(
    key: &NodeKey,
    api: &TcpListener,
    control: &TcpListener,
    network: &PeerToPeer,
    ticket_lifetime: Duration,
) -> Result<Addresses, OrchestratorError> {
    let local =
        |listener: &TcpListener| listener.local_addr().map_err(|error| OrchestratorError::Broken(error.to_string()));
    let (api, control, p2p) = (local(api)?, local(control)?, network.addresses());
    let ticket = new_ticket(key, &[control.to_string()], &p2p, ticket_lifetime)?;
    Ok(Addresses { api: format!("http://{api}"), control: control.to_string(), p2p, ticket: ticket.to_text() })
}

/// What placement needs to know of each expert. Weights are held as they are stored, but for a few per cent.
fn expert_specs(manifest: &Manifest) -> Vec<ExpertSpec> {
    manifest.experts().into_iter().map(|id| ExpertSpec { id, bytes: manifest.expert_bytes(id) }).collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, OrchestratorError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| OrchestratorError::Broken(error.to_string()))
}
