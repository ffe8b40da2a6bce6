//! The built-in trainer: this program, started by `neuro fl join --model` as any other trainer would be.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use neuro_node::participant_role::trainer::TrainerCommand;

use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;

#[cfg(feature = "training")]
pub mod moe;
// Its words are tested in every build.
#[cfg(any(test, not(feature = "training")))]
pub mod stub;
#[cfg(not(feature = "training"))]
pub use stub as moe;

/// What `neuro fl join` takes for the built-in trainer.
#[derive(Debug, Clone, ClapArgs)]
pub struct BuiltInArgs {
    /// The model that the built-in trainer trains: a folder, or a GGUF file with float weights
    #[arg(long, value_name = "PATH", requires = "examples")]
    pub model: Option<PathBuf>,
    /// Your examples for it: JSON lines with prompt and answer, with text, or with ids
    #[arg(long, value_name = "FILE", requires = "model")]
    pub examples: Option<PathBuf>,
    /// Examples to measure on, which are not trained on; without them, the same
    #[arg(long, value_name = "FILE", requires = "model")]
    pub held_out: Option<PathBuf>,
}

/// Options of the hidden `neuro fl train`.
#[derive(Debug, ClapArgs)]
pub struct TrainArgs {
    /// The model
    #[arg(long)]
    model: PathBuf,
    /// The examples
    #[arg(long)]
    examples: PathBuf,
    /// Those to measure on
    #[arg(long)]
    held_out: Option<PathBuf>,
}

impl BuiltInArgs {
    /// This program as a trainer, once the model and the examples were looked at: better now than in every round.
    ///
    /// # Errors
    /// When no round could be trained with them.
    pub fn trainer(&self) -> Result<TrainerCommand, Failure> {
        let missing = || Failure::message(Outcome::Usage, "expected --trainer, or --model and --examples");
        let (model, examples) = self.model.as_deref().zip(self.examples.as_deref()).ok_or_else(missing)?;
        moe::check(model, examples, self.held_out.as_deref())?;
        let mut arguments = vec!["fl".into(), "train".into()];
        let files =
            [("--model", Some(model)), ("--examples", Some(examples)), ("--held-out", self.held_out.as_deref())];
        for (option, path) in files {
            let Some(path) = path else { continue };
            // The trainer runs in a folder of its own.
            arguments.extend([option.into(), std::path::absolute(path)?.into_os_string()]);
        }
        Ok(TrainerCommand { program: std::env::current_exe()?, arguments })
    }
}

/// Does what `task.json` in the current folder asks for.
///
/// # Errors
/// When it cannot be done; the words go to the participant.
pub fn run(args: &TrainArgs, output: Output) -> CommandResult {
    output.line(moe::take_part(Path::new("."), &args.model, &args.examples, args.held_out.as_deref())?)
}
