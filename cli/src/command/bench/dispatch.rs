//! `neuro bench dispatch`: what scheduler, transitioner and validator cost a micro-task, and what is beside them.
//!
//! The core alone on one thread, with workers that answer at once; then hashing, signing and sockets ([`costs`]), which
//! the core is given the results of.

use std::time::Duration;

use clap::Args as ClapArgs;
use neuro_simulation::swarm::latency::{Experiment, Stragglers, p99_ratio};

use super::Measurement;
use crate::exit_code::Outcome;
use crate::failure::Failure;
use load::{Cost, Load};

mod costs;
mod load;

/// Layers and experts of a layer: ten thousand experts.
const MODEL: (u16, u16) = (40, 250);
/// Copies of each.
const REPLICAS: usize = 3;
/// How long a size is measured.
const SPAN: Duration = Duration::from_secs(3);
/// The same with `--full`.
const LONG_SPAN: Duration = Duration::from_secs(15);
/// Workers of the main case.
const WORKERS: u64 = 1_000;
/// Sizes over which the cost should be flat. The main case comes first: its memory shows only while none was freed before.
const SIZES: [u64; 4] = [WORKERS, 10, 100, 10_000];

/// Options of `neuro bench dispatch`.
#[derive(Debug, ClapArgs)]
pub struct DispatchArgs {
    /// Measure each size longer
    #[arg(long)]
    pub full: bool,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
}

/// Runs the benchmark.
///
/// # Errors
/// When the process's memory cannot be read or results cannot be printed.
pub fn run(args: &DispatchArgs) -> Result<Vec<Measurement>, Failure> {
    let span = if args.full { LONG_SPAN } else { SPAN };
    let wanted = |case: &str| args.only.as_ref().is_none_or(|only| case.contains(only.as_str()));
    let mut results = Vec::new();
    for workers in SIZES {
        if wanted(&format!("dispatch_{workers}w"))
            || (workers == WORKERS && ["latency", "memory"].iter().any(|case| wanted(case)))
        {
            results.extend(of_size(workers, span)?);
        }
    }
    if wanted("backup_p99_ratio") {
        results.extend(stragglers());
    }
    results.extend(costs::beside_the_core()?);
    results.retain(|measurement| wanted(&measurement.case));
    Ok(results)
}

/// The core with so many workers.
fn of_size(workers: u64, span: Duration) -> Result<Vec<Measurement>, Failure> {
    let before = resident_bytes()?;
    let mut load = Load::new(workers, MODEL.0, MODEL.1, REPLICAS);
    let (pairs, placed) = (load.pairs(), resident_bytes()?);
    load.run(span / 10);
    let Cost { tasks, core, per_task } = load.run(span);
    let rate = tasks as f64 / core.as_secs_f64();
    let mut results = vec![Measurement::new(&format!("dispatch_{workers}w"), rate, "micro-tasks/s")];
    if workers == WORKERS {
        let at =
            |percent: usize| per_task.get(per_task.len() * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
        results.push(Measurement::new("latency_p50", at(50), "us"));
        results.push(Measurement::new("latency_p99", at(99), "us"));
        let bytes = placed.saturating_sub(before) as f64 / pairs.max(1) as f64;
        results.push(Measurement::new("memory_per_pair", bytes, "bytes"));
    }
    Ok(results)
}

/// The 99th percentile of a layer whose tasks stall now and then, beside that of one whose tasks do not, in virtual time.
fn stragglers() -> Vec<Measurement> {
    let experiment = Experiment { fan_out: 4, stragglers: Stragglers::Tasks(5), backups_percent: 10, seed: 1 };
    let (_, with, without) = p99_ratio(experiment);
    let [with_ms, without_ms] = [with, without].map(|times| times.p99.as_secs_f64() * 1e3);
    let measured =
        Measurement::new("backup_p99_ratio", with_ms, "ms, virtual").beside("without stragglers", without_ms);
    vec![measured, Measurement::new("backup_extra_load", with.extra_load(), "of all tasks")]
}

/// Bytes of this process that are in memory.
fn resident_bytes() -> Result<u64, Failure> {
    let unread = |reason: String| Failure::message(Outcome::Failed, format!("cannot read /proc/self/statm: {reason}"));
    let text = std::fs::read_to_string("/proc/self/statm").map_err(|error| unread(error.to_string()))?;
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.ok_or_else(|| unread("no number".to_owned()))? * 4_096)
}
