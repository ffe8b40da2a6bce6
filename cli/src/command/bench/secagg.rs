//! `neuro bench secagg`: rounds of secure aggregation with real keys, shares, masks and vectors, both sides in this
//! process, in CPU seconds.
//!
//! Seeds are of full strength: 128 bits, AES-128-CTR. Up to 128 members the graph is complete, so each has as many
//! neighbours as with the peer's `--shares all`. With 10 % dropout the lost have dealt their shares and never upload. Ten
//! per cent of corrupt members and of dropouts are tolerated in every case. A sum that is not the plain sum fails.

mod kernels;
mod large;
mod peer;

use std::path::PathBuf;

use clap::Args as ClapArgs;
use neuro_simulation::{CohortReport, Commitments, Losses, Simulation, SimulationPlan};

pub use large::{SecaggSingleArgs, run_single};

use super::Measurement;
use crate::failure::Failure;
use crate::progress;
use peer::PeerResults;

/// Members and entries of the small cases, and whether they are measured without `--full`: with 0 and with 10 % lost.
const CASES: [(u16, u32, [bool; 2]); 4] = [
    (50, 100_000, [true, true]),
    (100, 100_000, [true, true]),
    (50, 1_000_000, [true, true]),
    (100, 1_000_000, [false, true]),
];

/// Members of the round with commitments: each checks some 2·t multiplications for every dealer.
const COMMITTED: (u32, u32) = (20, 50);

/// What people and vectors are made from; any number would do.
const SEED: u64 = 1;

/// Options of `neuro bench secagg`.
#[derive(Debug, ClapArgs)]
pub struct SecaggArgs {
    /// Also 1,000 members with a million entries, and 10,000 in cohorts (needs half an hour and 4 GiB of disk)
    #[arg(long)]
    pub full: bool,
    /// Put another program's figures beside these: JSON lines of `tests/tools/peer_flower_secagg.py`
    #[arg(long, value_name = "FILE")]
    pub peer_results: Vec<PathBuf>,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
}

/// Measures.
///
/// # Errors
/// When a round fails, or when the peer's figures cannot be read.
pub fn run(args: &SecaggArgs) -> Result<Vec<Measurement>, Failure> {
    let peer = PeerResults::read(&args.peer_results)?;
    let bar = progress::wait("measuring");
    let is_wanted = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut results = Vec::new();
    for (members, entries, default) in CASES {
        for (percent, by_default) in [0, 10].into_iter().zip(default) {
            let name = case_name(members.into(), entries, percent);
            if is_wanted(&name) && (by_default || args.full) {
                bar.set_message(format!("measuring {name}"));
                results.extend(small(members, entries, percent, &peer)?);
            }
        }
    }
    if is_wanted("verify_on_receipt") {
        bar.set_message("measuring commitments");
        results.extend(commitments(if args.full { COMMITTED.1 } else { COMMITTED.0 })?);
    }
    results.extend(kernels::measure(&is_wanted)?);
    if args.full {
        results.extend(large::measure(&is_wanted, &bar)?);
    }
    bar.finish_and_clear();
    Ok(results)
}

/// One case: both sides, bytes and error.
fn small(members: u16, entries: u32, percent: u16, peer: &PeerResults) -> Result<Vec<Measurement>, Failure> {
    let losses = Losses::before_upload(members, percent);
    let plan = SimulationPlan { losses, ..SimulationPlan::new(members.into(), entries) };
    let report = one_cohort(&plan)?;
    let name = case_name(members.into(), entries, percent);
    let figures = [
        ("server", report.server.total_s(), "CPU s"),
        ("participant", report.participant.total_s(), "CPU s"),
        ("bytes", report.bytes.total() as f64, "bytes"),
        ("error", report.max_abs_error.unwrap_or(f64::NAN), "of a mean"),
    ];
    // What a survivor sends and gets does not depend on who is lost: one case, of the round with losses.
    let is_case = |what: &str| what != "bytes" || percent > 0;
    let results = figures.into_iter().filter(|(what, ..)| is_case(what)).flat_map(|(what, value, unit)| {
        let case = if what == "bytes" { size_name(members.into(), entries) } else { name.clone() };
        let measurement = Measurement::new(&format!("{what}_{case}"), value, unit);
        peer.beside(measurement, what, members.into(), entries, percent)
    });
    Ok(results.collect())
}

/// A participant with and without Feldman commitments, made and checked, in a round whose vector costs nothing.
fn commitments(members: u32) -> Result<Vec<Measurement>, Failure> {
    let cost = |commitments| {
        let plan = SimulationPlan { commitments, ..SimulationPlan::new(members, 1_000) };
        one_cohort(&plan).map(|report| report.participant.total_s())
    };
    let without = cost(Commitments::None)?;
    let measurement = |what: &str, value: f64| {
        let case = format!("participant_n{members}_m1k_{what}");
        Measurement::new(&case, value, "CPU s").beside("without commitments", without)
    };
    Ok(vec![
        measurement("commitments", cost(Commitments::Made)?),
        measurement("verify_on_receipt", cost(Commitments::Verified)?),
    ])
}

/// The report of a plan's first cohort.
fn one_cohort(plan: &SimulationPlan) -> Result<CohortReport, Failure> {
    let report = Simulation::run(plan, SEED)?;
    let mut cohorts = report.cohorts.into_iter();
    cohorts.next().ok_or_else(|| Failure::message(crate::exit_code::Outcome::Failed, "the plan has no cohort"))
}

/// `n100_m1m_d10`.
fn case_name(members: u32, entries: u32, percent: u16) -> String {
    format!("{}_d{percent}", size_name(members, entries))
}

/// `n100_m1m`.
fn size_name(members: u32, entries: u32) -> String {
    let entries = if entries.is_multiple_of(1_000_000) {
        format!("{}m", entries / 1_000_000)
    } else {
        format!("{}k", entries / 1_000)
    };
    format!("n{members}_m{entries}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_named_by_their_numbers() {
        assert_eq!(case_name(100, 1_000_000, 10), "n100_m1m_d10");
        assert_eq!(case_name(50, 100_000, 0), "n50_m100k_d0");
    }

    #[test]
    fn a_case_has_both_sides_bytes_and_error() {
        let results = small(10, 1_000, 10, &PeerResults::default()).unwrap();
        let cases: Vec<&str> = results.iter().map(|result| result.case.as_str()).collect();
        assert_eq!(cases, ["server_n10_m1k_d10", "participant_n10_m1k_d10", "bytes_n10_m1k", "error_n10_m1k_d10"]);
        assert!(results.iter().all(|result| result.value > 0.0 && result.peer.is_none()));
        let results = small(10, 1_000, 0, &PeerResults::default()).unwrap();
        assert!(results.iter().all(|result| !result.case.starts_with("bytes")));
    }
}
