//! `neuro fl roster`: the way of a roster from the owner's machine to the aggregator's, where these are two.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args as ClapArgs, Subcommand};
use neuro_node::aggregator_role::enrolment::{EnrolError, RosterKeeper};
use neuro_node::aggregator_role::invitations::{aggregated_tasks, owner_key};
use neuro_node::unix_now;
use serde_json::json;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style};
use crate::runtime;

/// What can be done with rosters.
#[derive(Debug, Subcommand)]
pub enum RosterCommand {
    /// Print the node id of this data folder's owner's key, for `neuro fl serve --owner`
    Owner,
    /// Take a roster that the owner signed on another machine
    Take(TakeArgs),
}

/// Options of `neuro fl roster take`.
#[derive(Debug, ClapArgs)]
pub struct TakeArgs {
    /// What `neuro fl invite --roster-out` wrote
    #[arg(value_name = "FILE")]
    pub roster: PathBuf,
    /// The task's name, if there are several
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the key cannot be read, or the roster is refused.
pub fn run(global: &GlobalArgs, command: &RosterCommand, output: Output) -> CommandResult {
    match command {
        RosterCommand::Owner => {
            let owner = owner_key(&runtime::data_dir(global)?)?.node_id();
            if output.json {
                return output.object(&json!({ "owner": owner.to_string() }));
            }
            output.line(format!("owner  {}", output.paint(Style::Copy, &owner.to_string())))
        }
        RosterCommand::Take(args) => take(global, args, output),
    }
}

/// Puts the roster where the aggregator finds it; one that runs need not be started again.
fn take(global: &GlobalArgs, args: &TakeArgs, output: Output) -> CommandResult {
    let mut tasks = aggregated_tasks(&runtime::data_dir(global)?);
    tasks.retain(|(_, task)| args.task.as_deref().is_none_or(|name| name == task.name()));
    let [(folder, task)] = tasks.as_slice() else {
        let text = format!("expected one such task in this data folder, got {}", tasks.len());
        return Err(
            Failure::message(Outcome::Usage, text).hint("start it once with: neuro fl serve, or name it with --task")
        );
    };
    let identity = task.identity().ok_or_else(|| EnrolError::NoTask { path: folder.join("task.json") })?;
    let bytes = fs::read(&args.roster).with_context(|| format!("cannot read {}", args.roster.display()))?;
    let taken = RosterKeeper::put(folder, &identity, &bytes, unix_now());
    let version = taken.map_err(|error| Failure::new(Outcome::Refused, error))?;
    if output.json {
        return output.object(&json!({ "task": task.name(), "roster_version": version }));
    }
    output.line(format!("roster version {version} of {} taken", task.name()))
}
