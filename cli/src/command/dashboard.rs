//! `neuro dashboard`.

use clap::Args as ClapArgs;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;
use crate::{dashboard, runtime};

/// Options of `neuro dashboard`.
#[derive(Debug, ClapArgs)]
pub struct DashboardArgs {}

/// Shows the dashboard; with `--json`, prints the status once.
///
/// # Errors
/// When there is no terminal, or, with `--json`, no node.
pub fn run(global: &GlobalArgs, _args: &DashboardArgs, output: Output) -> CommandResult {
    let data_dir = runtime::data_dir(global)?;
    runtime::tokio()?.block_on(async {
        if output.json {
            return output.object(&dashboard::status_once(data_dir).await?);
        }
        if !output.terminal {
            return Err(Failure::message(Outcome::Usage, "the dashboard needs a terminal")
                .hint("neuro dashboard --json prints the same figures once"));
        }
        dashboard::watch(data_dir, runtime::stop_token(false)?).await
    })
}
