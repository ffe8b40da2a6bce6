//! `neuro worker list` and `neuro worker show`: whom an orchestrator knows, and what it thinks of them.

use std::time::Duration;

use clap::Args as ClapArgs;
use indicatif::HumanDuration;
use neuro_protocol::control::{Accelerator, Hardware, Status, WorkerState, WorkerStatus};
use serde_json::json;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, bytes};
use crate::{dashboard, runtime};

/// Options of `neuro worker list`.
#[derive(Debug, ClapArgs)]
pub struct ListArgs {}

/// Options of `neuro worker show`.
#[derive(Debug, ClapArgs)]
pub struct ShowArgs {
    /// The worker's name, or the beginning of its node id
    pub worker: String,
}

/// Prints all workers of the orchestrator on this data folder.
///
/// # Errors
/// When no orchestrator runs there.
pub fn list(global: &GlobalArgs, _args: &ListArgs, output: Output) -> CommandResult {
    let status = status(global)?;
    if output.json {
        return output.object(&json!({ "workers": status.workers }));
    }
    if status.workers.is_empty() {
        return output.line("no worker has joined");
    }
    let rows: Vec<Vec<String>> = status.workers.iter().map(row).collect();
    output.line(
        output.table(&["worker", "id", "state", "experts", "memory", "p50", "p95", "right", "in time", "tasks"], &rows),
    )
}

/// Prints one worker.
///
/// # Errors
/// When no orchestrator runs there, or it knows no such worker, or several.
pub fn show(global: &GlobalArgs, args: &ShowArgs, output: Output) -> CommandResult {
    let status = status(global)?;
    let worker = one_of(&status.workers, &args.worker)?;
    if output.json {
        return output.object(worker);
    }
    lines(worker).into_iter().try_for_each(|(what, value)| output.line(format!("{what:<14}{value}")))
}

fn status(global: &GlobalArgs) -> Result<Status, Failure> {
    let data_dir = runtime::data_dir(global)?;
    runtime::tokio()?.block_on(dashboard::status_once(data_dir))
}

/// The one worker that is called so, or whose id begins so.
fn one_of<'a>(workers: &'a [WorkerStatus], wanted: &str) -> Result<&'a WorkerStatus, Failure> {
    let fits = |worker: &&WorkerStatus| worker.name == wanted || (!wanted.is_empty() && worker.id.starts_with(wanted));
    let mut found = workers.iter().filter(fits);
    let refused = |text: String| Failure::message(Outcome::Usage, text).hint("neuro worker list shows names and ids");
    match (found.next(), found.next()) {
        (Some(worker), None) => Ok(worker),
        (None, _) => Err(refused(format!("no worker is called {wanted:?} or has an id that begins so"))),
        (Some(_), Some(_)) => Err(refused(format!("several workers are called {wanted:?} or have ids that begin so"))),
    }
}

fn row(worker: &WorkerStatus) -> Vec<String> {
    vec![
        worker.name.clone(),
        worker.id.chars().take(8).collect(),
        state(worker).to_owned(),
        worker.experts_held.to_string(),
        bytes(worker.resident_bytes),
        milliseconds(worker.rtt_us_p50),
        milliseconds(worker.rtt_us_p95),
        percent(worker.correctness),
        percent(worker.timeliness),
        worker.tasks_done.to_string(),
    ]
}

fn lines(worker: &WorkerStatus) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("worker", worker.name.clone()),
        ("id", worker.id.clone()),
        ("state", state(worker).to_owned()),
        ("program", format!("{} {}", worker.engine, worker.version)),
        ("experts", worker.experts_held.to_string()),
        ("memory", format!("{} of {}", bytes(worker.resident_bytes), bytes(worker.memory_limit_bytes))),
        ("link", link(worker)),
        ("round trip", format!("p50 {}, p95 {}", milliseconds(worker.rtt_us_p50), milliseconds(worker.rtt_us_p95))),
        ("speed", speed(worker)),
        (
            "tasks",
            format!("{} answered, {} in flight, {} late", worker.tasks_done, worker.in_flight, worker.tasks_late),
        ),
        ("faults", worker.faults.to_string()),
        (
            "right",
            format!("{} of the next checked result; {} in a row so far", percent(worker.correctness), worker.streak),
        ),
        ("in time", percent(worker.timeliness)),
        ("connected", format!("{} in all", HumanDuration(Duration::from_secs(worker.uptime_s)))),
        ("lends", format!("{} threads, {}", worker.threads, bytes(worker.memory_limit_bytes))),
    ];
    if let Some(hardware) = &worker.hardware {
        lines.splice(3..3, machine(hardware));
    }
    if !worker.excluded.is_empty() {
        lines.push(("excluded", worker.excluded.clone()));
    }
    if !worker.evidence.is_empty() {
        lines.push(("evidence", format!("{} (it shows a row of a user's prompt)", worker.evidence)));
    }
    lines
}

/// How it is reached, and how well.
fn link(worker: &WorkerStatus) -> String {
    let path = worker.path().as_str_name().to_lowercase().replace("path_kind_", "");
    let mut parts = vec![format!("{path} {}", worker.transport).trim().to_owned()];
    parts.extend(worker.link_us.map(|us| format!("{} there and back", milliseconds(Some(us)))));
    parts.extend(worker.fetch_bytes_per_s.map(|rate| format!("weights at {}/s", bytes(rate))));
    parts.join(", ")
}

/// The machine, by its own word.
fn machine(hardware: &Hardware) -> Vec<(&'static str, String)> {
    let processor = if hardware.cpu.is_empty() { "processor" } else { &hardware.cpu };
    let mut lines = vec![
        ("machine", format!("{} × {processor}, {} of memory", hardware.cores, bytes(hardware.ram_bytes))),
        ("instructions", hardware.cpu_features.join(" ")),
    ];
    let card = |card: &Accelerator| ("accelerator", format!("{}, {}", card.name, bytes(card.memory_bytes)));
    lines.extend(hardware.accelerators.iter().map(card));
    lines
}

/// What it said when it joined, and what its answers say.
fn speed(worker: &WorkerStatus) -> String {
    let speeds = worker.calibration.iter().flat_map(|calibration| &calibration.speeds);
    let said = speeds.map(|speed| match speed.rows {
        1 => format!("{} µs for a row alone", speed.row_ns / 1_000),
        rows => format!("{} µs for each of {rows}", speed.row_ns / 1_000),
    });
    let answered = worker.row_us.map(|us| format!("{us} µs for a row alone in its answers"));
    let parts: Vec<String> = said.chain(answered).collect();
    if parts.is_empty() { "–".to_owned() } else { parts.join(", ") }
}

fn state(worker: &WorkerStatus) -> &'static str {
    if !worker.excluded.is_empty() {
        return "excluded";
    }
    match worker.state() {
        WorkerState::Unspecified => "unknown",
        WorkerState::Joining => "joining",
        WorkerState::Loading => "loading",
        WorkerState::Ready => "ready",
        WorkerState::Gone => "gone",
    }
}

fn milliseconds(us: Option<u64>) -> String {
    us.map_or_else(|| "–".to_owned(), |us| format!("{:.1} ms", us as f64 / 1e3))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}
