//! Answers of engines that are not exact: the worst that they cost is reputation.

use super::*;
use crate::input::Measured;
use crate::tolerance::{Calibration, Deviation, EnginePair, RowError, ToleranceClass, ToleranceTable};

const HONEST: Calibration = Calibration { tolerance_ppb: 1_000, lean_quartiles_ppb: (-50, 50), size_decile_ppb: 200 };

/// Workers whose engines are compared by tolerance; everything is checked before it is used, and settled late.
fn story(workers: u8) -> (Story, ToleranceClass) {
    let mut story = Story::new(workers, Checks::Verified);
    let pair = EnginePair { engine: "cuda".into(), reference: "native".into(), weights: "q4_0".into() };
    story.core.settings.tolerances = ToleranceTable::new(vec![(pair.clone(), HONEST)]);
    let class = story.core.settings.tolerances.class(&pair).expect("just entered");
    story.settles_late = true;
    (story, class)
}

fn deviation(size_ppb: u64) -> Deviation {
    Deviation { worst_ppb: size_ppb, drawn: RowError { size_ppb, lean_ppb: size_ppb as i64 } }
}

/// Settles everything that waits: workers deviate by so much from each other and from the checkpoint.
fn settle(story: &mut Story, class: ToleranceClass, of: impl Fn(NodeId) -> u64) -> Vec<Told> {
    while let Some(input) = story.unsettled.pop_front() {
        let input = match input {
            Input::Compared { check, .. } => {
                let most = story.kept.keys().map(|task| of(story.sent[task])).max().unwrap_or(0);
                Input::Deviated { check, class, deviation: deviation(most) }
            }
            Input::Recomputed { check, .. } => {
                let measured =
                    |task: &TaskId| Measured { task: *task, class, deviation: deviation(of(story.sent[task])) };
                let answers = story.kept.keys().map(measured).collect();
                Input::Measured { check, answers }
            }
            other => other,
        };
        story.feed(input);
    }
    std::mem::take(&mut story.told)
}

#[test]
fn answers_within_the_tolerance_are_the_same() {
    let (mut story, class) = story(2);
    for round in 1..=30 {
        story.call_for(&[0]);
        let told = settle(&mut story, class, |_| 150);
        assert!(told.contains(&Told::Accepted(0)) && told.contains(&Told::Done), "{round}: {told:?}");
    }
    assert_eq!((story.core.counters().disputes, story.core.counters().beyond_tolerance), (0, 0));
    assert!(!story.standing(1).is_on_probation());
    story.at_rest();
}

#[test]
fn one_beyond_the_tolerance_is_not_used_and_loses_reputation_alone() {
    let (mut story, class) = story(2);
    let wrong = |worker| if worker == node(1) { 5_000 } else { 10 };
    let mut told = Vec::new();
    for _ in 0..20 {
        story.call_for(&[0]);
        told.extend(settle(&mut story, class, wrong));
    }
    let counters = story.core.counters();
    assert!(counters.disputes > 0 && counters.beyond_tolerance > 0, "{counters:?}");
    assert!(told.contains(&Told::Recomputed) && story.standing(1).is_on_probation());
    assert!(story.standing(1).score() < 0.5 && story.standing(2).score() > 0.5);
    assert!(!told.iter().any(|told| matches!(told, Told::Convicted(_) | Told::Expelled(_))), "{told:?}");
    assert_eq!((story.core.workers().len(), counters.liars), (2, 0));
    story.at_rest();
}

#[test]
fn who_stays_just_inside_the_tolerance_begins_probation_again() {
    let (mut story, class) = story(1);
    for _ in 0..12 {
        story.call_for(&[0]);
        settle(&mut story, class, |_| 800);
    }
    assert!(!story.standing(1).is_on_probation() && story.core.counters().drifts == 0, "too early");
    for _ in 12..20 {
        story.call_for(&[0]);
        settle(&mut story, class, |_| 800);
    }
    assert_eq!((story.core.counters().drifts, story.core.counters().beyond_tolerance), (1, 0));
    assert!(story.standing(1).is_on_probation() && story.core.workers().len() == 1);
}

#[test]
fn a_class_without_calibration_changes_nobodys_standing() {
    let (mut story, class) = story(1);
    story.core.settings.tolerances = ToleranceTable::default();
    story.call_for(&[0]);
    let told = settle(&mut story, class, |_| 0);
    assert!(!told.contains(&Told::Accepted(0)), "not used: {told:?}");
    assert_eq!(story.standing(1).streak, 0);
}
