//! What a task has cost each participant: every noisy sum that it took part in, composed.
//!
//! A participant in several cohorts of a round (experts, router) makes a release in each, so its ε composes all of them.
//! What is told for the model is the greatest ε over its participants. A failed unmasking counts as a release. Without
//! noise nothing is promised, and the ledger says so instead of telling a number.

use crate::error::EncodeError;
use crate::update::EncodingPlan;
use neuro_primitives::NodeId;
use neuro_privacy::{Accountant, Event, EventError, PldAccountant, QueryError, RdpAccountant, Spent};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One cohort's release, a line of `ledger.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// The round.
    pub round: u64,
    /// The cohort within it.
    pub cohort: u16,
    /// What was released; none: a sum without noise.
    pub event: Option<Event>,
    /// Who is charged, 64 hexadecimal digits each, ascending.
    pub members: Vec<String>,
    /// What the model has cost after it, the greatest over its participants; none where that is no longer finite.
    pub spent: Option<Spent>,
}

/// A release that cannot be counted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LedgerError {
    /// The event is none that is counted.
    #[error(transparent)]
    Event(#[from] EventError),
    /// δ is no probability.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A line that is none.
    #[error("line {line} of the ledger: {why}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// A sum whose cost is not known.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CostError {
    /// No such noise.
    #[error(transparent)]
    Noise(#[from] EncodeError),
    /// It cannot be counted.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// All releases of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    delta: f64,
    /// Different events, in the order of their first release.
    events: Vec<Event>,
    /// How often each member took part in each event.
    charges: BTreeMap<String, BTreeMap<usize, u32>>,
    unprotected: u32,
}

impl Ledger {
    /// Nothing spent yet; ε is told at `delta`.
    #[must_use]
    pub const fn new(delta: f64) -> Self {
        Self { delta, events: Vec::new(), charges: BTreeMap::new(), unprotected: 0 }
    }

    /// Reads the lines of `ledger.jsonl`.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn replay(delta: f64, text: &str) -> Result<Self, LedgerError> {
        let mut ledger = Self::new(delta);
        for (index, line) in text.lines().enumerate() {
            let read: Result<LedgerLine, _> = serde_json::from_str(line);
            let line = read.map_err(|error| LedgerError::Line { line: index + 1, why: error.to_string() })?;
            ledger.count(line.event.as_ref(), line.members.into_iter().collect())?;
        }
        Ok(ledger)
    }

    /// Charges `members` with one release and returns the line to keep.
    ///
    /// # Errors
    /// An event that no accountant counts, or a δ that is no probability. Nothing is charged then.
    pub fn charge(
        &mut self,
        round: u64,
        cohort: u16,
        event: Option<Event>,
        members: &[NodeId],
    ) -> Result<LedgerLine, LedgerError> {
        let names: BTreeSet<String> = members.iter().map(ToString::to_string).collect();
        let mut after = self.clone();
        after.count(event.as_ref(), names.clone())?;
        // Infinite is no number of JSON's, and no promise.
        let spent = after.spent()?.filter(|spent| spent.epsilon.is_finite());
        *self = after;
        Ok(LedgerLine { round, cohort, event, members: names.into_iter().collect(), spent })
    }

    fn count(&mut self, event: Option<&Event>, members: BTreeSet<String>) -> Result<(), LedgerError> {
        let Some(event) = event else {
            self.unprotected += 1;
            return Ok(());
        };
        event.check()?;
        let known = self.events.iter().position(|known| known == event);
        let index = known.unwrap_or_else(|| {
            self.events.push(event.clone());
            self.events.len() - 1
        });
        for member in members {
            *self.charges.entry(member).or_default().entry(index).or_default() += 1;
        }
        Ok(())
    }

    /// Sums that went out without noise.
    #[must_use]
    pub const fn unprotected(&self) -> u32 {
        self.unprotected
    }

    /// What the model has cost the participant who paid most; none where a sum without noise went out.
    ///
    /// # Errors
    /// A δ that is no probability.
    pub fn spent(&self) -> Result<Option<Spent>, LedgerError> {
        self.greatest(None)
    }

    /// What it would have cost after one more release of `event` to everybody: what is shown before a round, and what
    /// a bound on ε is compared with.
    ///
    /// # Errors
    /// An event that no accountant counts, or a δ that is no probability.
    pub fn after(&self, event: &Event) -> Result<Option<Spent>, LedgerError> {
        self.greatest(Some(event))
    }

    /// Members with the same charges cost the same, so each different set of charges is composed once.
    fn greatest(&self, next: Option<&Event>) -> Result<Option<Spent>, LedgerError> {
        if self.unprotected > 0 {
            return Ok(None);
        }
        let mut different: BTreeSet<&BTreeMap<usize, u32>> = self.charges.values().collect();
        let nothing = BTreeMap::new();
        different.insert(&nothing);
        let mut most = Spent { epsilon: 0.0, delta: self.delta, releases: 0 };
        for charges in different {
            let spent = self.compose(charges, next)?;
            if spent.epsilon > most.epsilon {
                most = spent;
            }
        }
        Ok(Some(most))
    }

    fn compose(&self, charges: &BTreeMap<usize, u32>, next: Option<&Event>) -> Result<Spent, LedgerError> {
        let counted = charges.iter().map(|(index, times)| (&self.events[*index], *times));
        composed(counted.chain(next.map(|event| (event, 1))), self.delta)
    }
}

/// What these releases cost together, each as often as it says: the lower of both accountants' ε, where both count. What
/// a participant's own account and the aggregator's ledger go by.
///
/// # Errors
/// An event that no accountant counts, or a δ that is no probability.
pub fn composed<'a>(releases: impl IntoIterator<Item = (&'a Event, u32)>, delta: f64) -> Result<Spent, LedgerError> {
    let events: Vec<(&Event, u32)> = releases.into_iter().collect();
    if events.is_empty() {
        return Ok(Spent { epsilon: 0.0, delta, releases: 0 });
    }
    let mut renyi = RdpAccountant::new();
    for (event, times) in &events {
        renyi.compose(event, *times)?;
    }
    let mut epsilon = renyi.epsilon(delta)?;
    let mut losses = PldAccountant::new();
    if events.iter().all(|(event, times)| losses.compose(event, *times).is_ok()) {
        epsilon = epsilon.min(losses.epsilon(delta)?);
    }
    let releases = events.iter().map(|(_, times)| times).sum();
    Ok(Spent { epsilon, delta, releases })
}

/// What one sum of `members` vectors costs by itself, at the plan's δ; none without noise.
///
/// # Errors
/// Settings for which there is no noise, or that no accountant counts.
pub fn cost(plan: &EncodingPlan, members: u16, honest_at_least: u16) -> Result<Option<Spent>, CostError> {
    let (Some(event), Some(delta)) = (plan.release(members, honest_at_least)?, plan.delta()) else { return Ok(None) };
    Ok(Some(composed([(&event, 1)], delta)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_privacy::integer_bounds;

    fn event() -> Event {
        Event::Skellam { variance: 1e6, bounds: integer_bounds(100.0, 64, 0.6), distance_log2: -80.0 }
    }

    fn members(range: std::ops::Range<u8>) -> Vec<NodeId> {
        range.map(|byte| NodeId([byte; 32])).collect()
    }

    fn epsilon(ledger: &Ledger) -> f64 {
        ledger.spent().unwrap().unwrap().epsilon
    }

    #[test]
    fn the_participant_who_paid_most_is_told() {
        let mut ledger = Ledger::new(1e-5);
        assert_eq!(epsilon(&ledger), 0.0);
        ledger.charge(1, 0, Some(event()), &members(0..5)).unwrap();
        let once = epsilon(&ledger);
        ledger.charge(1, 1, Some(event()), &members(5..9)).unwrap();
        assert_eq!(epsilon(&ledger), once, "other participants");
        let foreseen = ledger.after(&event()).unwrap().unwrap();
        ledger.charge(2, 0, Some(event()), &members(4..6)).unwrap();
        assert!(epsilon(&ledger) > once);
        assert_eq!(ledger.spent().unwrap().unwrap(), foreseen);
        assert_eq!(foreseen.releases, 2);
    }

    #[test]
    fn a_kept_ledger_goes_on_where_it_was() {
        let mut ledger = Ledger::new(1e-5);
        let mut text = String::new();
        for round in 1..4 {
            let line = ledger.charge(round, 0, Some(event()), &members(0..round as u8 + 2)).unwrap();
            text += &format!("{}\n", serde_json::to_string(&line).unwrap());
        }
        assert_eq!(Ledger::replay(1e-5, &text).unwrap(), ledger);
        let error = Ledger::replay(1e-5, &format!("{text}rubbish")).unwrap_err();
        assert!(matches!(error, LedgerError::Line { line: 4, .. }));
    }

    #[test]
    fn one_sum_without_noise_and_nothing_is_promised() {
        let mut ledger = Ledger::new(1e-5);
        ledger.charge(1, 0, None, &members(0..3)).unwrap();
        assert_eq!(ledger.charge(2, 0, Some(event()), &members(0..3)).unwrap().spent, None);
        assert_eq!(ledger.unprotected(), 1);
    }

    #[test]
    fn a_cost_beyond_all_numbers_is_no_promise_and_can_be_read_again() {
        let mut ledger = Ledger::new(1e-5);
        let next_to_no_noise =
            Event::Skellam { variance: 1.0, bounds: integer_bounds(1000.0, 64, 0.6), distance_log2: -80.0 };
        let line = ledger.charge(1, 0, Some(next_to_no_noise), &members(0..3)).unwrap();
        assert_eq!(line.spent, None);
        assert_eq!(Ledger::replay(1e-5, &serde_json::to_string(&line).unwrap()).unwrap(), ledger);
    }

    #[test]
    fn an_event_that_is_none_charges_nobody() {
        let mut ledger = Ledger::new(1e-5);
        let before = ledger.clone();
        let bad = Event::Gaussian { noise_multiplier: f64::NAN };
        assert!(ledger.charge(1, 0, Some(bad), &members(0..3)).is_err());
        assert_eq!(ledger, before);
    }
}
