//! What `neuro fl status` and `neuro fl round` show.

use std::sync::Arc;

use neuro_fl_aggregator::checkpoint::RoundKind;
use neuro_privacy::Spent;
use neuro_protocol::federated::{
    CohortStatus, LeftOut, RoundFacts, RoundLine, RoundPhase, RoundStatus, SpentBudget, TaskStatus,
};
use neuro_secagg::aggregator::Phase;

use super::cohort::CohortHandle;
use super::history::{EndedCohort, EndedRound};
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
    let applied = history.checkpoint().map_or(0, |at| at.applied);
    let rounds_left = Some(u64::from(shared.plan.rounds.saturating_sub(applied)));
    let (spent, over) = (history.spent().map(budget), shared.task_end().clone());
    let left_out =
        history.blamed().into_iter().map(|(node, round)| LeftOut { node: node.to_string(), round }).collect();
    let task = TaskStatus { model, rounds_left, spent, ended: over, left_out, ..task(shared) };
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
        return Some(RoundFacts { number, cohorts: live, ..RoundFacts::default() });
    }
    let round = ended.iter().find(|round| round.number == number)?;
    let cohorts = match round.cohorts.is_empty() {
        true => vec![nobody(round)],
        false => round.cohorts.iter().map(past).collect(),
    };
    let record = round.record.as_ref();
    let metrics = record.map(|record| record.metrics.clone().into_iter().collect()).unwrap_or_default();
    let spent = record.and_then(|record| record.spent).map(budget);
    let kind = record.map_or("", |record| match record.kind {
        RoundKind::Train => "train",
        RoundKind::Router => "router",
        RoundKind::Evaluate => "evaluate",
    });
    Some(RoundFacts { number, cohorts, kind: kind.to_owned(), metrics, spent })
}

fn budget(spent: Spent) -> SpentBudget {
    SpentBudget { epsilon: spent.epsilon, delta: spent.delta, releases: spent.releases.into() }
}

fn live(cohort: &CohortHandle) -> CohortStatus {
    let (state, payload_bytes) = (cohort.look(), cohort.uploads.held_bytes());
    let name = cohort.name.clone();
    let Some(view) = &state.view else { return CohortStatus { name, payload_bytes, ..CohortStatus::default() } };
    let deadline_ms = view.deadline.map(|at| at.since(clock::now()).as_millis() as u64);
    let reported = view.reported.len() as u32;
    CohortStatus {
        number: view.cohort.into(),
        name,
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
        bytes_in: Some(view.bytes_in),
        bytes_out: Some(view.bytes_out),
        outcome: view.end.as_ref().map(reason::words),
        blamed: state.blamed.iter().map(ToString::to_string).collect(),
        ..CohortStatus::default()
    }
}

fn past(cohort: &EndedCohort) -> CohortStatus {
    CohortStatus {
        number: cohort.cohort.into(),
        name: cohort.name.clone(),
        phase: RoundPhase::Ended.into(),
        members: cohort.members,
        reported: cohort.survivors,
        payload_bytes: cohort.payload_bytes,
        outcome: Some(cohort.outcome.clone()),
        done: cohort.done,
        unmasked: !cohort.sum.is_empty(),
        survivors: cohort.survivors,
        weight: cohort.weight,
        blamed: cohort.blamed.clone(),
        epsilon: cohort.epsilon,
        ..CohortStatus::default()
    }
}

/// A round whose cohorts were not even opened.
fn nobody(round: &EndedRound) -> CohortStatus {
    let outcome = Some(round.outcome.clone());
    CohortStatus { phase: RoundPhase::Ended.into(), outcome, ..CohortStatus::default() }
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
        loss: round.record.as_ref().and_then(|record| record.metrics.get("loss").copied()),
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
