//! `neuro bench smpc`: calculations on shares of three parties, from sharing to reveal, masks and proofs included.
//!
//! The parties are threads of this process. `NAME` is the time when all are honest, `NAME_malicious` when one may do
//! anything; beside them their bytes, rounds, and errors against float64. With `--full` also the time over networks that
//! are only calculated: round trips of 1, 10 and 50 ms at 1 Gbit/s.

mod peer;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use neuro_smpc::computation::Security;
use neuro_smpc::memory::NetworkModel;
use neuro_smpc::workload::{self, Measured, Workload};

use super::Measurement;
use crate::exit_code::Outcome;
use crate::failure::Failure;
use crate::progress;
use peer::PeerResults;

/// Runs of each calculation, of which the middle one counts.
const RUNS: usize = 3;

/// Round trips of the calculated networks, in ms.
const ROUND_TRIPS_MS: [u32; 3] = [1, 10, 50];

/// Options of `neuro bench smpc`.
#[derive(Debug, ClapArgs)]
pub struct SmpcArgs {
    /// Also the time over calculated networks: round trips of 1, 10 and 50 ms at 1 Gbit/s
    #[arg(long)]
    pub full: bool,
    /// Put another program's figures beside these: JSON lines of `tests/tools/peer_spu.py`
    #[arg(long, value_name = "FILE")]
    pub peer_results: Vec<PathBuf>,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
}

/// Measures.
///
/// # Errors
/// When a party fails, or when the peer's figures cannot be read.
pub fn run(args: &SmpcArgs) -> Result<Vec<Measurement>, Failure> {
    let peer = PeerResults::read(&args.peer_results)?;
    let bar = progress::wait("measuring");
    let mut results = Vec::new();
    for workload in workload::all() {
        for (suffix, security) in [("", Security::SemiHonest), ("_malicious", Security::Malicious)] {
            let name = format!("{}{suffix}", workload.name);
            if args.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            bar.set_message(format!("measuring {name}"));
            results.extend(case(workload, security, &name, &peer)?);
            if args.full {
                results.extend(over_networks(workload, security, &name)?);
            }
        }
    }
    bar.finish_and_clear();
    Ok(results)
}

/// Time, error, bytes and rounds of one calculation.
fn case(workload: &Workload, security: Security, name: &str, peer: &PeerResults) -> Result<Vec<Measurement>, Failure> {
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(measured(workload, security, NetworkModel::INSTANT)?);
    }
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let middle = runs[RUNS / 2];
    let time = Measurement::new(name, middle.seconds, "s");
    let error = Measurement::new(&format!("{name}_error"), middle.error, "absolute");
    Ok(vec![
        peer.beside_time(time, workload.name),
        peer.beside_error(error, workload.name),
        Measurement::new(&format!("{name}_bytes"), middle.bytes as f64, "bytes"),
        Measurement::new(&format!("{name}_rounds"), middle.rounds as f64, "rounds"),
    ])
}

/// The time over calculated networks.
fn over_networks(workload: &Workload, security: Security, name: &str) -> Result<Vec<Measurement>, Failure> {
    let over = |round_trip_ms: u32| {
        let model = NetworkModel { delay: Duration::from_millis(round_trip_ms.into()) / 2, ..NetworkModel::NEAR };
        let seconds = measured(workload, security, model)?.virtual_seconds;
        Ok(Measurement::new(&format!("{name}_rtt{round_trip_ms}"), seconds, "s"))
    };
    ROUND_TRIPS_MS.into_iter().map(over).collect()
}

fn measured(workload: &Workload, security: Security, model: NetworkModel) -> Result<Measured, Failure> {
    workload.measure(security, model).map_err(|error| Failure::message(Outcome::Failed, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_has_time_error_bytes_and_rounds() {
        let args = SmpcArgs { full: true, peer_results: Vec::new(), only: Some("rmsnorm_malicious".to_owned()) };
        let results = run(&args).unwrap();
        let cases: Vec<&str> =
            results.iter().map(|result| result.case.trim_start_matches("rmsnorm_malicious")).collect();
        assert_eq!(cases, ["", "_error", "_bytes", "_rounds", "_rtt1", "_rtt10", "_rtt50"]);
        assert!(results[1].value < 1e-3 && results[6].value > 25e-3 * results[3].value, "{results:?}");
    }
}
