//! `neuro fl status`: the running round.

use std::time::Duration;

use clap::Args as ClapArgs;
use neuro_protocol::federated::{CohortStatus, LeftOut, RoundPhase, RoundStatus, TaskStatus};

use super::connection::snapshot;
use crate::args::GlobalArgs;
use crate::failure::CommandResult;
use crate::output::{Output, Style, bytes};
use crate::runtime;

/// Between two snapshots of `--watch`.
const REFRESH: Duration = Duration::from_secs(1);

/// Stragglers that are named.
const NAMED: usize = 8;

/// Options of `neuro fl status`.
#[derive(Debug, ClapArgs)]
pub struct StatusArgs {
    /// Show it again every second
    #[arg(long)]
    pub watch: bool,
}

/// Shows a snapshot, or one each second.
///
/// # Errors
/// When no aggregator runs on the data folder.
pub fn run(global: &GlobalArgs, args: &StatusArgs, output: Output) -> CommandResult {
    runtime::tokio()?.block_on(async {
        loop {
            show(&snapshot(global, 0).await?, output)?;
            if !args.watch {
                return Ok(());
            }
            tokio::time::sleep(REFRESH).await;
        }
    })
}

/// Prints a snapshot.
///
/// # Errors
/// When stdout is closed.
pub fn show(status: &RoundStatus, output: Output) -> CommandResult {
    if output.json {
        return output.object(status);
    }
    if let Some(task) = &status.task {
        show_task(task, output)?;
    }
    let Some(round) = &status.round else { return output.line("no round yet") };
    for cohort in &round.cohorts {
        show_cohort(round.number, cohort, output)?;
    }
    Ok(())
}

fn show_task(task: &TaskStatus, output: Output) -> CommandResult {
    let name = output.paint(Style::Strong, &task.name);
    let (attending, rostered) = (task.attending, task.rostered);
    output.line(format!("task     {name} ({}), {attending} of {rostered} members attend", task.strategy))?;
    let privacy = match &task.spent {
        None => "no noise is added: no ε is promised".to_owned(),
        Some(spent) => format!("ε {:.3} at δ {:.0e} spent, in {} releases", spent.epsilon, spent.delta, spent.releases),
    };
    output.line(format!("privacy  {privacy}"))?;
    for LeftOut { node, round } in &task.left_out {
        output.line(format!("left out {}: it broke the protocol in round {round}", short(node)))?;
    }
    task.ended.iter().try_for_each(|reason| output.line(format!("ended    {reason}")))
}

fn show_cohort(number: u64, cohort: &CohortStatus, output: Output) -> CommandResult {
    let phase = phase_name(cohort.phase());
    let left = cohort.deadline_ms.map(|ms| format!(", {:.0} s left", ms as f64 / 1e3)).unwrap_or_default();
    let name = if cohort.name.is_empty() { String::new() } else { format!(", {}", cohort.name) };
    output.line(format!("round    {number}{name}, {}{left}", output.paint(Style::Strong, phase)))?;
    let (reported, members) = (cohort.reported, cohort.members);
    output.line(format!("members  {reported} of {members} reported, {} of payload", bytes(cohort.payload_bytes)))?;
    if let (Some(came), Some(went)) = (cohort.bytes_in, cohort.bytes_out) {
        output.line(format!("traffic  {} came in, {} went out", bytes(came), bytes(went)))?;
    }
    if let (Some(k), Some(t), Some(q), Some(alpha)) = (cohort.neighbours, cohort.threshold, cohort.quorum, cohort.alpha)
    {
        output.line(format!("secrecy  k {k}, t {t}, q {q}; sums over at least {:.0} %", 100.0 * alpha))?;
    }
    if !cohort.stragglers.is_empty() {
        let named: Vec<&str> = cohort.stragglers.iter().take(NAMED).map(|node| short(node)).collect();
        let more = cohort.stragglers.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        output.line(format!("waiting  {}{more}", named.join(" ")))?;
    }
    match &cohort.outcome {
        Some(outcome) => output.line(format!("outcome  {outcome}")),
        None => Ok(()),
    }
}

/// The beginning of a node id.
fn short(node: &str) -> &str {
    node.get(..8).unwrap_or(node)
}

const fn phase_name(phase: RoundPhase) -> &'static str {
    match phase {
        RoundPhase::Unspecified => "beginning",
        RoundPhase::Join => "joining",
        RoundPhase::Reveal => "revealing nonces",
        RoundPhase::Shares => "dealing shares",
        RoundPhase::Received => "checking shares",
        RoundPhase::Upload => "training and uploading",
        RoundPhase::Vote => "voting on the survivors",
        RoundPhase::Answer => "answering with shares",
        RoundPhase::Unmask => "taking masks off",
        RoundPhase::Ended => "ended",
    }
}
