//! `neuro fl invite`: who may take part. Run by the model owner, whose key signs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use neuro_node::aggregator_role::enrolment::{EnrolError, RosterChange};
use neuro_node::aggregator_role::invitations::OwnedTask;
use neuro_node::unix_now;
use neuro_primitives::{Hash, NodeId};
use serde_json::json;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style};
use crate::runtime;

/// Options of `neuro fl invite`.
#[derive(Debug, ClapArgs)]
pub struct InviteArgs {
    /// The task's name, if there are several
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// The task.json of an aggregator on another machine; after the first time the task's name is enough
    #[arg(long, value_name = "FILE")]
    pub task_file: Option<PathBuf>,
    /// Write the signed roster here too, for an aggregator on another machine
    #[arg(long, value_name = "FILE")]
    pub roster_out: Option<PathBuf>,
    /// List this node (repeatable)
    #[arg(long, value_name = "NODE", value_parser = node)]
    pub node: Vec<NodeId>,
    /// Take this node off the roster (repeatable)
    #[arg(long, value_name = "NODE", value_parser = node)]
    pub revoke: Vec<NodeId>,
    /// How many nodes may enrol with the invitation, whoever they are; 0: only those listed
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub uses: u32,
    /// Hours for which it enrols
    #[arg(long, default_value_t = 72, value_name = "HOURS")]
    pub hours: u64,
}

/// Changes the roster and prints an invitation.
///
/// # Errors
/// When there is no such task here, or its roster cannot be changed.
pub fn run(global: &GlobalArgs, args: &InviteArgs, output: Output) -> CommandResult {
    let data_dir = runtime::data_dir(global)?;
    let task = match &args.task_file {
        Some(file) => OwnedTask::of_file(&data_dir, file).map_err(failure)?,
        None => OwnedTask::find(&data_dir, args.task.as_deref()).map_err(failure)?.ok_or_else(missing)?,
    };
    let listed = args.node.iter().copied().map(RosterChange::List);
    let changes: Vec<RosterChange> = listed.chain(args.revoke.iter().copied().map(RosterChange::Revoke)).collect();
    if !changes.is_empty() {
        task.roster.change(task.owner(), &changes, unix_now())?;
    }
    if let Some(path) = &args.roster_out {
        fs::write(path, task.roster.encoded()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let roster = task.roster.roster();
    let (members, version) = (roster.fields().members.len(), roster.fields().version);
    let invitation = task.invite(args.uses, Duration::from_secs(args.hours.saturating_mul(3600)))?.to_text();
    if output.json {
        return output.object(&json!({
            "task": roster.fields().task_name, "members": members, "roster_version": version, "invitation": invitation,
        }));
    }
    output.line(format!("roster version {version}: {members} members"))?;
    let command = format!("neuro fl join {invitation} --trainer ./train.py");
    output.line(format!("join  {}", output.paint(Style::Copy, &command)))
}

fn missing() -> Failure {
    Failure::message(Outcome::Usage, "no such task in this data folder, or several").hint(
        "start it once with: neuro fl serve --config round.toml, and name it with --task; if the aggregator is another \
         machine, show its task.json with --task-file",
    )
}

fn failure(error: EnrolError) -> Failure {
    match &error {
        EnrolError::OwnerElsewhere { .. } => {
            Failure::new(Outcome::Refused, error).hint("run this on the machine that has the owner's key")
        }
        EnrolError::NoTask { .. } => Failure::new(Outcome::Usage, error),
        _ => error.into(),
    }
}

/// A node id: 64 hexadecimal digits.
///
/// # Errors
/// When it is something else.
pub fn node(text: &str) -> Result<NodeId, String> {
    text.parse::<Hash>().map(|hash| NodeId(hash.0)).map_err(|error| error.to_string())
}
