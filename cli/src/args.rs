//! What may be typed: the global options and one subcommand.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::command::{ask, bench, chat, completions, credit, dashboard, fl, model, serve, smpc, up, worker};

/// Run a large mixture-of-experts model together with others.
#[derive(Debug, Parser)]
#[command(name = "neuro", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Args {
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, ClapArgs)]
pub struct GlobalArgs {
    /// Folder of this node's key, cache and state
    #[arg(long, global = true, env = "NEURO_DATA_DIR", value_name = "DIR", help_heading = EVERYWHERE)]
    pub data_dir: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
    /// Print one JSON object per event, a line each (long runs)
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json_lines: bool,
    /// No colours (NO_COLOR works as well)
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub no_color: bool,
    /// Say more on stderr; twice for even more (NEURO_LOG takes a filter)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = EVERYWHERE)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a whole local network: orchestrator, workers and API, each a process of its own
    Up(up::UpArgs),
    /// Ask one question
    Ask(ask::AskArgs),
    /// Talk in a conversation
    Chat(chat::ChatArgs),
    /// Run an orchestrator: OpenAI-compatible API, control services, peer-to-peer
    Serve(serve::ServeArgs),
    /// Lend this machine to a network
    #[command(subcommand)]
    Worker(worker::WorkerCommand),
    /// See who earned what: workers, teams, badges
    #[command(subcommand)]
    Credit(credit::CreditCommand),
    /// Look into checkpoints and mark them
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Watch a running node
    Dashboard(dashboard::DashboardArgs),
    /// Learn together: federated rounds whose aggregator learns only the sum
    #[command(subcommand)]
    Fl(fl::FlCommand),
    /// Ask privately: three parties compute on shares and none of them can read
    #[command(subcommand)]
    Smpc(smpc::SmpcCommand),
    /// Measure this machine
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// The heading of [`GlobalArgs`] in help texts, so that a command's own options stand together.
const EVERYWHERE: &str = "Options of every command";

const EXIT_CODES: &str =
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused by a peer or rule, 4 not reachable, 130 interrupted";
