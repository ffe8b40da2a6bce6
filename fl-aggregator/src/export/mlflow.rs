//! MLflow's file store: `mlruns/EXPERIMENT/RUN/…`, which `mlflow ui --backend-store-uri mlruns` reads.
//!
//! A metric is a file of lines `time_ms value step`, a parameter a file with its value, experiment and run have a
//! `meta.yaml` each. MLflow 3 does not find a run without folders `metrics`, `params` and `artifacts`: the rounds as they
//! are kept lie in the last one. Names of metrics may hold letters, digits, `_`, `-`, `.`, space and `/`; others become `_`.

use super::{ended_ms, json};
use crate::checkpoint::RoundRecord;
use crate::report::values;
use neuro_primitives::Hash;
use std::collections::BTreeMap;

/// A file to write: a path relative to the folder of runs, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// With `/` between its parts.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// What a run is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MlflowRun {
    /// The task's name: the experiment.
    pub task: String,
    /// For people.
    pub run_name: String,
    /// Strategy, clip and whatever else should stand beside the curves.
    pub parameters: BTreeMap<String, String>,
}

/// The files of one run. The same task and run name give the same ids, so that an export again replaces the last one.
#[must_use]
pub fn mlflow(run: &MlflowRun, history: &[RoundRecord]) -> Vec<ExportFile> {
    let experiment = number_of(&run.task);
    let run_id = Hash::of(format!("{}\0{}", run.task, run.run_name).as_bytes()).to_string()[..32].to_owned();
    let folder = format!("{experiment}/{run_id}");
    let file = |path: String, text: String| ExportFile { path, text };
    let mut files = vec![
        file(format!("{experiment}/meta.yaml"), experiment_meta(run, &experiment, history)),
        file(format!("{folder}/meta.yaml"), run_meta(run, &experiment, &run_id, history)),
        file(format!("{folder}/tags/mlflow.runName"), run.run_name.clone()),
        file(format!("{folder}/params/task"), run.task.clone()),
        file(format!("{folder}/artifacts/rounds.json"), json(history)),
    ];
    let parameters = run.parameters.iter();
    files.extend(parameters.map(|(name, value)| file(format!("{folder}/params/{}", clean(name)), value.clone())));
    files.extend(metrics(history).into_iter().map(|(name, text)| file(format!("{folder}/metrics/{name}"), text)));
    files
}

/// Experiments have numbers; 18 digits of the name's hash do not meet those that MLflow gives itself.
fn number_of(task: &str) -> String {
    let bytes = Hash::of(task.as_bytes()).0;
    let number = bytes.iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    format!("{:018}", number % 900_000_000_000_000_000 + 100_000_000_000_000_000)
}

fn metrics(history: &[RoundRecord]) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for record in history {
        for (name, value) in values(record) {
            let line = format!("{} {value} {}\n", ended_ms(record), record.round);
            all.entry(clean(&name)).or_default().push_str(&line);
        }
    }
    all
}

/// A name that MLflow takes and that stays inside its folder.
fn clean(name: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || "_-. /".contains(c);
    let name: String = name.chars().map(|c| if kept(c) { c } else { '_' }).collect();
    let parts = name.split('/').map(|part| if part.chars().all(|c| c == '.') { "_" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// A YAML text in single quotes, on one line.
fn yaml(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''").replace(['\n', '\r'], " "))
}

fn began(history: &[RoundRecord]) -> u64 {
    history.first().map_or(0, |record| record.began_unix_ms)
}

fn experiment_meta(run: &MlflowRun, experiment: &str, history: &[RoundRecord]) -> String {
    let began = began(history);
    format!(
        "artifact_location: ''\ncreation_time: {began}\nexperiment_id: '{experiment}'\nlast_update_time: {began}\n\
         lifecycle_stage: active\nname: {}\n",
        yaml(&run.task)
    )
}

/// Source type 4 is a local one, status 3 is finished (`SourceType`, `RunStatus` of MLflow's `service.proto`).
fn run_meta(run: &MlflowRun, experiment: &str, run_id: &str, history: &[RoundRecord]) -> String {
    let (began, ended) = (began(history), history.last().map_or(0, ended_ms));
    format!(
        "artifact_uri: ''\nend_time: {ended}\nentry_point_name: ''\nexperiment_id: '{experiment}'\n\
         lifecycle_stage: active\nrun_id: {run_id}\nrun_name: {}\nrun_uuid: {run_id}\nsource_name: ''\n\
         source_type: 4\nsource_version: ''\nstart_time: {began}\nstatus: 3\ntags: []\nuser_id: neuro\n",
        yaml(&run.run_name)
    )
}
