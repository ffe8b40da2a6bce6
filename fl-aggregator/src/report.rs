//! A finished round in words, and a task's curves as a plot of text.

mod plot;

use crate::checkpoint::{CohortRecord, RoundKind, RoundRecord};
use std::collections::BTreeMap;
use std::fmt::Write;

pub use plot::plot;

/// One line in a plot or an export: a name, and (round, value) in ascending rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What is measured.
    pub name: String,
    /// Round and value.
    pub points: Vec<(u64, f64)>,
}

/// Everything in a history that has a number for a round: metrics, ε, the size of the step, who took part.
#[must_use]
pub fn curves(history: &[RoundRecord]) -> Vec<Curve> {
    let mut all: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    for record in history {
        for (name, value) in values(record) {
            all.entry(name).or_default().push((record.round, value));
        }
    }
    all.into_iter().map(|(name, points)| Curve { name, points }).collect()
}

/// The numbers of one round by name: metrics as they are called, the rest under `round/`.
#[must_use]
pub fn values(record: &RoundRecord) -> BTreeMap<String, f64> {
    let mut all = record.metrics.clone();
    let used = || record.cohorts.iter().filter(|cohort| cohort.failure.is_none());
    if record.kind != RoundKind::Evaluate && used().count() > 0 {
        let squares: f64 = used().map(|cohort| cohort.update_norm.powi(2)).sum();
        all.insert("round/update_norm".to_owned(), (squares / used().count() as f64).sqrt());
        all.insert("round/weight".to_owned(), used().map(|cohort| cohort.weight).sum());
    }
    let survivors: u32 = used().map(|cohort| cohort.survivors).sum();
    all.insert("round/survivors".to_owned(), f64::from(survivors));
    all.insert("round/seconds".to_owned(), record.took_ms as f64 / 1000.0);
    if let Some(spent) = &record.spent {
        all.insert("privacy/epsilon".to_owned(), spent.epsilon);
    }
    all
}

/// What happened in a round, as `neuro fl show` prints it.
#[must_use]
pub fn explain(record: &RoundRecord) -> String {
    let what = match record.kind {
        RoundKind::Train => format!("training with {}", record.strategy),
        RoundKind::Router => format!("training of the router with {}", record.strategy),
        RoundKind::Evaluate => "an evaluation".to_owned(),
    };
    let outcome = match (record.succeeded, record.kind) {
        (false, _) => "came to nothing; the model is as it was",
        (true, RoundKind::Evaluate) => "has its figures",
        (true, _) => "moved the model",
    };
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(text, "Round {}, {what}, {outcome}.", record.round);
    let _ = writeln!(text, "It took {:.1} s.", record.took_ms as f64 / 1000.0);
    record.cohorts.iter().for_each(|cohort| text.push_str(&explain_cohort(cohort)));
    for (name, value) in &record.metrics {
        let _ = writeln!(text, "  {name}: {value:.4} (weighted mean; nobody's own figure is known)");
    }
    let _ = match &record.spent {
        Some(spent) => writeln!(
            text,
            "So far ε = {:.3} at δ = {:.0e} for the participant who took part most, {} releases.",
            spent.epsilon, spent.delta, spent.releases
        ),
        None => writeln!(text, "No noise was added: nothing is promised beyond that only sums are seen."),
    };
    text
}

fn explain_cohort(cohort: &CohortRecord) -> String {
    let name = &cohort.name;
    match &cohort.failure {
        Some(why) => format!("  {name}: not used; {why}\n"),
        None => format!(
            "  {name}: {} of {} took part to the end, weight {}, mean update of norm {:.4}\n",
            cohort.survivors, cohort.members, cohort.weight, cohort.update_norm
        ),
    }
}

#[cfg(test)]
pub(crate) mod tests;
