//! Checks that end otherwise than with two answers that are the same.

use super::*;
use crate::validator::verdict::UNUSED_AT_MOST;

/// Checks everything that trusted workers answer, after it was used.
const ALL: Checks = Checks::Sampled { at_least_one_in: 1, meanwhile: 1_000 };

/// A lie of worker 1 that a comparison with worker 2 waits to show.
fn lie_before_its_comparison() -> Story {
    let mut story = Story::new(2, Checks::Verified);
    story.settles_late = true;
    // The first draw sends a check to the checkpoint at once.
    story.core.validator.draws = 1;
    story.lies.insert(node(1), 5);
    story.call_for(&[0]);
    let asked: Vec<NodeId> = story.asked.iter().map(|(_, worker, _)| *worker).collect();
    assert_eq!(asked, [node(1), node(2)], "the one that is checked, and its witness");
    assert!(matches!(story.unsettled.front(), Some(Input::Compared { same: false, .. })), "{:?}", story.unsettled);
    story
}

#[test]
fn any_fault_that_is_held_against_a_worker_begins_its_probation_again() {
    for (fault, begins) in [
        (Fault::Malformed, true),
        (Fault::BadValue, true),
        (Fault::NotHeld, true),
        (Fault::Refused, true),
        (Fault::Overloaded, false),
        (Fault::Undelivered, false),
    ] {
        let mut story = Story::trusted(1, SAMPLED);
        story.silent.push(node(1));
        story.call();
        let (task, worker) = story.sent.pop_first().expect("sent");
        story.feed(Input::Faulty { task, worker, fault });
        assert_eq!(story.standing(1).is_on_probation(), begins, "{fault:?}");
        assert!(story.standing(1).invalid < 0.1, "no result was wrong: {fault:?}");
    }
}

#[test]
fn a_lie_is_not_lost_with_the_call_that_it_was_told_in() {
    let mut story = lie_before_its_comparison();
    story.feed(Input::CallCancelled { call: CallId(story.calls) });
    let told = story.settle();
    assert!(told.contains(&Told::Convicted(node(1))) && told.contains(&Told::Expelled(node(1))), "{told:?}");
    assert!(
        told.iter().all(|told| !matches!(told, Told::Accepted(_) | Told::Recomputed)),
        "of no use any more: {told:?}"
    );
    story.at_rest();
}

#[test]
fn checks_without_a_call_are_finished_up_to_a_bound() {
    let mut story = Story::new(1, Checks::Verified);
    story.settles_late = true;
    for _ in 0..UNUSED_AT_MOST + 50 {
        story.call();
        story.feed(Input::CallCancelled { call: CallId(story.calls) });
    }
    assert_eq!((story.core.in_flight().checks, story.kept.len()), (UNUSED_AT_MOST, UNUSED_AT_MOST));
    story.settle();
    story.at_rest();
    assert_eq!(story.standing(1).streak as usize, UNUSED_AT_MOST, "what they show counts");
}

#[test]
fn in_a_dispute_that_nobody_can_settle_both_lose_and_nobody_goes() {
    let mut story = Story::trusted(2, ALL);
    story.recomputes = false;
    story.lies.insert(node(1), 5);
    let before = [1, 2].map(|number| story.standing(number).score());
    let mut told = Vec::new();
    while story.core.counters().disputes == 0 {
        told.extend(story.call());
    }
    (0..10).for_each(|_| drop(story.later(1_000)));
    assert!(told.iter().any(|told| matches!(told, Told::Accepted(_))), "{told:?}");
    for (number, before) in [1, 2].into_iter().zip(before) {
        assert!(story.standing(number).is_on_probation() && story.standing(number).score() < before, "{number}");
    }
    assert!(!told.contains(&Told::Convicted(node(1))) && story.core.workers().len() == 2);
    story.at_rest();
}

#[test]
fn a_check_of_a_used_answer_that_cannot_be_settled_is_tried_again() {
    let mut story = Story::trusted(1, ALL);
    story.recomputes = false;
    let before = story.standing(1);
    assert_eq!(story.call(), [Told::Accepted(0), Told::Done]);
    assert_eq!((story.core.in_flight().checks, story.standing(1).streak), (1, before.streak));
    story.recomputes = true;
    story.later(500);
    assert_eq!((story.core.in_flight().checks, story.standing(1).streak), (0, before.streak + 1));
    story.at_rest();
}

#[test]
fn little_is_used_while_a_check_cannot_be_settled_and_then_nothing_unchecked() {
    let mut story = Story::trusted(1, Checks::Sampled { at_least_one_in: 1, meanwhile: 16 });
    story.recomputes = false;
    let used = (0..40).flat_map(|_| story.call()).filter(|told| matches!(told, Told::Accepted(_))).count();
    assert_eq!(used, 16, "as many as may be used while one is being checked");
    (0..10).for_each(|_| drop(story.later(1_000)));
    assert!(story.standing(1).is_on_probation(), "{:?}", story.standing(1));
    assert!(story.standing(1).valid >= 300.0 && story.core.workers().len() == 1, "and no more than that");
}

#[test]
fn a_held_answer_does_not_wait_for_a_checkpoint_that_hangs_and_a_lie_in_it_is_found_all_the_same() {
    let mut story = Story::new(1, Checks::Verified);
    story.settles_late = true;
    story.lies.insert(node(1), 5);
    assert_eq!(story.call(), []);
    story.feed(Input::WorkerJoined { worker: node(2), memory_limit_bytes: 1_000 });
    story.later(4_900);
    let asked = story.asked.len();
    story.later(200);
    assert!(story.asked[asked..].iter().any(|(_, worker, _)| *worker == node(2)), "somebody else is asked");
    let told = story.settle();
    assert!(told.contains(&Told::Convicted(node(1))) && told.contains(&Told::Accepted(0)), "{told:?}");
    story.at_rest();
}

#[test]
fn a_witness_that_the_checkpoint_finds_right_is_credited_and_trusted_more() {
    let mut story = lie_before_its_comparison();
    let before = story.standing(2).streak;
    let told = story.settle();
    assert!(told.contains(&Told::Credited(node(2))) && told.contains(&Told::Convicted(node(1))), "{told:?}");
    assert!(!told.contains(&Told::Credited(node(1))) && story.standing(2).streak == before + 1);
}

#[test]
fn witnesses_of_answers_that_were_the_same_are_credited() {
    let mut story = Story::new(3, Checks::Verified);
    let told: Vec<Told> = (0..50).flat_map(|_| story.call()).collect();
    let credited = told.iter().filter(|told| matches!(told, Told::Credited(_))).count() as u64;
    assert_eq!(credited, story.core.counters().witness_tasks, "{credited}");
}

#[test]
fn a_call_does_not_fail_while_an_answer_of_its_is_being_checked() {
    let mut story = Story::new(3, Checks::Verified);
    (story.settles_late, story.core.settings.max_attempts) = (true, 2);
    story.silent = vec![node(2), node(3)];
    story.calls = 1;
    let experts = vec![ExpertLoad { expert: 0, rows: 1 }];
    story.feed(Input::Call { call: CallId(1), layer: 0, experts, redundancy: Redundancy::Two });
    assert!(!story.unsettled.is_empty(), "the first answer waits for its check");
    // Everybody else refuses whatever is asked.
    let refused = |story: &Story, known: usize| -> Vec<(TaskId, NodeId)> {
        story.sent.iter().skip(known).map(|(task, worker)| (*task, *worker)).collect()
    };
    let mut known = 0;
    while known < story.sent.len() {
        let next = refused(&story, known);
        known = story.sent.len();
        for (task, worker) in next.into_iter().filter(|(_, worker)| *worker != node(1)) {
            story.feed(Input::Faulty { task, worker, fault: Fault::Overloaded });
        }
    }
    assert!(known > 2 && !story.told.contains(&Told::Failed), "{:?}", story.told);
    let told = story.settle();
    assert!(told.contains(&Told::Accepted(0)) && told.contains(&Told::Done), "{told:?}");
    story.at_rest();
}
