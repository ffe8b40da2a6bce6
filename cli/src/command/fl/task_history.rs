//! The rounds of a task of this data folder, read from its files: the aggregator need not run.

use neuro_fl_aggregator::checkpoint::RoundRecord;
use neuro_node::aggregator_role::history::History;
use neuro_node::aggregator_role::invitations::aggregated_tasks;

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
    let mut tasks = aggregated_tasks(&runtime::data_dir(global)?);
    tasks.retain(|(_, task)| name.is_none_or(|name| name == task.name()));
    let known: Vec<&str> = tasks.iter().map(|(_, task)| task.name()).collect();
    let (folder, file) = match (tasks.as_slice(), name) {
        ([(folder, file)], _) => (folder, file),
        ([], Some(name)) => return Err(refused(format!("no task called {name:?} is aggregated in this data folder"))),
        ([], None) => return Err(refused("no task is aggregated in this data folder".to_owned())),
        _ => return Err(refused(format!("expected one task, got {}", known.join(", "))).hint("name one with --task")),
    };
    let rounds: Vec<RoundRecord> =
        History::open(folder)?.rounds().iter().filter_map(|round| round.record.clone()).collect();
    if rounds.is_empty() {
        return Err(Failure::message(Outcome::Failed, format!("no round of {} has ended yet", file.name())));
    }
    Ok(TaskHistory { task: file.name().to_owned(), rounds })
}

fn refused(text: String) -> Failure {
    Failure::message(Outcome::Usage, text)
}
