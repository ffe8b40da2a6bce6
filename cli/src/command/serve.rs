//! `neuro serve`: an orchestrator.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use indicatif::ProgressBar;
use neuro_node::orchestrator_role::{self, OrchestratorConfig, OrchestratorError, OrchestratorEvent};
use neuro_orchestrator::Checks;
use serde_json::json;

mod plan;

use super::up::model_folder;
use crate::args::GlobalArgs;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style};
use crate::{progress, runtime};

/// Options of `neuro serve`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ServeArgs {
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<ServeCommand>,
    /// A Hugging Face folder; without it, the small model that comes with the program
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Address of the OpenAI-compatible API; beyond loopback it needs --api-key-file
    #[arg(long, default_value = "127.0.0.1:11711", env = "NEURO_API", value_name = "HOST:PORT")]
    pub api: String,
    /// File with API keys, one `name: key` a line, readable by you alone
    #[arg(long, env = "NEURO_API_KEY_FILE", value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Host name that requests may carry besides the API's own address (repeatable)
    #[arg(long, value_name = "NAME")]
    pub allow_host: Vec<String>,
    /// Address of the control services (gRPC)
    #[arg(long, default_value = "127.0.0.1:11712", env = "NEURO_CONTROL", value_name = "HOST:PORT")]
    pub control: String,
    /// Multiaddr for peer-to-peer connections (repeatable)
    #[arg(long, default_values = ["/ip4/0.0.0.0/tcp/11713", "/ip4/0.0.0.0/udp/11713/quic-v1"], value_name = "MULTIADDR")]
    pub p2p: Vec<String>,
    /// Requests that run at once, in one batch
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub slots: u16,
    /// Requests that may wait for a slot
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub queue: u16,
    /// Mebibytes that keys and values of all requests may take; by default a fourth of the memory that is free
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    pub kv_cache: Option<u64>,
    /// Workers that hold each expert
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub replicas: u16,
    /// Which answers of workers are checked
    #[arg(long, value_enum, default_value_t = CheckPolicy::Sampled, value_name = "POLICY")]
    pub checks: CheckPolicy,
    /// Hours for which the printed ticket admits new workers
    #[arg(long, default_value_t = 24, value_name = "HOURS")]
    pub ticket_hours: u32,
    /// Where workers, credit and vouchers are kept: a file, or postgres://USER@HOST/DATABASE; without it, a file in the
    /// data folder
    #[arg(long, env = "NEURO_STORE", value_name = "URL")]
    pub store: Option<String>,
    /// Workers that are started together with this node
    #[arg(long, default_value_t = 0, hide = true)]
    pub expect_workers: u16,
    /// Milliseconds for which a request waits for an expert that nobody holds
    #[arg(long, hide = true)]
    pub call_patience_ms: Option<u64>,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub stop_with_parent: bool,
}

/// What can be asked of an orchestrator that runs.
#[derive(Debug, Subcommand)]
pub enum ServeCommand {
    /// Show who holds how much, what was moved and why, and what would move now
    Plan(plan::PlanArgs),
}

/// Which answers of workers are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckPolicy {
    /// Every one, before its token is shown
    Verified,
    /// New workers' before they are used, others' by chance afterwards
    Sampled,
    /// None: all workers are your own
    Trusting,
}

impl From<CheckPolicy> for Checks {
    fn from(policy: CheckPolicy) -> Self {
        match policy {
            CheckPolicy::Verified => Self::Verified,
            CheckPolicy::Sampled => Self::SAMPLED,
            CheckPolicy::Trusting => Self::Trusting,
        }
    }
}

/// Runs until Ctrl-C.
///
/// # Errors
/// When the model cannot be loaded or an address cannot be used.
pub fn run(global: &GlobalArgs, args: &ServeArgs, output: Output) -> CommandResult {
    if let Some(ServeCommand::Plan(args)) = &args.command {
        return plan::run(global, args, output);
    }
    let data_dir = runtime::data_dir(global)?;
    let config = OrchestratorConfig {
        model: model_folder(args.model.as_deref(), data_dir.path())?,
        data_dir,
        api: args.api.clone(),
        api_key_file: args.api_key_file.clone(),
        allowed_hosts: args.allow_host.clone(),
        control: args.control.clone(),
        p2p: args.p2p.clone(),
        slots: usize::from(args.slots),
        queue: usize::from(args.queue),
        kv_cache_bytes: args.kv_cache.map(|mebibytes| mebibytes.saturating_mul(1 << 20)),
        replicas: usize::from(args.replicas),
        ticket_lifetime: Duration::from_secs(u64::from(args.ticket_hours) * 3600),
        expected_workers: usize::from(args.expect_workers),
        checks: args.checks.into(),
        call_patience: args.call_patience_ms.map(Duration::from_millis),
        store: args.store.clone(),
    };
    let bar = progress::bytes("loading the model", 0);
    let report = Arc::new(move |event: OrchestratorEvent| drop(show(&event, output, &bar)));
    runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(args.stop_with_parent)?;
        orchestrator_role::run(config, report, stop).await.map_err(with_hint)
    })
}

/// What its owner can do about it.
fn with_hint(error: OrchestratorError) -> Failure {
    let hint = match &error {
        OrchestratorError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
            Some("is another node running? choose another address, or port 0 for a free one")
        }
        OrchestratorError::Listen { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
            Some("write HOST:PORT, such as 127.0.0.1:11711")
        }
        OrchestratorError::Store(error) => Some(error.remedy()),
        _ => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn show(event: &OrchestratorEvent, output: Output, bar: &ProgressBar) -> CommandResult {
    if let OrchestratorEvent::Loading { bytes_done, bytes_total } = event {
        bar.set_length(*bytes_total);
        bar.set_position(*bytes_done);
    } else {
        bar.finish_and_clear();
    }
    if output.json { output.object(&as_json(event)) } else { show_text(event, output) }
}

fn show_text(event: &OrchestratorEvent, output: Output) -> CommandResult {
    match event {
        OrchestratorEvent::Loading { .. } => Ok(()),
        OrchestratorEvent::Ready(ready) => {
            let copy = |text: &str| output.paint(Style::Copy, text);
            output.line(format!("API        {}", copy(&format!("{}/v1", ready.api))))?;
            output.line(format!("control    {}", ready.control))?;
            output.line(format!("p2p        {}", ready.p2p.join("  ")))?;
            output.line(format!("join       {}", copy(&ready.join_command())))
        }
        OrchestratorEvent::Serving => output.line(output.paint(Style::Good, "every expert has a holder: ready")),
        OrchestratorEvent::Waiting { covered, experts } => {
            output.line(format!("waiting for workers: {covered} of {experts} experts have a holder"))
        }
    }
}

fn as_json(event: &OrchestratorEvent) -> serde_json::Value {
    match event {
        OrchestratorEvent::Loading { bytes_done, bytes_total } => {
            json!({"event": "loading", "bytes_done": bytes_done, "bytes_total": bytes_total})
        }
        OrchestratorEvent::Ready(ready) => json!({
            "event": "ready", "api": ready.api, "control": ready.control, "p2p": ready.p2p,
            "ticket": ready.ticket, "join": ready.join_command(),
        }),
        OrchestratorEvent::Serving => json!({"event": "serving"}),
        OrchestratorEvent::Waiting { covered, experts } => {
            json!({"event": "waiting", "covered": covered, "experts": experts})
        }
    }
}
