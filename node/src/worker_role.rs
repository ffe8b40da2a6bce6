//! The worker: joins with a ticket, holds the experts it is told to, computes micro-tasks.
//!
//! ```text
//! join (ticket) ──▶ signed manifest ──▶ attend: Hold / Drop ──▶ fetch, verify, convert ──▶ "holding"
//! experts stream (opened by the orchestrator): tasks ──▶ compute thread ──▶ answers
//! ```
//!
//! A lost orchestrator is tried again with growing pauses; what was fetched and converted is kept meanwhile. Experts
//! beyond the worker's memory limit stay in its cache folder until a task needs them.

mod cache;
mod cached_expert;
mod calibration;
pub mod compute;
mod hardware;
mod holdings;
mod meter;
mod parts;
pub(crate) mod receipts;
mod serve;
mod session;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use neuro_network::control::{ConnectError, ControlError, ControlErrorKind};
use neuro_network::peer_to_peer::{NetworkError, PeerToPeer};
use neuro_primitives::{NodeId, NodeKey};
use neuro_protocol::control::Hardware;
use neuro_protocol::manifest::ManifestError;
use neuro_protocol::ticket::{SignedTicket, Ticket, TicketError};
use tokio_util::sync::CancellationToken;

use crate::data_dir::{DataDir, DataDirError, RunningNode};
use crate::orchestrator_role::members::unix_now;
use crate::os::memory;
use crate::vouchers::VoucherFiles;
use session::Session;

/// The file with the ticket that admitted this worker last.
pub const TICKET_FILE: &str = "ticket";

/// The first pause before a lost orchestrator is tried again; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause while the orchestrator is away: one that comes back has its workers again within five seconds.
/// Doubled, it has not.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// The longest pause of a worker that was sent away, which is for minutes.
const LONGEST_PAUSE_SENT_AWAY: Duration = Duration::from_secs(30);

/// How many times a worker that never got in tries before it gives up. Its ticket may name a machine that is gone.
const FIRST_ATTEMPTS: u32 = 5;

/// How a worker is to run.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Its folder.
    pub data_dir: DataDir,
    /// The ticket, as text.
    pub ticket: String,
    /// The name shown to the network.
    pub name: String,
    /// Threads that compute.
    pub threads: usize,
    /// Bytes of experts that it may hold, and that they may take in memory; without it, half of the memory that is free now.
    pub memory_limit_bytes: Option<u64>,
    /// Multiaddrs to listen on.
    pub p2p: Vec<String>,
    /// Reach the control services over peer-to-peer only.
    pub p2p_only: bool,
}

/// What happens while a worker runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerEvent {
    /// It was admitted.
    Joined {
        /// The model's name.
        model: String,
        /// The orchestrator.
        orchestrator: NodeId,
        /// How the control services are reached: `tls` or `p2p`.
        over: &'static str,
    },
    /// Experts are being loaded.
    Progress {
        /// Bytes here and verified.
        bytes_done: u64,
        /// Bytes asked for.
        bytes_total: u64,
    },
    /// It holds this much now.
    Holding {
        /// Experts held.
        experts: usize,
        /// Their size in memory.
        resident_bytes: u64,
    },
    /// The orchestrator is not reachable.
    Lost {
        /// Why.
        reason: String,
        /// When it is tried again.
        retry: Duration,
    },
}

/// Hears what happens.
pub type Report = Arc<dyn Fn(WorkerEvent) + Send + Sync>;

/// A worker cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The data folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The ticket.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// Peer-to-peer.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The control services.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The orchestrator's answer.
    #[error("the orchestrator answered: {0}")]
    Control(#[from] ControlError),
    /// The manifest.
    #[error("the orchestrator's manifest is not acceptable: {0}")]
    Manifest(#[from] ManifestError),
    /// The manifest describes a model that this program cannot run.
    #[error("the model cannot be run here: {0}")]
    Model(String),
    /// Another publisher than the first one seen.
    #[error(
        "model {model} was published by {known} before and by {got} now; if that is right, remove its line from {file}"
    )]
    Publisher {
        /// The model's name.
        model: String,
        /// The publisher seen first.
        known: String,
        /// The publisher of this manifest.
        got: String,
        /// The file with the publishers seen.
        file: String,
    },
    /// The orchestrator wants this worker no more.
    #[error("expelled: {reason}")]
    Expelled {
        /// Its words.
        reason: String,
    },
    /// The orchestrator ended the conversation.
    #[error("the orchestrator is gone")]
    Gone,
    /// Threads.
    #[error("cannot start threads: {0}")]
    Threads(String),
}

impl WorkerError {
    /// Whether trying again over a new connection may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            // The orchestrator takes a worker back that was merely silent, and after a while one with faults.
            Self::Gone | Self::Expelled { .. } => true,
            Self::Network(error) => error.is_retryable(),
            Self::Connect(error) => error.is_retryable(),
            Self::Control(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Whether a peer or a rule refused this worker.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Ticket(_) | Self::Expelled { .. } | Self::Publisher { .. } | Self::Control(_))
    }

    /// What the owner can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Ticket(TicketError::Malformed { .. }) => {
                Some("copy the whole ticket from the orchestrator's join line".into())
            }
            Self::Ticket(_) => Some("ask the orchestrator's owner for a new ticket".into()),
            Self::Control(ControlError { kind: ControlErrorKind::NotAllowed, .. }) => {
                Some("ask the orchestrator's owner for a new ticket".into())
            }
            Self::Control(_) | Self::Connect(_) | Self::Gone | Self::Network(_) => {
                Some("check that the orchestrator runs and that its ticket is fresh".into())
            }
            _ => None,
        }
    }
}

/// Runs a worker until `stop` is cancelled.
///
/// # Errors
/// When the ticket is refused, the worker is expelled, or the orchestrator was never reached.
pub async fn run(config: WorkerConfig, report: Report, stop: CancellationToken) -> Result<(), WorkerError> {
    let signed = SignedTicket::from_text(&config.ticket)?;
    let key = config.data_dir.node_key()?;
    neuro_expert_runtime::set_threads(config.threads).map_err(|error| WorkerError::Threads(error.to_string()))?;
    let (network, incoming) = PeerToPeer::start(&key, &config.p2p).await?;
    let _announcement = config.data_dir.announce(&running(&key, &network))?;
    let ticket = signed.verify_signature()?.clone();
    let vouchers = VoucherFiles::open(&config.data_dir)?;
    let (memory_limit_bytes, hardware) = (memory_limit(&config), hardware::hardware().await);
    let worker = Worker { memory_limit_bytes, hardware, config, signed, ticket, key, network, report };
    let mut session = Session::new(worker, vouchers, incoming);
    let outcome = tokio::select! {
        outcome = keep_attending(&mut session) => outcome,
        () = stop.cancelled() => Ok(()),
    };
    session.leave().await;
    outcome
}

/// What a worker is and has, whatever the orchestrator does.
struct Worker {
    config: WorkerConfig,
    signed: SignedTicket,
    ticket: Ticket,
    key: NodeKey,
    network: PeerToPeer,
    memory_limit_bytes: u64,
    hardware: Hardware,
    report: Report,
}

/// Attends, and attends again after each loss.
async fn keep_attending(session: &mut Session) -> Result<(), WorkerError> {
    let (mut pause, mut attempts) = (FIRST_PAUSE, 0);
    loop {
        let error = match session.attend().await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        let sent_away = matches!(error, WorkerError::Expelled { .. });
        if session.was_admitted() && !sent_away {
            (pause, attempts) = (FIRST_PAUSE, 0);
        }
        attempts += 1;
        let hopeless = !session.ever_admitted() && (attempts >= FIRST_ATTEMPTS || session.ticket_is_bad(unix_now()));
        if hopeless || !error.is_retryable() {
            return Err(error);
        }
        session.disconnect().await;
        let retry = spread(pause);
        session.say(WorkerEvent::Lost { reason: error.to_string(), retry });
        tokio::time::sleep(retry).await;
        pause = (pause * 2).min(if sent_away { LONGEST_PAUSE_SENT_AWAY } else { LONGEST_PAUSE });
    }
}

/// Three quarters of the pause to all of it: workers that lost their orchestrator together do not come back in one
/// moment.
fn spread(pause: Duration) -> Duration {
    let part = getrandom::u32().unwrap_or(u32::MAX);
    pause.mul_f64(0.75 + 0.25 * f64::from(part) / f64::from(u32::MAX))
}

fn running(key: &NodeKey, network: &PeerToPeer) -> RunningNode {
    RunningNode {
        pid: std::process::id(),
        node: key.node_id().to_string(),
        api: None,
        control: None,
        p2p: network.addresses(),
    }
}

/// The owner's limit, or half of what is free; a machine that does not tell lends a gibibyte.
fn memory_limit(config: &WorkerConfig) -> u64 {
    config.memory_limit_bytes.unwrap_or_else(|| memory::available_bytes().map_or(1 << 30, |free| free / 2))
}
