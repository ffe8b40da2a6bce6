//! What the ends of a round's cohorts come to: inputs of the task's server, and a line of the history.

use std::io;

use neuro_fl_aggregator::TaskInput;
use neuro_fl_aggregator::checkpoint::{CohortRecord, RoundRecord};
use neuro_fl_aggregator::server::{CohortSum, ROBUST_RULE};
use neuro_secagg::messages::EndReason;
use neuro_secagg::roster::Registry;

use super::RoundError;
use super::open_round::{OpenCohort, OpenRound};
use super::task::Used;
use crate::aggregator_role::cohort::CohortEnd;
use crate::aggregator_role::history::{EndedCohort, EndedRound, KeptTrack};
use crate::aggregator_role::reason;
use crate::aggregator_role::summing::Summing;
use crate::clock::unix_now;

/// What the task's server hears of a cohort. Whoever was asked for shares is charged, whatever came of it.
pub(super) fn input_of(opened: &OpenRound, cohort: &OpenCohort) -> Result<TaskInput, RoundError> {
    let config = cohort.handle.config.config();
    let end = cohort.end.as_ref().ok_or(RoundError::Thread)?;
    let honest_at_least = config.demand(end.n, opened.roster.rostered(&config.batches)).honest_at_least();
    let members = end.asked.as_ref().map(|asked| asked.survivors.clone()).unwrap_or_default();
    let (round, n) = (config.round, end.n);
    let Some(hash) = end.sum else {
        let (reason, charged) = (words(opened, &end.reason), members);
        return Ok(TaskInput::CohortFailed { round, cohort: config.cohort, reason, n, charged, honest_at_least });
    };
    let sum = Summing::finished(config.vector_entries as usize, &cohort.folder.sum());
    let sum = sum.filter(|sum| sum.hash == hash).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(TaskInput::CohortDone(CohortSum {
        round,
        cohort: config.cohort,
        sum: sum.values,
        survivors: members.len() as u32,
        n,
        members,
        honest_at_least,
    }))
}

/// The line of the history. `before` are the tracks as the round found them, `model` their weights together.
pub(super) fn line(round: &OpenRound, used: Used, before: Vec<KeptTrack>, model: &str) -> EndedRound {
    let cohorts: Vec<EndedCohort> = round.cohorts.values().map(|cohort| ended_cohort(round, cohort, &used)).collect();
    let ends: Vec<&CohortEnd> = round.cohorts.values().filter_map(|cohort| cohort.end.as_ref()).collect();
    let done = used.record.as_ref().is_some_and(|record| record.succeeded);
    let in_sums = || cohorts.iter().filter(|cohort| cohort.done);
    let mut blamed: Vec<String> = cohorts.iter().flat_map(|cohort| cohort.blamed.clone()).collect();
    blamed.sort_unstable();
    blamed.dedup();
    let took_ms = unix_now().0.saturating_sub(round.beginning.began.0);
    EndedRound {
        number: round.number,
        began_unix_ms: round.beginning.began.0,
        took_ms,
        done,
        outcome: outcome(round, &cohorts, &used),
        retryable: !done && ends.iter().all(|end| end.reason.is_retryable()),
        members: cohorts.iter().map(|cohort| cohort.members).sum(),
        survivors: in_sums().map(|cohort| cohort.survivors).sum(),
        weight: in_sums().map(|cohort| cohort.weight).sum(),
        sum: if let [only] = &cohorts[..] { only.sum.clone() } else { String::new() },
        model: used.model.map_or_else(|| model.to_owned(), |model| model.to_string()),
        payload_bytes: cohorts.iter().map(|cohort| cohort.payload_bytes).sum(),
        blamed,
        checkpoint: used.checkpoint,
        charges: used.charges,
        cohorts,
        // The server is made anew to close a round, and does not know how long it took.
        record: used.record.map(|record| RoundRecord { took_ms, ..record }),
        tracks: used.tracks.unwrap_or(before),
    }
}

fn ended_cohort(round: &OpenRound, cohort: &OpenCohort, used: &Used) -> EndedCohort {
    let number = cohort.handle.config.config().cohort;
    let end = cohort.end.as_ref();
    // Cohorts that were not opened stand before those that were.
    let records = used.record.iter().flat_map(|record| record.cohorts.iter().rev());
    let failure = records.clone().find(|record| record.cohort == number).and_then(|record| record.failure.clone());
    let failure = failure.or_else(|| no_result(used));
    let (weight, epsilon) = match end.map(|end| &end.reason) {
        Some(EndReason::Done { weight, epsilon, .. }) => {
            (*weight, Some(*epsilon).filter(|epsilon| epsilon.is_finite()))
        }
        _ => (0, None),
    };
    let has_sum = end.is_some_and(|end| end.sum.is_some());
    let done = has_sum && failure.is_none();
    let words = end.map(|end| words(round, &end.reason)).unwrap_or_default();
    let asked = end.and_then(|end| end.asked.as_ref());
    EndedCohort {
        cohort: number,
        name: cohort.name.clone(),
        done,
        outcome: failure.filter(|_| has_sum).map_or(words, |why| format!("the sum is not used: {why}")),
        members: end.map_or(0, |end| end.n.into()),
        survivors: asked.filter(|_| has_sum).map_or(0, |asked| asked.survivors.len() as u32),
        weight,
        sum: end.and_then(|end| end.sum).map(|hash| hash.to_string()).unwrap_or_default(),
        payload_bytes: cohort.handle.uploads.held_bytes(),
        epsilon,
        blamed: end.map(|end| end.blamed.iter().map(ToString::to_string).collect()).unwrap_or_default(),
    }
}

/// Why the round has no result though this cohort had a sum that decodes: the rule over the shards refused.
fn no_result(used: &Used) -> Option<String> {
    let record = used.record.as_ref().filter(|record| !record.succeeded)?;
    let refused = record.cohorts.iter().find(|closed| closed.name == ROBUST_RULE);
    Some(refused.and_then(|closed| closed.failure.clone()).unwrap_or_else(|| "the round has no result".to_owned()))
}

/// Why a cohort ended, for people.
fn words(round: &OpenRound, reason: &EndReason) -> String {
    match reason {
        EndReason::Stopped if round.called_off => {
            "called off: too few cohorts were left for the robust rule".to_owned()
        }
        reason => reason::words(reason),
    }
}

/// How the round ended, for people: as its one cohort did, or in sum.
fn outcome(round: &OpenRound, cohorts: &[EndedCohort], used: &Used) -> String {
    if round.withdrawn {
        return "called again: the roster has new members".to_owned();
    }
    let closed: Vec<String> =
        used.record.iter().flat_map(|record| &record.cohorts).filter_map(not_opened(cohorts)).collect();
    if let ([only], true) = (cohorts, closed.is_empty()) {
        return only.outcome.clone();
    }
    let done = cohorts.iter().filter(|cohort| cohort.done).count();
    let mut words = match cohorts.len() {
        0 => "nobody was called".to_owned(),
        all => format!("{done} of {all} cohorts have a sum that is used"),
    };
    closed.iter().for_each(|why| words.push_str(&format!("; {why}")));
    words
}

/// What is said of cohorts that were not opened, and of a rule that refused.
fn not_opened(cohorts: &[EndedCohort]) -> impl Fn(&CohortRecord) -> Option<String> + '_ {
    let opened = |name: &str| cohorts.iter().any(|cohort| cohort.name == name);
    move |record| {
        let why = record.failure.as_ref().filter(|_| !opened(&record.name))?;
        Some(format!("{}: {why}", record.name))
    }
}
