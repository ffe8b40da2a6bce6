//! `neuro worker pardon NAME`: lets a worker work again that was excluded.

use clap::Args as ClapArgs;
use neuro_network::ControlErrorKind;
use neuro_protocol::control::PardonRequest;

use crate::args::GlobalArgs;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;
use crate::{owner, runtime};

/// Options of `neuro worker pardon`.
#[derive(Debug, ClapArgs)]
pub struct PardonArgs {
    /// The worker's name, or the beginning of its node id
    pub worker: String,
}

/// Asks the orchestrator on this data folder to pardon the worker.
///
/// # Errors
/// When no orchestrator runs there, or none of the workers that it excluded is called so, or several are.
pub fn run(global: &GlobalArgs, args: &PardonArgs, output: Output) -> CommandResult {
    let request = PardonRequest { worker: args.worker.clone() };
    let reply = runtime::tokio()?.block_on(async {
        owner::orchestrator(global).await?.pardon(request).await.map_err(|error| match error.kind {
            ControlErrorKind::NotFound | ControlErrorKind::BadRequest => {
                Failure::refused(error).hint("neuro worker list shows who is excluded, neuro worker show why")
            }
            _ => Failure::refused(error),
        })
    })?;
    if output.json {
        return output.object(&reply);
    }
    let who = if reply.name.is_empty() { &reply.id } else { &reply.name };
    output.line(format!("{who} may join again and begins on probation; it was excluded for {}", reply.excluded))
}
