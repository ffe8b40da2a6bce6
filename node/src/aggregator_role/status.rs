//! What `neuro fl status` and `neuro fl round` show.

use std::sync::Arc;

use neuro_protocol::federated::{CohortStatus, RoundFacts, RoundLine, RoundPhase, RoundStatus, TaskStatus};
use neuro_secagg::aggregator::Phase;

use super::cohort::CohortHandle;
use super::history::EndedRound;
use super::reason;
use super::shared::Shared;
use crate::clock;

/// Stragglers and rounds that are listed.
const LISTED_STRAGGLERS: usize = 100;
const LISTED_ROUNDS: usize = 1_000;

/// A snapshot with round `round`, or with the newest if 0; `None` for a round that never was.
pub(super) fn read(shared: &Shared, round: u64) -> Option<RoundStatus> {
    let running = shared.cohorts();
    let history = shared.history();
    let ended = history.rounds();
    let newest = running.first().map_or_else(|| history.newest(), |cohort| cohort.config.config().round);
    let wanted = if round == 0 { newest } else { round };
    let facts = facts(&running, ended, wanted);
    if round != 0 && facts.is_none() {
        return None;
    }
    let mut lines: Vec<RoundLine> = ended.iter().rev().take(LISTED_ROUNDS).rev().map(line).collect();
    if let Some(cohort) = running.first() {
        let number = cohort.config.config().round;
        lines.push(RoundLine { number, began_unix_ms: cohort.began.0, ..RoundLine::default() });
    }
    let model = history.model().map(|hash| hash.to_string()).unwrap_or_default();
    let rounds_left = Some(u64::from(shared.plan.rounds).saturating_sub(history.done()));
    let task = TaskStatus { model, rounds_left, ..task(shared) };
    Some(RoundStatus { task: Some(task), round: facts, history: lines })
}

fn task(shared: &Shared) -> TaskStatus {
    let (identity, roster) = (shared.roster.identity(), shared.roster.roster());
    TaskStatus {
        id: identity.id().to_string(),
        name: identity.name.clone(),
        aggregator: identity.aggregator.to_string(),
        roster_version: roster.fields().version,
        rostered: roster.fields().members.len() as u32,
        attending: shared.streams.attending().len() as u32,
        strategy: shared.plan.strategy.name().to_owned(),
        ..TaskStatus::default()
    }
}

fn facts(running: &[Arc<CohortHandle>], ended: &[EndedRound], number: u64) -> Option<RoundFacts> {
    let of_round = |cohort: &&Arc<CohortHandle>| cohort.config.config().round == number;
    let live: Vec<CohortStatus> = running.iter().filter(of_round).map(|cohort| live(cohort)).collect();
    if !live.is_empty() {
        return Some(RoundFacts { number, cohorts: live });
    }
    let round = ended.iter().find(|round| round.number == number)?;
    Some(RoundFacts { number, cohorts: vec![past(round)] })
}

fn live(cohort: &CohortHandle) -> CohortStatus {
    let (state, payload_bytes) = (cohort.look(), cohort.uploads.held_bytes());
    let Some(view) = &state.view else { return CohortStatus { payload_bytes, ..CohortStatus::default() } };
    let deadline_ms = view.deadline.map(|at| at.since(clock::now()).as_millis() as u64);
    let reported = view.reported.len() as u32;
    CohortStatus {
        number: view.cohort.into(),
        phase: phase(view.phase).into(),
        deadline_ms,
        members: view.numbers.map_or(reported, |numbers| numbers.n.into()),
        reported,
        stragglers: view.stragglers.iter().take(LISTED_STRAGGLERS).map(ToString::to_string).collect(),
        neighbours: view.numbers.map(|numbers| numbers.k.into()),
        threshold: view.numbers.map(|numbers| numbers.t.into()),
        quorum: view.numbers.map(|numbers| numbers.q.into()),
        alpha: Some(view.alpha),
        payload_bytes,
        outcome: view.end.as_ref().map(reason::words),
        blamed: state.blamed.iter().map(ToString::to_string).collect(),
        ..CohortStatus::default()
    }
}

fn past(round: &EndedRound) -> CohortStatus {
    CohortStatus {
        phase: RoundPhase::Ended.into(),
        members: round.members,
        reported: round.survivors,
        payload_bytes: round.payload_bytes,
        outcome: Some(round.outcome.clone()),
        done: round.done,
        survivors: round.survivors,
        weight: round.weight,
        blamed: round.blamed.clone(),
        ..CohortStatus::default()
    }
}

fn line(round: &EndedRound) -> RoundLine {
    RoundLine {
        number: round.number,
        began_unix_ms: round.began_unix_ms,
        took_ms: Some(round.took_ms),
        outcome: Some(round.outcome.clone()),
        done: round.done,
        survivors: round.survivors,
        weight: round.weight,
        loss: None,
        model: if round.done { round.model.clone() } else { String::new() },
    }
}

const fn phase(phase: Phase) -> RoundPhase {
    match phase {
        Phase::Idle => RoundPhase::Unspecified,
        Phase::Join => RoundPhase::Join,
        Phase::Reveal => RoundPhase::Reveal,
        Phase::Shares => RoundPhase::Shares,
        Phase::Received => RoundPhase::Received,
        Phase::Upload => RoundPhase::Upload,
        Phase::Vote => RoundPhase::Vote,
        Phase::Answer => RoundPhase::Answer,
        Phase::Unmask => RoundPhase::Unmask,
        Phase::Ended => RoundPhase::Ended,
    }
}
