//! `neuro serve plan`: who holds how much, what was moved and why, what would move now.

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use neuro_protocol::control::{PlacementMove, PlacementReply, WorkerLoad};
use serde_json::json;

use crate::args::GlobalArgs;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, bytes};
use crate::{owner, runtime};

/// Options of `neuro serve plan`.
#[derive(Debug, ClapArgs)]
pub struct PlanArgs {
    /// How many of the last moves to show
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub moves: usize,
}

/// Prints the placement of the orchestrator on this data folder.
///
/// # Errors
/// When no orchestrator runs there.
pub fn run(global: &GlobalArgs, args: &PlanArgs, output: Output) -> CommandResult {
    let plan = runtime::tokio()?.block_on(read(global))?;
    if output.json {
        return output.object(&json!(plan));
    }
    if plan.workers.is_empty() {
        return output.line("no worker attends");
    }
    let header = ["worker", "load", "a copy counts", "experts", "memory", "limit"];
    output.line(output.table(&header, &plan.workers.iter().map(row).collect::<Vec<_>>()))?;
    let names = names(&plan.workers);
    let recent = &plan.recent[plan.recent.len().saturating_sub(args.moves)..];
    section(output, "moved last", recent, &names)?;
    section(output, "would move now", &plan.next, &names)?;
    if !plan.hot.is_empty() {
        let hot: Vec<String> = plan.hot.iter().map(|expert| format!("{}/{}", expert.layer, expert.expert)).collect();
        output.line(format!("\nhot: {}", hot.join(" ")))?;
    }
    if plan.together {
        output.line("\nmessages cost far more than computing: experts that are used together are held together")?;
    }
    Ok(())
}

async fn read(global: &GlobalArgs) -> Result<PlacementReply, Failure> {
    owner::orchestrator(global).await?.placement().await.map_err(Failure::refused)
}

fn row(worker: &WorkerLoad) -> Vec<String> {
    vec![
        called(worker),
        format!("{} %", worker.load_percent),
        format!("{} %", worker.handicap_percent),
        worker.experts.to_string(),
        bytes(worker.assigned_bytes),
        bytes(worker.memory_limit_bytes),
    ]
}

fn called(worker: &WorkerLoad) -> String {
    if worker.name.is_empty() { short(&worker.id) } else { worker.name.clone() }
}

fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

fn names(workers: &[WorkerLoad]) -> BTreeMap<&str, String> {
    workers.iter().map(|worker| (worker.id.as_str(), called(worker))).collect()
}

/// One heading and its moves; nothing where there are none.
fn section(output: Output, title: &str, moves: &[PlacementMove], names: &BTreeMap<&str, String>) -> CommandResult {
    if moves.is_empty() {
        return Ok(());
    }
    output.line(format!("\n{title}:"))?;
    moves.iter().try_for_each(|moved| output.line(line(moved, names)))
}

fn line(moved: &PlacementMove, names: &BTreeMap<&str, String>) -> String {
    let expert = moved.expert.unwrap_or_default();
    let name = |id: &String| names.get(id.as_str()).cloned().unwrap_or_else(|| short(id));
    let way = match (moved.from.is_empty(), moved.to.is_empty()) {
        (true, _) => format!("to {}", name(&moved.to)),
        (false, true) => format!("away from {}", name(&moved.from)),
        (false, false) => format!("from {} to {}", name(&moved.from), name(&moved.to)),
    };
    format!("  {}/{} ({}) {way}: {}", expert.layer, expert.expert, bytes(moved.bytes), moved.why)
}
