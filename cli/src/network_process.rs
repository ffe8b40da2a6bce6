//! A whole network as child processes: one orchestrator, some workers.
//!
//! The children end when their standard input closes, so that none outlives this process, however it ends. They run
//! in process groups of their own: Ctrl-C reaches this process alone, which then stops them in order.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::exit_code::Outcome;
use crate::failure::Failure;

/// How long a child may take to end by itself before it is killed. A worker that computes finishes its task first.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How long a network may take until every expert has a holder. Generous: large models are hashed and converted.
const START_PATIENCE: Duration = Duration::from_secs(600);

/// What to start.
#[derive(Debug, Clone)]
pub struct NetworkPlan {
    /// Folder with a data folder for each node in it.
    pub root: PathBuf,
    /// The checkpoint.
    pub model: PathBuf,
    /// How many workers.
    pub workers: usize,
    /// Threads that each worker computes with.
    pub threads: usize,
    /// Address of the API; port 0 takes a free one.
    pub api: String,
    /// Whether other machines may join: peer-to-peer listens on every address, not on loopback alone.
    pub reachable: bool,
    /// The orchestrator's store; without it, a file in its data folder.
    pub store: Option<String>,
}

/// One line of a child's `--json-lines`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum ChildEvent {
    Loading {
        bytes_done: u64,
        bytes_total: u64,
    },
    Ready(Ready),
    Serving,
    #[serde(other)]
    Other,
}

/// Where a started orchestrator can be reached.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// `http://host:port`.
    pub api: String,
    /// The ticket for workers.
    pub ticket: String,
    /// The whole command for a worker on another machine.
    pub join: String,
}

/// What happens while a network starts and runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkEvent {
    /// The orchestrator reads the model.
    Loading {
        /// Bytes read.
        bytes_done: u64,
        /// Bytes to read.
        bytes_total: u64,
    },
    /// The orchestrator listens; workers are started.
    Placing,
    /// Every expert has a holder.
    Serving,
}

/// A running network.
pub struct NetworkProcess {
    /// Where it can be reached.
    pub ready: Ready,
    /// The orchestrator's data folder.
    pub data_dir: PathBuf,
    orchestrator: ChildNode,
    workers: Vec<ChildNode>,
}

struct ChildNode {
    name: String,
    process: Child,
    /// Held apart: waiting for a process would close it, and closing it tells the child to stop.
    stdin: Option<ChildStdin>,
    lines: Option<Lines<BufReader<ChildStdout>>>,
    log: PathBuf,
}

impl NetworkProcess {
    /// Starts the orchestrator, then the workers, and waits until every expert has a holder.
    ///
    /// # Errors
    /// When a child cannot be started or ends early; its last words are in the error.
    pub async fn start(plan: &NetworkPlan, report: &mut (dyn FnMut(NetworkEvent) + Send)) -> Result<Self, Failure> {
        tokio::time::timeout(START_PATIENCE, Self::start_unbounded(plan, report)).await.map_err(|_| {
            Failure::message(
                Outcome::Failed,
                format!("the network did not start within {} s", START_PATIENCE.as_secs()),
            )
            .hint(format!("read the logs in {}", plan.root.display()))
        })?
    }

    async fn start_unbounded(
        plan: &NetworkPlan,
        report: &mut (dyn FnMut(NetworkEvent) + Send),
    ) -> Result<Self, Failure> {
        let data_dir = plan.root.join("orchestrator");
        let mut orchestrator = ChildNode::spawn("orchestrator", &data_dir, &orchestrator_arguments(plan))?;
        let ready = orchestrator.wait_ready(report).await?;
        report(NetworkEvent::Placing);
        let mut workers = Vec::with_capacity(plan.workers);
        for number in 1..=plan.workers {
            let name = format!("worker-{number}");
            let mut worker = ChildNode::spawn(&name, &plan.root.join(&name), &worker_arguments(plan, &ready, &name))?;
            worker.ignore_events();
            workers.push(worker);
        }
        let mut network = Self { ready, data_dir, orchestrator, workers };
        network.wait_serving().await?;
        network.orchestrator.ignore_events();
        report(NetworkEvent::Serving);
        Ok(network)
    }

    /// Waits until a child ends, and says which. Never returns while all of them run.
    pub async fn first_to_end(&mut self) -> String {
        first_to_end(self.workers.iter_mut().chain([&mut self.orchestrator])).await
    }

    /// Forgets the workers that have ended. False when the orchestrator has, or no worker is left.
    pub fn lose_ended(&mut self) -> bool {
        self.workers.retain_mut(|worker| matches!(worker.process.try_wait(), Ok(None)));
        !self.workers.is_empty() && matches!(self.orchestrator.process.try_wait(), Ok(None))
    }

    /// Process ids, the orchestrator's first.
    pub fn process_ids(&self) -> Vec<u32> {
        [&self.orchestrator].into_iter().chain(&self.workers).filter_map(|child| child.process.id()).collect()
    }

    /// Stops the workers, then the orchestrator. None is left when this returns.
    pub async fn stop(self) {
        let stops = self.workers.into_iter().map(ChildNode::stop);
        futures::future::join_all(stops).await;
        self.orchestrator.stop().await;
    }

    async fn wait_serving(&mut self) -> Result<(), Failure> {
        loop {
            tokio::select! {
                event = self.orchestrator.next_event() => {
                    if matches!(event?, ChildEvent::Serving) {
                        return Ok(());
                    }
                }
                ended = first_to_end(self.workers.iter_mut()) => {
                    return Err(Failure::message(Outcome::Failed, ended));
                }
            }
        }
    }
}

/// Waits for the first child that ends. There must be at least one.
async fn first_to_end<'a>(children: impl Iterator<Item = &'a mut ChildNode>) -> String {
    let ends = children.map(|child| {
        Box::pin(async move {
            let status = child.process.wait().await;
            child.obituary(status.ok())
        })
    });
    futures::future::select_all(ends).await.0
}

impl ChildNode {
    fn spawn(name: &str, data_dir: &Path, arguments: &[String]) -> Result<Self, Failure> {
        std::fs::create_dir_all(data_dir)?;
        let log = data_dir.join("log.txt");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).arg("--data-dir").arg(data_dir);
        command.args(["--json-lines", "--stop-with-parent"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log)?).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut process = command.spawn()?;
        let stdout = process.stdout.take().ok_or_else(|| anyhow::anyhow!("{name} has no standard output"))?;
        let stdin = process.stdin.take();
        Ok(Self { name: name.to_owned(), process, stdin, lines: Some(BufReader::new(stdout).lines()), log })
    }

    async fn wait_ready(&mut self, report: &mut (dyn FnMut(NetworkEvent) + Send)) -> Result<Ready, Failure> {
        loop {
            match self.next_event().await? {
                ChildEvent::Loading { bytes_done, bytes_total } => {
                    report(NetworkEvent::Loading { bytes_done, bytes_total });
                }
                ChildEvent::Ready(ready) => return Ok(ready),
                ChildEvent::Serving | ChildEvent::Other => {}
            }
        }
    }

    /// The next event; the child's end is an error with its last words.
    async fn next_event(&mut self) -> Result<ChildEvent, Failure> {
        if let Some(lines) = &mut self.lines {
            while let Some(line) = lines.next_line().await? {
                if let Ok(event) = serde_json::from_str(&line) {
                    return Ok(event);
                }
            }
        }
        let status = self.process.wait().await.ok();
        Err(Failure::message(Outcome::Failed, self.obituary(status)))
    }

    /// Reads the child's events on and forgets them, so that it never waits for a full pipe.
    fn ignore_events(&mut self) {
        if let Some(mut lines) = self.lines.take() {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        }
    }

    /// How the child ended, with the last line that it logged.
    fn obituary(&self, status: Option<std::process::ExitStatus>) -> String {
        let how = status.map_or_else(|| "ended".to_owned(), |status| format!("ended ({status})"));
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        match log.lines().rfind(|line| !line.trim().is_empty()) {
            Some(last) => format!("{} {how}: {}", self.name, last.trim()),
            None => format!("{} {how}", self.name),
        }
    }

    async fn stop(mut self) {
        drop(self.stdin.take());
        if tokio::time::timeout(STOP_PATIENCE, self.process.wait()).await.is_err() {
            tracing::warn!("{} did not stop within {} s and is killed", self.name, STOP_PATIENCE.as_secs());
            let _ = self.process.kill().await;
        }
    }
}

fn orchestrator_arguments(plan: &NetworkPlan) -> Vec<String> {
    let model = plan.model.display().to_string();
    let fixed = ["serve", "--model", &model, "--api", &plan.api, "--control", "127.0.0.1:0"];
    let host = if plan.reachable { "0.0.0.0" } else { "127.0.0.1" };
    let p2p = [format!("/ip4/{host}/tcp/0"), format!("/ip4/{host}/udp/0/quic-v1")];
    let listen = p2p.into_iter().flat_map(|address| ["--p2p".to_owned(), address]);
    let expected = ["--expect-workers".to_owned(), plan.workers.to_string()];
    let store = plan.store.iter().flat_map(|store| ["--store".to_owned(), store.clone()]);
    fixed.into_iter().map(str::to_owned).chain(listen).chain(expected).chain(store).collect()
}

fn worker_arguments(plan: &NetworkPlan, ready: &Ready, name: &str) -> Vec<String> {
    let threads = plan.threads.to_string();
    let fixed = ["worker", "start", "--join", &ready.ticket, "--name", name, "--threads", &threads];
    let p2p = ["--p2p", "/ip4/127.0.0.1/tcp/0"];
    fixed.into_iter().chain(p2p).map(str::to_owned).collect()
}
