//! A network of processes: an orchestrator and its workers, each started as their owners would.

use std::path::{Path, PathBuf};
use std::process::Command;

use neuro_protocol::ticket::SignedTicket;
use serde_json::Value;

use crate::place::Place;
use crate::process::Process;
use crate::stage::{Stage, eventually};

/// A running network on a stage.
pub struct Network<'a> {
    stage: &'a Stage,
    model: PathBuf,
    /// Options that have it listen where it listens.
    addresses: Vec<String>,
    /// The orchestrator.
    pub orchestrator: Process,
    /// The workers, in the order of their start.
    pub workers: Vec<Process>,
    /// `http://host:port`.
    pub api: String,
    /// What workers join with.
    pub ticket: String,
    /// Kept for an orchestrator that starts again.
    _places: Option<[Place; 3]>,
}

impl<'a> Network<'a> {
    /// An orchestrator for `model` with `workers` workers, ready to answer.
    pub fn start(stage: &'a Stage, model: &Path, workers: usize) -> Self {
        let mut network = Self::orchestrator(stage, model, &["--expect-workers", &workers.to_string()]);
        // All at once: the orchestrator does not wait long for them before it deals out experts.
        let names = (1..=workers).map(|number| format!("worker-{number}"));
        let started: Vec<Process> = names.map(|name| network.start_worker(&name, &[])).collect();
        for worker in started {
            network.take(worker);
        }
        network.orchestrator.event("serving");
        network
    }

    /// An orchestrator without workers.
    pub fn orchestrator(stage: &'a Stage, model: &Path, options: &[&str]) -> Self {
        let places = [(); 3].map(|()| Place::new());
        let [api, control, p2p] = places.each_ref().map(Place::address);
        let p2p = format!("/ip4/{}", p2p.replace(':', "/tcp/"));
        let listening = ["--api", &api, "--control", &control, "--p2p", &p2p];
        let orchestrator = Process::start(serve(stage, model, &[&listening, options].concat()));
        Self { _places: Some(places), ..Self::of(stage, model, orchestrator) }
    }

    /// The command of an orchestrator.
    pub fn serve_command(stage: &Stage, model: &Path, options: &[&str]) -> Command {
        serve(stage, model, &[FREE_PORTS, options].concat())
    }

    /// The network of an orchestrator that was started, without workers.
    pub fn of(stage: &'a Stage, model: &Path, orchestrator: Process) -> Self {
        let ready = orchestrator.event("ready");
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        let (api, ticket) = (text("api"), text("ticket"));
        let p2p = ready["p2p"].as_array().unwrap().iter().map(|address| address.as_str().unwrap());
        let listening = [("--api", api.strip_prefix("http://").unwrap()), ("--control", &text("control"))];
        let listening: Vec<(&str, String)> = listening.map(|(option, address)| (option, address.to_owned())).to_vec();
        let p2p = p2p.map(|address| ("--p2p", address.to_owned()));
        let addresses = listening.into_iter().chain(p2p).flat_map(|(option, address)| [option.to_owned(), address]);
        let (model, addresses) = (model.to_owned(), addresses.collect());
        Self { stage, model, addresses, orchestrator, workers: Vec::new(), api, ticket, _places: None }
    }

    /// Starts the orchestrator again, which has ended, on its folder and where it listened. Its workers are still there.
    pub fn start_again(&mut self) {
        let addresses: Vec<&str> = self.addresses.iter().map(String::as_str).collect();
        self.orchestrator = Process::start(serve(self.stage, &self.model, &addresses));
        self.orchestrator.event("ready");
    }

    /// Starts one more worker, with a folder called `name`, and waits until it has joined.
    pub fn add(&mut self, name: &str) {
        self.add_with(name, &[]);
    }

    /// As [`Self::add`], with more options. Returns the event of its joining.
    pub fn add_with(&mut self, name: &str, options: &[&str]) -> Value {
        self.take(self.start_worker(name, options))
    }

    fn start_worker(&self, name: &str, options: &[&str]) -> Process {
        let arguments = self.worker_arguments(name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(options.iter().copied()).collect();
        self.stage.start(&arguments)
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

fn serve(stage: &Stage, model: &Path, options: &[&str]) -> Command {
    let (model, data_dir) = (model.display().to_string(), stage.path("orchestrator").display().to_string());
    let fixed = ["serve", "--json-lines", "--stop-with-parent", "--model", &model, "--data-dir", &data_dir];
    stage.command(&[&fixed, options].concat())
}

/// Options of `neuro serve` that collide with nobody.
pub const FREE_PORTS: &[&str] = &["--api", "127.0.0.1:0", "--control", "127.0.0.1:0", "--p2p", "/ip4/127.0.0.1/tcp/0"];
