//! `neuro fl export`: a task's metrics as files that other programs read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};
use neuro_fl_aggregator::export::{MlflowRun, csv, event_file_name, json, mlflow, tensorboard};
use serde_json::json;

use super::task_history::{self, TaskHistory};
use crate::args::GlobalArgs;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style};

/// Options of `neuro fl export`.
#[derive(Debug, ClapArgs)]
pub struct ExportArgs {
    /// What to write: a file (csv, json), or into a folder (tensorboard: an event file; mlflow: its folder of runs)
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Format,
    /// The file or the folder; made where it is missing
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// The task's name, if there are several
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// What the run is called in MLflow; the same name again replaces it
    #[arg(long, default_value = "neuro fl", value_name = "NAME")]
    pub run_name: String,
}

/// A form that other programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A row for each round, a column for each metric.
    Csv,
    /// The rounds as objects.
    Json,
    /// An event file.
    Tensorboard,
    /// A folder `mlruns`.
    Mlflow,
}

/// Writes the files and names them.
///
/// # Errors
/// When no round has ended, or the files cannot be written.
pub fn run(global: &GlobalArgs, args: &ExportArgs, output: Output) -> CommandResult {
    let history = task_history::read(global, args.task.as_deref())?;
    let files = files(&history, args);
    for (path, bytes) in &files {
        write(path, bytes)?;
    }
    let rounds = history.rounds.len();
    if output.json {
        let paths: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
        return output.object(&json!({ "task": history.task, "rounds": rounds, "files": paths }));
    }
    output.line(format!("{rounds} rounds of {} written", history.task))?;
    let look = match args.format {
        Format::Csv | Format::Json => files.iter().map(|(path, _)| path.display().to_string()).collect(),
        Format::Tensorboard => format!("tensorboard --logdir {}", args.out.display()),
        // MLflow 3 asks for this before it reads a store of files.
        Format::Mlflow => format!("MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {}", args.out.display()),
    };
    output.line(format!("look  {}", output.paint(Style::Copy, &look)))
}

fn files(history: &TaskHistory, args: &ExportArgs) -> Vec<(PathBuf, Vec<u8>)> {
    let (task, rounds) = (&history.task, history.rounds.as_slice());
    match args.format {
        Format::Csv => vec![(args.out.clone(), csv(rounds).into_bytes())],
        Format::Json => vec![(args.out.clone(), json(rounds).into_bytes())],
        Format::Tensorboard => {
            let began = rounds.first().map_or(0, |round| round.began_unix_ms);
            vec![(args.out.join(event_file_name(began, task)), tensorboard(rounds))]
        }
        Format::Mlflow => {
            let strategy = rounds.first().map(|round| round.strategy.clone()).unwrap_or_default();
            let parameters = BTreeMap::from([("strategy".to_owned(), strategy)]);
            let run = MlflowRun { task: task.clone(), run_name: args.run_name.clone(), parameters };
            mlflow(&run, rounds).into_iter().map(|file| (args.out.join(file.path), file.text.into_bytes())).collect()
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> CommandResult {
    let failed = |error: std::io::Error| {
        Failure::message(crate::exit_code::Outcome::Failed, format!("cannot write {}: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, bytes).map_err(failed)
}
