//! The aggregator of a federated task: enrols members, runs rounds, applies sums.
//!
//! ```text
//! participants ──▶ service ──▶ cohort (a thread): secagg core, journal, sum
//!    ▲  │ streams, uploads          │ end
//!    │  ▼                           ▼
//!  gRPC over TLS               rounds: next weights, history
//! ```
//!
//! All files of a task lie in `fl/TASK/`; a process that ends in any phase leaves a round that the next one resumes.

pub mod cohort;
pub mod enrolment;
pub mod history;
pub mod invitations;
pub mod journal;
pub mod models;
pub mod plan;
pub mod reason;
pub mod rounds;
mod service;
mod shared;
mod status;
pub mod streams;
pub mod summing;
pub mod uploads;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use neuro_fl_aggregator::{Layout, LayoutError};
use neuro_model::tensor_file::TensorTable;
use neuro_primitives::{Hash, NodeId, NodeKey};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::unix_now;
use crate::data_dir::{DataDir, DataDirError, RunningNode};
use enrolment::{EnrolError, RosterKeeper, TaskIdentity};
use history::{EndedRound, History};
use invitations::TaskFile;
use models::Models;
use plan::{PlanError, TaskPlan};
use rounds::{RoundError, Rounds};
use service::AggregatorService;
use shared::Shared;

/// Requests to begin a round that wait.
const WAITING_STARTS: usize = 4;

/// How an aggregator is to run.
#[derive(Debug, Clone)]
pub struct AggregatorOptions {
    /// Its folder.
    pub data_dir: DataDir,
    /// `round.toml`.
    pub plan: PathBuf,
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
    #[error(transparent)]
    Plan(#[from] PlanError),
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
    let plan = TaskPlan::read(&options.plan)?;
    let key = options.data_dir.node_key()?;
    let owner = owner_key(&options)?;
    let listener = TcpListener::bind(&plan.listen).await;
    let listener = listener.map_err(|source| AggregatorError::Listen { address: plan.listen.clone(), source })?;
    let address = listener.local_addr().map_err(|source| AggregatorError::Listen { address: plan.listen.clone(), source })?;
    let identity = TaskIdentity {
        name: plan.task.clone(),
        owner: options.owner.or(owner.as_ref().map(NodeKey::node_id)).unwrap_or_else(|| key.node_id()),
        aggregator: key.node_id(),
        batches: plan.batches.max(1),
    };
    let folder = crate::participant_role::task_folder::folder_of(&options.data_dir, identity.id())?;
    let at = |source| AggregatorError::Io { path: folder.clone(), source };
    let addresses = if plan.public.is_empty() { vec![address.to_string()] } else { plan.public.clone() };
    TaskFile::of(&identity, addresses).save(&folder).map_err(at)?;
    let roster = RosterKeeper::open(&folder, identity.clone(), owner.as_ref(), unix_now())?;
    let models = Models::open(&folder).map_err(at)?;
    let (layout, first_model) = first_weights(&plan, &models)?;
    let rostered = roster.roster().fields().members.len();
    let (starts, requests) = mpsc::channel(WAITING_STARTS);
    let description = format!("task {}, strategy {}", plan.task, plan.strategy.name);
    let history = History::open(&folder).map_err(at)?;
    let shared = Arc::new(Shared::new(key, owner, plan, description, roster, models, starts, history));
    let _announcement = options.data_dir.announce(&running(&shared.key, &address.to_string()))?;
    let ready = AggregatorEvent::Ready {
        task: identity.name,
        address: address.to_string(),
        node: identity.aggregator,
        rostered,
    };
    report(ready);
    let rounds = Rounds::new(Arc::clone(&shared), folder, layout, first_model, report);
    serve(shared, rounds, listener, requests, stop).await
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
    let (rounds, services) = tokio::join!(
        async { rounds.run(requests, stop.clone()).await.inspect_err(|_| stop.cancel()) },
        async { services.await.inspect_err(|_| stop.cancel()) },
    );
    rounds?;
    services.map_err(|error| AggregatorError::Services(error.to_string()))
}

/// The owner's key, unless the owner is elsewhere.
fn owner_key(options: &AggregatorOptions) -> Result<Option<NodeKey>, DataDirError> {
    let key = invitations::owner_key(&options.data_dir)?;
    Ok(Some(key).filter(|key| options.owner.is_none_or(|owner| owner == key.node_id())))
}

/// What is trained, and its first values as they are handed out: the trained tensors alone, in f32.
fn first_weights(plan: &TaskPlan, models: &Models) -> Result<(Layout, Hash), AggregatorError> {
    let at = |source| AggregatorError::Io { path: plan.model.clone(), source };
    let file = fs::read(&plan.model).map_err(at)?;
    let table = TensorTable::from_bytes(&file).map_err(LayoutError::from)?;
    let choice = plan.choice().map_err(|reason| PlanError::Wrong { path: plan.model.clone(), reason })?;
    let layout = Layout::of(&table, &choice)?;
    let weights = layout.write(&layout.read_model(&file)?)?;
    let hash = models.keep(&weights).map_err(at)?;
    Ok((layout, hash))
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
