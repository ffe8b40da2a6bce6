//! A federation of processes: an aggregator and its participants, each started as their owners would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use neuro_primitives::Hash;
use serde_json::{Value, json};

use crate::place::Place;
use crate::process::Process;
use crate::stage::{Finished, Stage, eventually};

/// Entries of the model: one tensor of 4 × 3.
pub const ENTRIES: usize = 12;

/// Units per 1.0 of the plans here: 32,767 units fill the range.
const SCALE: f64 = 4096.0;

/// A running federation on a stage.
pub struct Federation<'a> {
    stage: &'a Stage,
    /// The aggregator.
    pub aggregator: Process,
    /// What participants join with.
    pub invitation: String,
    address: String,
    options: Vec<String>,
    /// A restarted aggregator has to be found again.
    _place: Place,
}

impl<'a> Federation<'a> {
    /// An aggregator of a tiny model whose cohort is as `cohort` says, and an invitation for all who come.
    pub fn start(stage: &'a Stage, cohort: &str, options: &[&str]) -> Self {
        write_plan(stage, 1, cohort);
        Self::begin(stage, options)
    }

    /// The same with rounds that are begun by hand.
    pub fn of_rounds(stage: &'a Stage, rounds: u32, cohort: &str) -> Self {
        write_plan(stage, rounds, cohort);
        Self::begin(stage, &[])
    }

    /// An aggregator with this plan, and an invitation for all who come.
    pub fn with_plan(stage: &'a Stage, plan: &str, options: &[&str]) -> Self {
        fs::write(stage.path("round.toml"), plan).unwrap();
        Self::begin(stage, options)
    }

    fn begin(stage: &'a Stage, options: &[&str]) -> Self {
        let place = Place::new();
        let address = place.address();
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let aggregator = serve(stage, &address, &options);
        let data_dir = stage.path("aggregator").display().to_string();
        let invited = stage.run(&["fl", "invite", "--uses", "100", "--json", "--data-dir", &data_dir]);
        assert_eq!(invited.code, Some(0), "{}", invited.stderr);
        let invitation: Value = serde_json::from_str(&invited.stdout).unwrap();
        let invitation = invitation["invitation"].as_str().unwrap().to_owned();
        Self { stage, aggregator, invitation, address, options, _place: place }
    }

    /// Starts the aggregator again, on the same folder and address.
    pub fn restart(&mut self) {
        self.aggregator = serve(self.stage, &self.address, &self.options);
    }

    /// A participant whose trainer is this line of shell; `$1` is the update's file.
    pub fn join(&self, number: usize, trainer: &str) -> Process {
        let update = self.update(number).display().to_string();
        self.participant(number, &["--trainer", "sh", "--", "-c", trainer, "sh", &update])
    }

    /// The file with what participant `number` adds, made here.
    pub fn update(&self, number: usize) -> PathBuf {
        let update = self.stage.path(&format!("update-{number}.safetensors"));
        let units: Vec<f32> = units(number).iter().map(|&unit| (unit as f64 / SCALE) as f32).collect();
        fs::write(&update, weights(&units)).unwrap();
        update
    }

    /// A participant with these options, attending.
    pub fn participant(&self, number: usize, options: &[&str]) -> Process {
        let participant = Process::start(self.command_to_join(number, options));
        participant.event("attending");
        participant
    }

    /// What starts a participant with these options.
    pub fn command_to_join(&self, number: usize, options: &[&str]) -> Command {
        let data_dir = self.folder(number).display().to_string();
        let fixed = ["fl", "join", &self.invitation, "--json-lines", "--stop-with-parent", "--data-dir", &data_dir];
        self.stage.command(&[&fixed, options].concat())
    }

    /// A participant's data folder.
    pub fn folder(&self, number: usize) -> PathBuf {
        self.stage.path(&format!("participant-{number}"))
    }

    /// The task's folder at a participant.
    pub fn task_folder(&self, number: usize) -> PathBuf {
        let found = fs::read_dir(self.folder(number).join("fl")).unwrap().map(|entry| entry.unwrap().path());
        found.into_iter().find(|path| path.join("pin.json").exists()).unwrap()
    }

    /// The task's folder at the aggregator.
    pub fn aggregated(&self) -> PathBuf {
        aggregated(self.stage)
    }

    /// The lines of a participant's audit log.
    pub fn audit(&self, number: usize) -> Vec<Value> {
        audit_lines(&self.task_folder(number).join("audit.jsonl"))
    }

    /// A command on the aggregator's folder, whatever comes of it.
    pub fn ask(&self, arguments: &[&str]) -> Finished {
        let data_dir = self.stage.path("aggregator").display().to_string();
        self.stage.run(&[&["fl"], arguments, &["--data-dir", &data_dir]].concat())
    }

    /// A command on the aggregator's folder; its JSON.
    pub fn command(&self, arguments: &[&str]) -> Value {
        let done = self.ask(&[arguments, &["--json"]].concat());
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
        serde_json::from_str(&done.stdout).unwrap()
    }

    /// Waits until the running round is in this phase.
    pub fn wait_for_phase(&self, phase: &str) {
        eventually(phase, || self.command(&["status"])["round"]["cohorts"][0]["phase"] == phase);
    }

    /// The first round, once it has ended.
    pub fn ended(&self) -> Value {
        self.aggregator.event("ended")["round"].clone()
    }
}

/// What participant `number` adds to each entry, in units, before its weight.
pub fn units(number: usize) -> Vec<i64> {
    (0..ENTRIES as i64).map(|entry| (number as i64 + 1) * 100 * (entry - 5)).collect()
}

/// A participant's weight.
pub const fn weight(number: usize) -> i64 {
    number as i64 + 3
}

/// A trainer that works.
pub fn trainer(number: usize) -> String {
    format!("cp \"$1\" update.safetensors && echo '{{\"weight\": {}, \"loss\": 0.5}}'", weight(number))
}

/// The plain sum of these participants' vectors, as the aggregator's history names it: Σw·v, then Σw.
pub fn plain_sum(numbers: &[usize]) -> String {
    let mut sum = [0_i64; ENTRIES + 1];
    for &number in numbers {
        for (entry, unit) in units(number).into_iter().enumerate() {
            sum[entry] += weight(number) * unit;
        }
        sum[ENTRIES] += weight(number);
    }
    let bytes: Vec<u8> = sum.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    Hash::of(&bytes).to_string()
}

/// The lines of an audit log; none where there is none yet.
pub fn audit_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The task's folder at the aggregator of a stage.
pub fn aggregated(stage: &Stage) -> PathBuf {
    let found = fs::read_dir(stage.path("aggregator/fl")).unwrap().map(|entry| entry.unwrap().path());
    found.into_iter().find(|path| path.join("task.json").exists()).unwrap()
}

/// Writes `round.toml` and the first weights.
pub fn write_plan(stage: &Stage, rounds: u32, cohort: &str) {
    fs::write(stage.path("global.safetensors"), weights(&[0.0; ENTRIES])).unwrap();
    fs::write(stage.path("round.toml"), plan(rounds, cohort)).unwrap();
}

/// The plan of a task of so many rounds.
fn plan(rounds: u32, cohort: &str) -> String {
    format!(
        "task = \"digits\"\n[model]\nweights = \"global.safetensors\"\n[rounds]\ncount = {rounds}\n[update]\nvalue_bits = \
         16\nrange = 7.999755859375\nweight_cap = 100\n[cohort]\n{cohort}\n"
    )
}

fn serve(stage: &Stage, address: &str, options: &[String]) -> Process {
    let (plan, data_dir) =
        (stage.path("round.toml").display().to_string(), stage.path("aggregator").display().to_string());
    let fixed = ["fl", "serve", "--config", &plan, "--listen", address, "--json-lines", "--stop-with-parent"];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let aggregator = stage.start(&[&fixed[..], &["--data-dir", &data_dir], &options].concat());
    aggregator.event("ready");
    aggregator
}

/// A safetensors file with one tensor `w` of 4 × 3, f32.
fn weights(values: &[f32]) -> Vec<u8> {
    let header = json!({"w": {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 4 * values.len()]}}).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    file
}
