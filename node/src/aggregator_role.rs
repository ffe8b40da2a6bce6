//! The aggregator of a federated task: enrols members, runs rounds, applies sums.
//!
//! ```text
//! participants ──▶ service ──▶ cohorts (a thread each): secagg core, journal, sum
//!    ▲  │ streams, uploads          │ ends
//!    │  ▼                           ▼
//!  gRPC over TLS               rounds: next weights, ε, history
//! ```
//!
//! All files of a task lie in `fl/TASK/`; a process that ends in any phase leaves a round that the next one resumes.

pub mod cohort;
pub mod enrolment;
pub mod history;
pub mod invitations;
pub mod journal;
pub mod models;
pub mod reason;
pub mod rounds;
mod service;
mod shared;
mod status;
pub mod streams;
pub mod summing;
pub mod tracks;
pub mod uploads;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use neuro_fl_aggregator::LayoutError;
use neuro_fl_aggregator::round_plan::{PlanError, RoundPlan};
use neuro_primitives::{NodeId, NodeKey};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::unix_now;
use crate::data_dir::{DataDir, DataDirError, RunningNode};
use crate::os::descriptors;
use crate::participant_role::task_folder::folder_of;
use enrolment::{EnrolError, RosterKeeper, TaskIdentity};
use history::{EndedRound, History};
use invitations::TaskFile;
use models::Models;
use rounds::{RoundError, Rounds};
use service::AggregatorService;
use shared::Shared;
use tracks::Tracks;

/// Requests to begin a round that wait.
const WAITING_STARTS: usize = 4;

/// How an aggregator is to run.
#[derive(Debug, Clone)]
pub struct AggregatorOptions {
    /// Its folder.
    pub data_dir: DataDir,
    /// `round.toml`.
    pub plan: PathBuf,
    /// `host:port` to listen on.
    pub listen: String,
    /// `host:port`s that participants reach it by; without any, where it listens.
    pub public: Vec<String>,
    /// A round begins by itself when so many members attend; without it, by command alone.
    pub start_at: Option<usize>,
    /// Batches that new members are spread over.
    pub batches: u16,
    /// The owner, if its key is not in this folder.
    pub owner: Option<NodeId>,
}

/// What happens while an aggregator runs.
#[derive(Debug, Clone)]
pub enum AggregatorEvent {
    /// It listens.
    Ready {
        /// The task's name.
        task: String,
        /// Where.
        address: String,
        /// The aggregator's node id.
        node: NodeId,
        /// Members on the roster.
        rostered: usize,
    },
    /// A round began.
    Began {
        /// Its number.
        round: u64,
        /// Members that are called.
        rostered: u32,
    },
    /// A round that an earlier process left open goes on.
    Resumed {
        /// Its number.
        round: u64,
    },
    /// A round ended.
    Ended(Box<EndedRound>),
    /// No further round is called by itself.
    TaskEnded {
        /// Why, for people.
        reason: String,
    },
}

/// Hears what happens.
pub type Report = Arc<dyn Fn(AggregatorEvent) + Send + Sync>;

/// An aggregator cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AggregatorError {
    /// The data folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The plan.
    #[error("{path}: {source}")]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PlanError,
    },
    /// A file.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The first weights.
    #[error("the model cannot be trained: {0}")]
    Model(#[from] LayoutError),
    /// The roster.
    #[error(transparent)]
    Roster(#[from] EnrolError),
    /// The address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The rounds.
    #[error(transparent)]
    Rounds(#[from] RoundError),
    /// The services.
    #[error("the services failed: {0}")]
    Services(String),
}

/// Runs an aggregator until `stop` is cancelled.
///
/// # Errors
/// When the plan, the weights, the roster or the address cannot be used, or the disk fails.
pub async fn serve_aggregator(
    options: AggregatorOptions,
    report: Report,
    stop: CancellationToken,
) -> Result<(), AggregatorError> {
    let plan = read_plan(&options.plan)?;
    if let Err(error) = descriptors::allow() {
        tracing::warn!(%error, "no more files and connections than now can be open");
    }
    let key = options.data_dir.node_key()?;
    let owner = owner_key(&options)?;
    let refused = |source| AggregatorError::Listen { address: options.listen.clone(), source };
    let listener = TcpListener::bind(&options.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?.to_string();
    let identity = TaskIdentity {
        name: plan.task.clone(),
        owner: options.owner.or(owner.as_ref().map(NodeKey::node_id)).unwrap_or_else(|| key.node_id()),
        aggregator: key.node_id(),
        batches: options.batches.max(1),
    };
    let folder = folder_of(&options.data_dir, identity.id())?;
    let (starts, requests) = mpsc::channel(WAITING_STARTS);
    let (shared, tracks) = prepare(&options, plan, key, owner, identity, &folder, &address, starts)?;
    let _announcement = options.data_dir.announce(&running(&shared.key, &address))?;
    report(AggregatorEvent::Ready {
        task: shared.plan.task.clone(),
        address,
        node: shared.key.node_id(),
        rostered: shared.roster.roster().fields().members.len(),
    });
    let rounds = Rounds::new(Arc::clone(&shared), folder, tracks, report)?;
    serve(shared, rounds, listener, requests, stop).await
}

/// Everything that lies in the task's folder.
#[expect(clippy::too_many_arguments, reason = "each is one part of what is shared, named as its field")]
fn prepare(
    options: &AggregatorOptions,
    plan: RoundPlan,
    key: NodeKey,
    owner: Option<NodeKey>,
    identity: TaskIdentity,
    folder: &Path,
    address: &str,
    starts: mpsc::Sender<shared::StartRequest>,
) -> Result<(Arc<Shared>, Tracks), AggregatorError> {
    let at = |source| AggregatorError::Io { path: folder.to_owned(), source };
    let public = if options.public.is_empty() { vec![address.to_owned()] } else { options.public.clone() };
    TaskFile::of(&identity, public).save(folder).map_err(at)?;
    let roster = RosterKeeper::open(folder, identity, owner.as_ref(), unix_now())?;
    let models = Models::open(folder).map_err(at)?;
    let tracks = Tracks::of(&options.plan, &plan, &models)?;
    let shared = Shared {
        key,
        owner,
        description: format!("task {}, strategy {}", plan.task, plan.strategy.name()),
        start_at: options.start_at,
        plan,
        roster,
        streams: Arc::default(),
        models,
        starts,
        running: RwLock::default(),
        ended: RwLock::default(),
        task_end: Mutex::default(),
        capabilities: Mutex::default(),
        history: Mutex::new(History::open(folder).map_err(at)?),
    };
    Ok((Arc::new(shared), tracks))
}

/// The plan in a file.
pub(crate) fn read_plan(path: &Path) -> Result<RoundPlan, AggregatorError> {
    let text = fs::read_to_string(path).map_err(|source| AggregatorError::Io { path: path.to_owned(), source })?;
    RoundPlan::parse(&text).map_err(|source| AggregatorError::Plan { path: path.to_owned(), source })
}

/// Both halves, until either ends.
async fn serve(
    shared: Arc<Shared>,
    rounds: Rounds,
    listener: TcpListener,
    requests: mpsc::Receiver<shared::StartRequest>,
    stop: CancellationToken,
) -> Result<(), AggregatorError> {
    let service = Arc::new(AggregatorService::new(Arc::clone(&shared)));
    let ending = async {
        stop.cancelled().await;
        shared.streams.dismiss("the aggregator stops");
    };
    let services = neuro_network::federated::serve(listener, &shared.key, service, ending);
    let (rounds, services) =
        tokio::join!(async { rounds.run(requests, stop.clone()).await.inspect_err(|_| stop.cancel()) }, async {
            services.await.inspect_err(|_| stop.cancel())
        },);
    rounds?;
    services.map_err(|error| AggregatorError::Services(error.to_string()))
}

/// The owner's key, unless the owner is elsewhere.
fn owner_key(options: &AggregatorOptions) -> Result<Option<NodeKey>, DataDirError> {
    let key = invitations::owner_key(&options.data_dir)?;
    Ok(Some(key).filter(|key| options.owner.is_none_or(|owner| owner == key.node_id())))
}

fn running(key: &NodeKey, address: &str) -> RunningNode {
    RunningNode {
        pid: std::process::id(),
        node: key.node_id().to_string(),
        api: None,
        control: Some(address.to_owned()),
        p2p: Vec::new(),
    }
}
