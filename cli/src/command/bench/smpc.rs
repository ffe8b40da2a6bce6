//! `neuro bench smpc`: calculations on shares of three parties, from sharing to reveal, masks and proofs included.
//!
//! The parties are threads of this process. `NAME` is the time when all are honest, `NAME_malicious` when one may do
//! anything; beside them their bytes, rounds, and errors against float64. `NAME_kernel` is a party's local arithmetic alone,
//! `NAME_public_weights` the case with weights that everybody knows. `block_rounds` is what one block takes for one decoded
//! token. With `--full` also the time over networks that are only calculated, round trips of 1, 10 and 50 ms at 1 Gbit/s,
//! and that of a small model on this machine alone and over these networks (`_rtt10`, `_rtt50`, eight prompts together):
//! `token_ms` is a token with its share of masks and its proof, `token_online_ms` the token alone; `prefill_ms` is the prompt
//! with its masks and its proof, `prefill_online_ms` the prompt alone.

mod peer;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use neuro_smpc::computation::Security;
use neuro_smpc::error::SmpcError;
use neuro_smpc::memory::NetworkModel;
use neuro_smpc::workload::tokens::{self, Session};
use neuro_smpc::workload::{self, Measured, Workload};

use super::Measurement;
use crate::exit_code::Outcome;
use crate::failure::Failure;
use crate::progress;
use peer::PeerResults;

/// Runs of each calculation, of which the middle one counts.
const RUNS: usize = 3;

/// Tokens of the small model for which masks are made together.
const TOKENS: usize = 16;

/// Round trips of the calculated networks, in ms.
const ROUND_TRIPS_MS: [u32; 3] = [1, 10, 50];

/// Ending of the rows, round trip in ms, and prompts, of each case of the small model.
const TOKEN_CASES: [(&str, u32, usize); 4] =
    [("", 0, 1), ("_rtt10", 10, 1), ("_rtt50", 50, 1), ("_rtt50_batch8", 50, 8)];

/// Options of `neuro bench smpc`.
#[derive(Debug, ClapArgs)]
pub struct SmpcArgs {
    /// Also the time over calculated networks, round trips of 1, 10 and 50 ms at 1 Gbit/s, and of a token of a small model
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
    let selected = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    for workload in workload::all().into_iter().chain(workload::with_public_weights()) {
        let kernel = format!("{}_kernel", workload.name);
        if let Some(seconds) = workload.kernel_seconds().filter(|_| selected(&kernel)) {
            results.push(Measurement::new(&kernel, seconds, "s"));
        }
        for (suffix, security) in [("", Security::SemiHonest), ("_malicious", Security::Malicious)] {
            let name = format!("{}{suffix}", workload.name);
            if !selected(&name) {
                continue;
            }
            bar.set_message(format!("measuring {name}"));
            results.extend(case(workload, security, &name, &peer)?);
            if args.full {
                results.extend(over_networks(workload, security, &name)?);
            }
        }
    }
    if selected("block_rounds") {
        results.push(Measurement::new("block_rounds", tokens::block_rounds().map_err(failed)? as f64, "rounds"));
    }
    if args.full {
        bar.set_message("measuring a token");
        results.extend(of_tokens(&selected)?);
    }
    bar.finish_and_clear();
    Ok(results)
}

/// Prompts and tokens of a small model where one party may do anything: masks for [`TOKENS`] made together.
fn of_tokens(selected: &impl Fn(&str) -> bool) -> Result<Vec<Measurement>, Failure> {
    let mut results = Vec::new();
    for (ending, round_trip_ms, prompts) in TOKEN_CASES {
        let is_selected = |(row, _): &(&str, f64)| selected(&format!("{row}{ending}"));
        if !rows_of(&Session::default()).iter().any(is_selected) {
            continue;
        }
        let session = tokens::measure(Security::Malicious, over(round_trip_ms), prompts, TOKENS).map_err(failed)?;
        let rows = rows_of(&session).into_iter().filter(is_selected);
        results.extend(rows.map(|(row, ms)| Measurement::new(&format!("{row}{ending}"), ms, "ms")));
    }
    Ok(results)
}

/// Milliseconds of a token and of the prompt: with all that they take, and alone.
fn rows_of(session: &Session) -> [(&'static str, f64); 4] {
    let Session { prompt_masks, prompt, prompt_proof, masks, tokens, proofs, .. } = session;
    let ms = |stages: &[&tokens::Stage]| 1000.0 * stages.iter().map(|stage| stage.seconds).sum::<f64>();
    [
        ("token_ms", ms(&[masks, tokens, proofs]) / TOKENS as f64),
        ("token_online_ms", ms(&[tokens]) / TOKENS as f64),
        ("prefill_ms", ms(&[prompt_masks, prompt, prompt_proof])),
        ("prefill_online_ms", ms(&[prompt])),
    ]
}

/// A network of this round trip at 1 Gbit/s.
fn over(round_trip_ms: u32) -> NetworkModel {
    NetworkModel { delay: Duration::from_millis(round_trip_ms.into()) / 2, ..NetworkModel::NEAR }
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
    let case = |round_trip_ms: u32| {
        let seconds = measured(workload, security, over(round_trip_ms))?.virtual_seconds;
        Ok(Measurement::new(&format!("{name}_rtt{round_trip_ms}"), seconds, "s"))
    };
    ROUND_TRIPS_MS.into_iter().map(case).collect()
}

fn measured(workload: &Workload, security: Security, model: NetworkModel) -> Result<Measured, Failure> {
    workload.measure(security, model).map_err(failed)
}

fn failed(error: SmpcError) -> Failure {
    Failure::message(Outcome::Failed, error.to_string())
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

    #[test]
    fn tokens_and_prompts_are_told_with_their_masks_and_proofs_and_alone() {
        let stage = |seconds| tokens::Stage { seconds, ..tokens::Stage::default() };
        let session = Session {
            rehearsals: stage(1000.0),
            prompt_masks: stage(1.0),
            prompt: stage(2.0),
            prompt_proof: stage(4.0),
            masks: stage(8.0),
            tokens: stage(16.0),
            proofs: stage(32.0),
        };
        let expected = [
            ("token_ms", 56_000.0 / 16.0),
            ("token_online_ms", 1000.0),
            ("prefill_ms", 7000.0),
            ("prefill_online_ms", 2000.0),
        ];
        assert_eq!(rows_of(&session), expected);
    }

    #[test]
    fn a_kernel_and_the_rounds_of_a_block_are_rows() {
        for (only, most) in [("rmsnorm_kernel", 1.0), ("block_rounds", 100.0)] {
            let args = SmpcArgs { full: false, peer_results: Vec::new(), only: Some(only.to_owned()) };
            let results = run(&args).unwrap();
            assert!(matches!(&results[..], [row] if row.case == only && row.value < most), "{results:?}");
        }
    }
}
