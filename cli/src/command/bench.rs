//! `neuro bench`: what this machine does, as a table or as JSON.

mod checkpoint;
mod decode;
mod experts;
mod single;

pub use decode::rate_of;

use clap::Subcommand;
use serde::Serialize;

use crate::args::GlobalArgs;
use crate::failure::CommandResult;
use crate::output::Output;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Tokens per second in one process and over worker processes, the round trip of a micro-task, and memory
    Decode(decode::DecodeArgs),
    /// One expert of each weight type, beside a plain read of memory
    Experts(experts::ExpertsArgs),
    /// One model in this process alone, as JSON: what `decode` starts
    #[command(hide = true)]
    Single(single::SingleArgs),
}

/// One figure. The peer's fields are filled by a comparison that runs the peer at the same time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// What was measured.
    pub case: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it is compared with.
    pub peer: Option<String>,
    /// The peer's version.
    pub peer_version: Option<String>,
    /// The peer's figure.
    pub peer_value: Option<f64>,
    /// `value / peer_value`.
    pub ratio: Option<f64>,
}

impl Measurement {
    /// A figure that stands alone.
    #[must_use]
    pub fn new(case: &str, value: f64, unit: &'static str) -> Self {
        Self { case: case.to_owned(), value, unit, peer: None, peer_version: None, peer_value: None, ratio: None }
    }

    /// The same figure beside `peer_value`, measured in the same run.
    #[must_use]
    pub fn beside(self, peer: &str, peer_value: f64) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let ratio = Some(self.value / peer_value);
        Self { peer: Some(peer.to_owned()), peer_version: Some(version), peer_value: Some(peer_value), ratio, ..self }
    }
}

#[derive(Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    os: &'static str,
    architecture: &'static str,
}

/// Runs the benchmark.
///
/// # Errors
/// Whatever the benchmark reports.
pub fn run(_global: &GlobalArgs, command: &BenchCommand, output: Output) -> CommandResult {
    let (bench, results) = match command {
        BenchCommand::Decode(args) => ("decode", decode::run(args)?),
        BenchCommand::Experts(args) => ("experts", experts::run(args)?),
        BenchCommand::Single(args) => return single::run(args, output),
    };
    if output.json {
        return output.object(&serde_json::json!({"bench": bench, "machine": machine(), "results": results}));
    }
    let rows: Vec<Vec<String>> = results.iter().map(row).collect();
    output.line(output.table(&["case", "value", "unit", "beside", "value", "ratio"], &rows))
}

fn row(result: &Measurement) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    vec![
        result.case.clone(),
        number(Some(result.value)),
        result.unit.to_owned(),
        result.peer.clone().unwrap_or_else(|| "–".to_owned()),
        number(result.peer_value),
        number(result.ratio),
    ]
}

fn machine() -> Machine {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    Machine {
        cpu: model.trim_start_matches([' ', '\t', ':']).to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        os: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
    }
}
