//! `neuro completions SHELL`.

use clap::{Args as ClapArgs, CommandFactory};
use clap_complete::Shell;

use crate::args::Args;
use crate::failure::CommandResult;

/// Options of `neuro completions`.
#[derive(Debug, ClapArgs)]
pub struct CompletionsArgs {
    /// The shell to write for
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Never; the signature is that of every command.
pub fn run(args: &CompletionsArgs) -> CommandResult {
    clap_complete::generate(args.shell, &mut Args::command(), "neuro", &mut std::io::stdout());
    Ok(())
}
