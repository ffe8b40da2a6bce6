//! `neuro credit team`: shows a team, joins one or leaves it.

use clap::Args as ClapArgs;
use neuro_protocol::control::{OwnCredit, SetTeamRequest, TeamCredit, credit_request};
use serde_json::json;

use super::{connection, table};
use crate::args::GlobalArgs;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;
use crate::runtime;

/// Members that are shown.
const SHOWN: u32 = 1_000;

/// Options of `neuro credit team`.
#[derive(Debug, ClapArgs)]
pub struct TeamArgs {
    /// The team; without it, this worker's own
    #[arg(value_name = "NAME", required_if_eq("join", "true"))]
    pub name: Option<String>,
    /// Put this worker into the team; it leaves any other
    #[arg(long, conflicts_with = "leave")]
    pub join: bool,
    /// Take this worker out of its team
    #[arg(long, conflicts_with = "name")]
    pub leave: bool,
}

/// Changes or shows a team.
///
/// # Errors
/// When the orchestrator is not reachable, refuses the name, or its store does not answer.
pub fn run(global: &GlobalArgs, args: &TeamArgs, output: Output) -> CommandResult {
    runtime::tokio()?.block_on(async {
        if args.join || args.leave {
            set(global, args.name.as_deref(), output).await
        } else {
            show(global, args.name.as_deref(), output).await
        }
    })
}

async fn set(global: &GlobalArgs, team: Option<&str>, output: Output) -> CommandResult {
    let request = SetTeamRequest { team: team.map(str::to_owned) };
    connection::orchestrator(global).await?.set_team(request).await.map_err(Failure::refused)?;
    match (output.json, team) {
        (true, _) => output.object(&json!({"team": team})),
        (false, Some(team)) => output.line(format!("this worker is in team {team}")),
        (false, None) => output.line("this worker is in no team"),
    }
}

async fn show(global: &GlobalArgs, name: Option<&str>, output: Output) -> CommandResult {
    let Some(name) = team_or_own(global, name).await? else {
        return if output.json {
            output.object(&json!({"team": null}))
        } else {
            output.line("this worker is in no team")
        };
    };
    let about = credit_request::About::Team(TeamCredit { name: name.clone() });
    let reply = connection::ask(global, about, SHOWN).await?;
    let total = reply.workers.iter().map(|line| line.total_micro_units).fold(0, u64::saturating_add);
    if output.json {
        return output.object(&json!({"team": name, "total_micro_units": total, "workers": reply.workers}));
    }
    output.line(format!("team {name}: {} members with credit, {}", reply.workers.len(), table::units(total)))?;
    if reply.workers.is_empty() {
        return Ok(());
    }
    output.line(table::workers(output, &reply.workers))
}

/// The named team, or the one that the worker of the data folder is in.
async fn team_or_own(global: &GlobalArgs, name: Option<&str>) -> Result<Option<String>, Failure> {
    match name {
        Some(name) => Ok(Some(name.to_owned())),
        None => Ok(connection::ask(global, credit_request::About::Own(OwnCredit {}), 1).await?.own_team),
    }
}
