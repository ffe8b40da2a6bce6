//! `neuro bench`: what this machine does, as a table or as JSON.

mod checkpoint;
mod decode;
mod dispatch;
mod experts;
mod secagg;
mod single;
mod smpc;

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
    /// Scheduling, life cycle and checks of micro-tasks: what each costs on one core
    Dispatch(dispatch::DispatchArgs),
    /// One expert of each weight type, beside a plain read of memory
    Experts(experts::ExpertsArgs),
    /// Rounds of secure aggregation: CPU seconds of both sides, and bytes
    Secagg(secagg::SecaggArgs),
    /// One large round in this process alone, as JSON: what `secagg` starts
    #[command(hide = true)]
    SecaggSingle(secagg::SecaggSingleArgs),
    /// Calculations on shares of three parties: time, bytes, rounds and errors
    Smpc(smpc::SmpcArgs),
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
        self.beside_version(peer, env!("CARGO_PKG_VERSION"), peer_value)
    }

    /// The same figure beside that of another program.
    #[must_use]
    pub fn beside_version(self, peer: &str, version: &str, peer_value: f64) -> Self {
        let ratio = Some(self.value / peer_value);
        let (peer, peer_version) = (Some(peer.to_owned()), Some(version.to_owned()));
        Self { peer, peer_version, peer_value: Some(peer_value), ratio, ..self }
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
        BenchCommand::Dispatch(args) => ("dispatch", dispatch::run(args)?),
        BenchCommand::Experts(args) => ("experts", experts::run(args)?),
        BenchCommand::Secagg(args) => ("secagg", secagg::run(args)?),
        BenchCommand::Smpc(args) => ("smpc", smpc::run(args)?),
        BenchCommand::SecaggSingle(args) => return secagg::run_single(args, output),
        BenchCommand::Single(args) => return single::run(args, output),
    };
    if output.json {
        return output.object(&serde_json::json!({"bench": bench, "machine": machine(), "results": results}));
    }
    let rows: Vec<Vec<String>> = results.iter().map(row).collect();
    output.line(output.table(&["case", "value", "unit", "beside", "value", "ratio"], &rows))
}

fn row(result: &Measurement) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), shown);
    vec![
        result.case.clone(),
        number(Some(result.value)),
        result.unit.to_owned(),
        result.peer.clone().unwrap_or_else(|| "–".to_owned()),
        number(result.peer_value),
        number(result.ratio),
    ]
}

/// Two decimals, and for what is below 0.1 three digits that count.
fn shown(value: f64) -> String {
    if value == 0.0 || value.abs() >= 0.1 {
        return format!("{value:.2}");
    }
    let decimals = 2 - value.abs().log10().floor() as i32;
    if decimals > 6 { format!("{value:.2e}") } else { format!("{value:.0$}", decimals as usize) }
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
