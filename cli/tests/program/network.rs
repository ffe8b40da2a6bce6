//! A network of processes: an orchestrator and its workers, each started as their owners would.

use std::path::Path;

use neuro_protocol::ticket::SignedTicket;
use serde_json::Value;

use crate::process::Process;
use crate::stage::{Stage, eventually};

/// A running network on a stage.
pub struct Network<'a> {
    stage: &'a Stage,
    /// The orchestrator.
    pub orchestrator: Process,
    /// The workers, in the order of their start.
    pub workers: Vec<Process>,
    /// `http://host:port`.
    pub api: String,
    /// What workers join with.
    pub ticket: String,
}

impl<'a> Network<'a> {
    /// An orchestrator for `model` with `workers` workers, ready to answer.
    pub fn start(stage: &'a Stage, model: &Path, workers: usize) -> Self {
        let mut network = Self::orchestrator(stage, model, &["--expect-workers", &workers.to_string()]);
        for number in 1..=workers {
            network.add(&format!("worker-{number}"));
        }
        network.orchestrator.event("serving");
        network
    }

    /// An orchestrator without workers.
    pub fn orchestrator(stage: &'a Stage, model: &Path, options: &[&str]) -> Self {
        let (model, data_dir) = (model.display().to_string(), stage.path("orchestrator").display().to_string());
        let fixed = ["serve", "--json-lines", "--stop-with-parent", "--model", &model, "--data-dir", &data_dir];
        let orchestrator = stage.start(&[&fixed, FREE_PORTS, options].concat());
        let ready = orchestrator.event("ready");
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { stage, orchestrator, workers: Vec::new(), api: text("api"), ticket: text("ticket") }
    }

    /// Starts one more worker, with a folder called `name`, and waits until it has joined.
    pub fn add(&mut self, name: &str) {
        self.add_with(name, &[]);
    }

    /// As [`Self::add`], with more options. Returns the event of its joining.
    pub fn add_with(&mut self, name: &str, options: &[&str]) -> Value {
        let arguments = self.worker_arguments(name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(options.iter().copied()).collect();
        self.take(self.stage.start(&arguments))
    }

    /// Makes a started worker one of the network's, once it has joined.
    pub fn take(&mut self, worker: Process) -> Value {
        let joined = worker.event("joined");
        self.workers.push(worker);
        joined
    }

    /// The command line of a worker with a folder called `name`.
    pub fn worker_arguments(&self, name: &str) -> Vec<String> {
        let data_dir = self.stage.path(name).display().to_string();
        let fixed = ["worker", "start", "--json-lines", "--stop-with-parent", "--threads", "1"];
        let named = ["--join", &self.ticket, "--name", name, "--data-dir", &data_dir, "--p2p", "/ip4/127.0.0.1/tcp/0"];
        fixed.iter().chain(&named).map(|&argument| argument.to_owned()).collect()
    }

    /// What the dashboard shows.
    pub fn status(&self) -> Value {
        let data_dir = self.stage.path("orchestrator").display().to_string();
        let shown = self.stage.run(&["dashboard", "--json", "--data-dir", &data_dir]);
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        serde_json::from_str(&shown.stdout).unwrap()
    }

    /// Waits until every expert has at least `holders` holders.
    pub fn wait_holders(&self, holders: u64) {
        eventually(&format!("every expert has {holders} holders"), || {
            let status = self.status();
            let counts =
                status["holders"].as_array().unwrap().iter().flat_map(|layer| layer["counts"].as_array().unwrap());
            let mut counts: Vec<u64> = counts.map(|count| count.as_u64().unwrap()).collect();
            counts.sort_unstable();
            counts.first().is_some_and(|&fewest| fewest >= holders)
        });
    }

    /// The orchestrator's node id.
    pub fn signer(&self) -> String {
        SignedTicket::from_text(&self.ticket).unwrap().verify_signature().unwrap().orchestrator.to_string()
    }

    /// Asks as a user does, and returns the answer.
    pub fn ask(&self, question: &str) -> String {
        let asked = self.stage.run(&["ask", "--url", &self.api, question]);
        assert_eq!(asked.code, Some(0), "{}", asked.stderr);
        asked.stdout.trim_end().to_owned()
    }
}

/// Options of `neuro serve` that collide with nobody.
pub const FREE_PORTS: &[&str] = &["--api", "127.0.0.1:0", "--control", "127.0.0.1:0", "--p2p", "/ip4/127.0.0.1/tcp/0"];
