//! A real orchestrator with the skills model, real workers, and a client that asks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use neuro_network::control::ControlClient;
use neuro_node::data_dir::DataDir;
use neuro_node::orchestrator_role::{self, Addresses, OrchestratorConfig, OrchestratorError, OrchestratorEvent};
use neuro_node::worker_role::{self, WorkerConfig, WorkerError, WorkerEvent};
use neuro_orchestrator::Checks;
use neuro_primitives::NodeKey;
use neuro_protocol::control::{Status, WorkerState, WorkerStatus};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What stops a test that waits in vain. No test depends on how long anything takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at a value that no event announces.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Threads of the process-wide compute pool: all roles of this process share it.
pub const THREADS: usize = 2;

/// Experts of the skills model: 4 layers of 8.
pub const EXPERTS: u32 = 32;

pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// Waits for `future`, not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// The folder of the skills model.
pub fn checkpoint() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/skills/checkpoint")
}

/// A running orchestrator. Dropping it stops it.
pub struct Network {
    pub addresses: Addresses,
    pub key: NodeKey,
    pub folder: TempDir,
    pub owner: ControlClient,
    pub http: reqwest::Client,
    running: JoinHandle<Result<(), OrchestratorError>>,
    stop: DropGuard,
}

impl Network {
    pub async fn start() -> Self {
        Self::listening(&[TCP]).await
    }

    pub async fn listening(p2p: &[&str]) -> Self {
        let p2p = p2p.iter().map(|address| (*address).to_owned()).collect();
        Self::at(tempfile::tempdir().unwrap(), "127.0.0.1:0", p2p).await
    }

    /// An orchestrator on this folder and these addresses.
    pub async fn at(folder: TempDir, control: &str, p2p: Vec<String>) -> Self {
        Self::checking(Checks::SAMPLED, folder, control, p2p).await
    }

    /// The same, which checks workers' answers so.
    pub async fn checking(checks: Checks, folder: TempDir, control: &str, p2p: Vec<String>) -> Self {
        neuro_expert_runtime::set_threads(THREADS).unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        let key = data_dir.node_key().unwrap();
        let config = OrchestratorConfig {
            data_dir,
            model: checkpoint(),
            checks,
            api: "127.0.0.1:0".to_owned(),
            api_key_file: None,
            allowed_hosts: Vec::new(),
            control: control.to_owned(),
            p2p,
            slots: 2,
            queue: 8,
            kv_cache_bytes: None,
            replicas: 2,
            ticket_lifetime: Duration::from_secs(3600),
            expected_workers: 0,
            call_patience: Some(PATIENCE),
            store: None,
        };
        let (events, mut heard) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let report = Arc::new(move |event| drop(events.send(event)));
        let running = tokio::spawn(orchestrator_role::run(config, report, stop.clone()));
        let addresses = within("an orchestrator", async {
            loop {
                match heard.recv().await {
                    Some(OrchestratorEvent::Ready(addresses)) => return addresses,
                    Some(_) => {}
                    None => panic!("the orchestrator did not start"),
                }
            }
        });
        let addresses = addresses.await;
        let owner = ControlClient::connect_tls(&addresses.control, &key, key.node_id()).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { addresses, key, folder, owner, http, running, stop: stop.drop_guard() }
    }

    /// Stops it and gives the folder back.
    pub async fn stop(self) -> TempDir {
        drop(self.stop);
        within("the orchestrator's end", self.running).await.unwrap().unwrap();
        self.folder
    }

    /// A real worker that listens on TCP.
    pub async fn worker(&self, name: &str) -> Worker {
        let worker = Worker::start(Worker::config(name, &self.addresses.ticket));
        self.until("a worker with all experts", |status| of(status, name).is_some_and(holds_all)).await;
        worker
    }

    pub async fn status(&self) -> Status {
        within("the status", self.owner.status()).await.unwrap()
    }

    /// Looks at the status until it is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut last = Status::default();
        let looking = async {
            loop {
                last = self.status().await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, looking).await.is_ok();
        assert!(found, "waited in vain for {what}; the workers are {:#?}", last.workers);
        last
    }

    /// What the network answers to a question of the training set, whose answer is 47.
    pub async fn ask(&self) -> String {
        let response = self.request(json!({ "temperature": 0 }), "What is 12+35?").await;
        let answer: Value = response.json().await.unwrap();
        answer["choices"][0]["message"]["content"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub async fn request(&self, mut body: Value, question: &str) -> reqwest::Response {
        body["model"] = json!(self.status().await.model.unwrap().name);
        body["messages"] = json!([{ "role": "user", "content": question }]);
        let url = format!("{}/v1/chat/completions", self.addresses.api);
        self.http.post(url).json(&body).send().await.unwrap()
    }
}

/// The last worker of this name in a status.
pub fn of<'a>(status: &'a Status, name: &str) -> Option<&'a WorkerStatus> {
    status.workers.iter().rfind(|worker| worker.name == name)
}

pub fn holds_all(worker: &WorkerStatus) -> bool {
    worker.experts_held == EXPERTS
}

pub fn is_gone(worker: &WorkerStatus) -> bool {
    worker.state() == WorkerState::Gone
}

/// A running worker. Dropping it stops it.
pub struct Worker {
    pub data_dir: DataDir,
    pub events: mpsc::UnboundedReceiver<WorkerEvent>,
    pub running: JoinHandle<Result<(), WorkerError>>,
    _stop: DropGuard,
    /// Kept until the worker is gone; none when the folder is another's.
    _folder: Option<Arc<TempDir>>,
}

impl Worker {
    /// A configuration with a folder of its own, which lives as long as the process needs it.
    pub fn config(name: &str, ticket: &str) -> (WorkerConfig, Option<Arc<TempDir>>) {
        let folder = tempfile::tempdir().unwrap();
        let config = Self::config_in(&DataDir::open(folder.path()).unwrap(), name, ticket);
        (config, Some(Arc::new(folder)))
    }

    pub fn config_in(data_dir: &DataDir, name: &str, ticket: &str) -> WorkerConfig {
        WorkerConfig {
            data_dir: data_dir.clone(),
            ticket: ticket.to_owned(),
            name: name.to_owned(),
            threads: THREADS,
            memory_limit_bytes: Some(1 << 30),
            p2p: vec![TCP.to_owned()],
            p2p_only: false,
        }
    }

    pub fn start((config, folder): (WorkerConfig, Option<Arc<TempDir>>)) -> Self {
        neuro_expert_runtime::set_threads(THREADS).unwrap();
        let (said, events) = mpsc::unbounded_channel();
        let (stop, data_dir) = (CancellationToken::new(), config.data_dir.clone());
        let report = Arc::new(move |event| drop(said.send(event)));
        let running = tokio::spawn(worker_role::run(config, report, stop.clone()));
        Self { data_dir, events, running, _stop: stop.drop_guard(), _folder: folder }
    }

    /// The next event that `wanted` makes something of.
    pub async fn hears<T>(&mut self, what: &str, mut wanted: impl FnMut(WorkerEvent) -> Option<T>) -> T {
        within(what, async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("the worker ended before {what}"));
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        })
        .await
    }

    /// How the control services are reached, once it has joined.
    pub async fn joined(&mut self) -> &'static str {
        self.hears("joining", |event| match event {
            WorkerEvent::Joined { over, .. } => Some(over),
            _ => None,
        })
        .await
    }

    /// Why it ended by itself.
    pub async fn failure(&mut self) -> WorkerError {
        within("the worker's end", &mut self.running).await.unwrap().unwrap_err()
    }
}

/// Keeps what several tasks note down.
#[derive(Debug, Default)]
pub struct Notes<T>(Mutex<Vec<T>>);

impl<T: Clone> Notes<T> {
    pub fn add(&self, note: T) {
        self.0.lock().unwrap().push(note);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }
}
