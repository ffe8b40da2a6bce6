//! The rounds of a task of this data folder, read from its files: the aggregator need not run.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use neuro_fl_aggregator::checkpoint::RoundRecord;
use neuro_node::aggregator_role::history::History;
use neuro_node::aggregator_role::invitations::{TaskFile, aggregated_tasks};

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::Failure;
use crate::runtime;

/// A task and what became of its rounds, oldest first.
pub struct TaskHistory {
    /// The task's name.
    pub task: String,
    /// Its rounds.
    pub rounds: Vec<RoundRecord>,
}

/// The task called `name`, or the only one.
///
/// # Errors
/// When there is none, or several, or no round of it has ended.
pub fn read(global: &GlobalArgs, name: Option<&str>) -> Result<TaskHistory, Failure> {
    let (folder, file) = find(global, name)?;
    let rounds: Vec<RoundRecord> = open(&folder)?.rounds().iter().filter_map(|round| round.record.clone()).collect();
    if rounds.is_empty() {
        return Err(Failure::message(Outcome::Failed, format!("no round of {} has ended yet", file.name())));
    }
    Ok(TaskHistory { task: file.name().to_owned(), rounds })
}

/// The weights after round `number`, or after the last that moved them: the file, and the round.
///
/// # Errors
/// As [`read`], and when there is no such round.
pub fn weights(global: &GlobalArgs, name: Option<&str>, number: Option<u64>) -> Result<(PathBuf, u64), Failure> {
    let (folder, file) = find(global, name)?;
    let history = open(&folder)?;
    let found = history.rounds().iter().rev().find(|round| round.done && number.is_none_or(|n| n == round.number));
    let missing = || match number {
        Some(number) => Failure::message(Outcome::Failed, format!("no weights came of round {number}")),
        None => Failure::message(Outcome::Failed, format!("no round of {} has weights yet", file.name())),
    };
    let round = found.ok_or_else(missing)?;
    Ok((folder.join("models").join(format!("{}.safetensors", round.model)), round.number))
}

/// The task's folder, and what it is.
fn find(global: &GlobalArgs, name: Option<&str>) -> Result<(PathBuf, TaskFile), Failure> {
    let mut tasks = aggregated_tasks(&runtime::data_dir(global)?);
    tasks.retain(|(_, task)| name.is_none_or(|name| name == task.name()));
    if tasks.len() > 1 {
        let known: Vec<&str> = tasks.iter().map(|(_, task)| task.name()).collect();
        return Err(refused(format!("expected one task, got {}", known.join(", "))).hint("name one with --task"));
    }
    tasks.pop().ok_or_else(|| match name {
        Some(name) => refused(format!("no task called {name:?} is aggregated in this data folder")),
        None => refused("no task is aggregated in this data folder".to_owned()),
    })
}

fn open(folder: &Path) -> Result<History, Failure> {
    Ok(History::open(folder).with_context(|| format!("cannot read the history in {}", folder.display()))?)
}

fn refused(text: String) -> Failure {
    Failure::message(Outcome::Usage, text)
}
