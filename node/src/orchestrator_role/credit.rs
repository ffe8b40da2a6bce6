//! Answers about credit: who earned what, in whose team.

use neuro_network::control::{ControlError, ControlErrorKind};
use neuro_orchestrator::credit::badges;
use neuro_orchestrator::store::{RankedWorker, TeamCredit};
use neuro_primitives::NodeId;
use neuro_protocol::control::{
    CreditReply, CreditRequest, SetTeamReply, SetTeamRequest, TeamTotal, WorkerCredit, credit_request,
};

use super::members::unix_now;
use super::recorder::{AskError, Recorder};

/// Lines that one answer has at most, of workers and of teams.
const MAX_LINES: u32 = 1_000;

/// Characters of a team's name. Doubled, tables get too wide for a terminal.
const MAX_TEAM_CHARACTERS: usize = 32;

/// Answers a question of `peer`.
///
/// # Errors
/// `BadRequest` for no question; `Unavailable` when the store does not answer.
pub async fn answer(recorder: &Recorder, peer: NodeId, request: CreditRequest) -> Result<CreditReply, ControlError> {
    let about = request.about.ok_or_else(|| bad_request("ask about top, own or team"))?;
    let (limit, now_s) = (request.limit.clamp(1, MAX_LINES) as usize, unix_now().0 / 1000);
    let found = recorder.ask(move |store| match about {
        credit_request::About::Top(_) => Ok((store.top_workers(limit)?, store.top_teams(limit)?)),
        credit_request::About::Own(_) => Ok((store.credit(peer)?.into_iter().collect(), Vec::new())),
        credit_request::About::Team(team) => Ok((store.team(&team.name, limit)?, Vec::new())),
    });
    let (workers, teams) = found.await.map_err(|error| unavailable(&error))?;
    let own_team = recorder.worker(peer).and_then(|record| record.team);
    let workers = workers.iter().map(|line| worker_line(line, now_s)).collect();
    Ok(CreditReply { workers, teams: teams.into_iter().map(team_line).collect(), own_team })
}

/// Puts `peer` into a team, or out of its own.
///
/// # Errors
/// `BadRequest` for a name that no team can have; `NotFound` for a node that never worked here.
pub fn set_team(recorder: &Recorder, peer: NodeId, request: SetTeamRequest) -> Result<SetTeamReply, ControlError> {
    if recorder.worker(peer).is_none() {
        let text = format!("node {} has not worked for this orchestrator", peer.short());
        return Err(ControlError::new(ControlErrorKind::NotFound, text));
    }
    let team = request.team.map(|name| team_name(&name)).transpose()?;
    recorder.set_team(peer, team);
    Ok(SetTeamReply {})
}

/// A name that may be shown on a terminal, without blanks around it.
fn team_name(name: &str) -> Result<String, ControlError> {
    let name = name.trim();
    let fits = (1..=MAX_TEAM_CHARACTERS).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits {
        return Ok(name.to_owned());
    }
    Err(bad_request(format!("expected a team of 1 to {MAX_TEAM_CHARACTERS} printable characters, got {name:?}")))
}

fn worker_line(line: &RankedWorker, now_s: u64) -> WorkerCredit {
    WorkerCredit {
        id: line.worker.to_string(),
        name: line.name.clone(),
        team: line.team.clone(),
        place: line.rank.place,
        total_micro_units: line.credit.total,
        // From a float to an integer that holds it: what is larger is as large as it gets.
        recent_micro_units_per_day: line.credit.recent_at(now_s) as u64,
        badges: badges(&line.credit, &line.rank).iter().map(ToString::to_string).collect(),
    }
}

fn team_line(line: TeamCredit) -> TeamTotal {
    TeamTotal { name: line.team, members: line.members, total_micro_units: line.total }
}

fn bad_request(message: impl Into<String>) -> ControlError {
    ControlError::new(ControlErrorKind::BadRequest, message)
}

fn unavailable(error: &AskError) -> ControlError {
    let remedy = match error {
        AskError::Store(error) => error.remedy(),
        AskError::Busy | AskError::Stopped => "ask again later",
    };
    ControlError::new(ControlErrorKind::Unavailable, format!("{error}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teams_have_short_names_that_can_be_shown() {
        assert_eq!(team_name("  Blue Ocean ").unwrap(), "Blue Ocean");
        for wrong in ["", "   ", "a\u{1b}[2Jb", "a\nb", &"x".repeat(33)] {
            assert_eq!(team_name(wrong).unwrap_err().kind, ControlErrorKind::BadRequest, "{wrong:?}");
        }
        assert_eq!(team_name(&"ß".repeat(32)).unwrap().chars().count(), 32);
    }
}
