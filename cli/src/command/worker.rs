//! `neuro worker`: lends this machine to a network, and shows who else does.

mod evidence;
mod list;
mod pardon;

use std::sync::Arc;

use clap::{Args as ClapArgs, Subcommand};
use indicatif::ProgressBar;
use neuro_node::worker_role::{self, WorkerConfig, WorkerEvent};
use serde_json::json;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style, bytes};
use crate::{progress, runtime};

/// What a worker can be told.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// Join a network and compute experts until Ctrl-C
    Start(StartArgs),
    /// The workers of the orchestrator on this data folder
    List(list::ListArgs),
    /// One of them: speed, link, conduct, and why it is excluded if it is
    Show(list::ShowArgs),
    /// Let a worker work again that was excluded
    Pardon(pardon::PardonArgs),
    /// Judge whether a worker answered wrong, from evidence that anyone can check
    Evidence(evidence::EvidenceArgs),
}

/// Options of `neuro worker start`.
#[derive(Debug, ClapArgs)]
pub struct StartArgs {
    /// The ticket that an orchestrator printed
    #[arg(long, env = "NEURO_TICKET", value_name = "TICKET")]
    pub join: String,
    /// Name shown to the network; without it, this machine's name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Threads that compute; without it, all cores
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Memory for experts in MiB; without it, half of what is free now
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u64>,
    /// Multiaddr for peer-to-peer connections (repeatable)
    #[arg(long, default_values = ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"], value_name = "MULTIADDR")]
    pub p2p: Vec<String>,
    /// Reach the control services over peer-to-peer only
    #[arg(long)]
    pub p2p_only: bool,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub stop_with_parent: bool,
}

/// Runs the command.
///
/// # Errors
/// When the ticket is refused, the orchestrator is not reachable at all, or this worker is expelled; when there is nobody
/// to pardon; or when evidence shows nothing.
pub fn run(global: &GlobalArgs, command: &WorkerCommand, output: Output) -> CommandResult {
    match command {
        WorkerCommand::Start(args) => start(global, args, output),
        WorkerCommand::List(args) => list::list(global, args, output),
        WorkerCommand::Show(args) => list::show(global, args, output),
        WorkerCommand::Pardon(args) => pardon::run(global, args, output),
        WorkerCommand::Evidence(args) => evidence::run(global, args, output),
    }
}

fn start(global: &GlobalArgs, args: &StartArgs, output: Output) -> CommandResult {
    let config = WorkerConfig {
        data_dir: runtime::data_dir(global)?,
        ticket: args.join.clone(),
        name: args.name.clone().unwrap_or_else(machine_name),
        threads: args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        memory_limit_bytes: args.memory.map(|mebibytes| mebibytes << 20),
        p2p: args.p2p.clone(),
        p2p_only: args.p2p_only,
    };
    let bar = progress::bytes("loading experts", 0);
    let report = Arc::new(move |event: WorkerEvent| drop(show(&event, output, &bar)));
    runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(args.stop_with_parent)?;
        worker_role::run(config, report, stop).await.map_err(|error| {
            let outcome = if error.is_refusal() { Outcome::Refused } else { Outcome::Failed };
            let hint = error.hint();
            let failure = Failure::new(outcome, error);
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })
    })
}

fn show(event: &WorkerEvent, output: Output, bar: &ProgressBar) -> CommandResult {
    match event {
        WorkerEvent::Progress { bytes_done, bytes_total } => {
            bar.set_length(*bytes_total);
            bar.set_position(*bytes_done);
            if bytes_done == bytes_total {
                bar.reset();
            }
            return Ok(());
        }
        _ if output.json => return output.object(&as_json(event)),
        _ => {}
    }
    bar.suspend(|| match event {
        WorkerEvent::Joined { model, orchestrator, over } => {
            output.line(format!("joined {} over {over}: {}", orchestrator.short(), output.paint(Style::Strong, model)))
        }
        WorkerEvent::Holding { experts, resident_bytes } => {
            output.line(format!("holding {experts} experts ({})", bytes(*resident_bytes)))
        }
        WorkerEvent::Lost { reason, retry } => {
            let seconds = retry.as_secs_f32();
            eprintln!("{} {reason}; trying again in {seconds:.1} s", output.paint(Style::Error, "lost:"));
            Ok(())
        }
        WorkerEvent::Progress { .. } => Ok(()),
    })
}

fn as_json(event: &WorkerEvent) -> serde_json::Value {
    match event {
        WorkerEvent::Joined { model, orchestrator, over } => {
            json!({"event": "joined", "model": model, "orchestrator": orchestrator.to_string(), "over": over})
        }
        WorkerEvent::Holding { experts, resident_bytes } => {
            json!({"event": "holding", "experts": experts, "resident_bytes": resident_bytes})
        }
        WorkerEvent::Lost { reason, retry } => {
            json!({"event": "lost", "reason": reason, "retry_ms": u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)})
        }
        WorkerEvent::Progress { bytes_done, bytes_total } => {
            json!({"event": "progress", "bytes_done": bytes_done, "bytes_total": bytes_total})
        }
    }
}

/// This machine's host name, or nothing.
fn machine_name() -> String {
    std::fs::read_to_string("/etc/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}
