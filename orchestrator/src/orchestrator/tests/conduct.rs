//! What is known of a worker from before: how long it takes, its faults, its silence, its refusals.

use super::*;
use crate::input::Speed;
use crate::settings::SILENT_FOR;

const SECOND: u64 = 1_000_000;

/// Workers whose pace is known, with the deadlines that the product has.
fn settled(workers: u8) -> Story {
    let mut story = Story::new(workers, 1);
    (story.core.settings.task_deadline, story.core.settings.backups_percent) = (Duration::from_secs(2), 0);
    for _ in 0..40 * u32::from(workers) {
        let task = sent(&story.call(&[0])).remove(0);
        story.answer(task.0, task.1);
    }
    story
}

fn is_sent_away(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Expel { .. }))
}

fn leave(story: &mut Story, number: u8) -> Vec<Effect> {
    story.step(Input::WorkerLeft { worker: node(number) })
}

/// How long a call waits until somebody else than the first is asked, in milliseconds.
fn waits(story: &mut Story) -> u64 {
    (1..5_000).find(|_| !sent(&story.tick(1_000)).is_empty()).expect("somebody else is asked")
}

#[test]
fn who_comes_back_is_taken_as_it_left() {
    let mut story = settled(1);
    let speed = |story: &Story| story.core.workers().first().map(|worker| (worker.row_expert_time, worker.overhead));
    let before = speed(&story);
    leave(&mut story, 1);
    story.join(1);
    assert!(before.is_some_and(|(time, _)| time.is_some()) && speed(&story) == before, "{:?}", speed(&story));
}

#[test]
fn a_newcomer_is_waited_for_as_long_as_anybody() {
    for (backups, longest) in [(0, 21), (10, 2)] {
        let mut story = settled(1);
        story.core.settings.backups_percent = backups;
        (0..20).for_each(|_| {
            let task = sent(&story.call(&[0])).remove(0);
            story.answer(task.0, task.1);
        });
        story.join(2);
        assert_eq!(sent(&story.call(&[0]))[0].1, node(2), "it is tried");
        assert!(waits(&mut story) <= longest, "{backups} backups");
    }
}

#[test]
fn who_was_asked_in_vain_is_not_tried_again_for_coming_back() {
    let mut story = settled(1);
    story.join(2);
    let claim = Input::WorkerCalibrated { worker: node(2), speeds: vec![Speed { rows: 1, row_ns: 1 }] };
    story.step(claim.clone());
    assert_eq!(sent(&story.call(&[0]))[0].1, node(2));
    let again = sent(&leave(&mut story, 2)).remove(0);
    story.answer(again.0, again.1);
    story.join(2);
    story.step(claim);
    for pause in [0, 1, 100, 100_000] {
        story.now += pause * SECOND;
        let task = sent(&story.call(&[0])).remove(0);
        assert_eq!(task.1, node(1), "after {pause} s");
        story.answer(task.0, task.1);
    }
}

#[test]
fn who_is_known_as_late_from_before_is_not_tried_first() {
    let mut story = settled(1);
    story.join(2);
    let standing = Standing { late: 9.0, ..Standing::default() };
    story.step(Input::WorkerKnown { worker: node(2), standing });
    assert_eq!(sent(&story.call(&[0]))[0].1, node(1));
}

#[test]
fn who_is_silent_again_and_again_is_turned_away_for_twice_as_long_each_time() {
    let mut story = Story::new(0, 1);
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let left = story.now;
        while is_sent_away(&story.join(1)) {
            story.now += SECOND / 2;
        }
        pauses.push((story.now - left) / SECOND);
        assert_eq!(sent(&story.call(&[0])).len(), 1);
        // Before its deadline, and before the call is given up.
        story.now += 1_000;
        leave(&mut story, 1);
        story.step(Input::CallCancelled { call: CallId(story.calls) });
    }
    assert_eq!(pauses, [0, 0, 1, 2, 4].map(|times| times * SILENT_FOR.as_secs()));
    assert_eq!(story.core.in_flight(), InFlight::default());
}

#[test]
fn who_never_answers_goes_though_nobody_asks_it_again() {
    let mut story = settled(1);
    story.join(2);
    assert_eq!(sent(&story.call(&[0]))[0].1, node(2), "it is tried");
    let mut effects = Vec::new();
    for _ in 0..4 {
        story.now += 2 * SECOND;
        let asked = story.call(&[0]);
        for (task, worker, _) in sent(&asked) {
            assert_eq!(worker, node(1));
            effects.extend(story.answer(task, worker));
        }
        effects.extend(asked);
    }
    assert!(is_sent_away(&effects), "{effects:?}");
}

#[test]
fn who_loses_its_link_in_the_midst_of_its_work_may_come_back_at_once() {
    let mut story = settled(2);
    for _ in 0..5 {
        for _ in 0..40 {
            let task = sent(&story.call(&[0])).remove(0);
            story.answer(task.0, task.1);
        }
        let lost = sent(&story.call(&[0])).remove(0).1;
        leave(&mut story, lost.0[0]);
        assert!(!is_sent_away(&story.join(lost.0[0])));
    }
}

/// A call that its only worker cannot answer; what followed.
fn fault(story: &mut Story) -> Vec<Effect> {
    let task = sent(&story.call(&[0])).remove(0);
    let effects = story.fault(task.0, task.1, Fault::Malformed);
    story.step(Input::CallCancelled { call: CallId(story.calls) });
    effects
}

#[test]
fn faults_count_over_reconnections() {
    let mut story = Story::new(1, 1);
    let mut effects = Vec::new();
    for _ in 0..3 {
        effects = fault(&mut story);
        leave(&mut story, 1);
        story.join(1);
    }
    assert!(is_sent_away(&effects) && story.core.workers().is_empty());
}

#[test]
fn a_fault_now_and_then_is_forgiven() {
    let mut story = Story::new(1, 1);
    for _ in 0..50 {
        assert!(!is_sent_away(&fault(&mut story)));
        story.now += 2 * 3_600 * SECOND;
    }
}

#[test]
fn who_is_forgotten_for_want_of_room_leaves_nothing_to_its_successor() {
    let mut story = settled(1);
    leave(&mut story, 1);
    let slot = story.core.registry.roster.slot(node(1)).expect("known");
    story.core.registry.forget(slot);
    story.join(2);
    assert_eq!(story.core.registry.slot(node(2)), Some(slot));
    assert_eq!(story.core.workers()[0].row_expert_time, None);
}

/// A call of so many rows at each of these experts; its tasks, and how long they have.
fn large(story: &mut Story, experts: u16, rows: u32) -> Vec<(TaskId, NodeId, u32, Duration)> {
    story.calls += 1;
    let experts = (0..experts).map(|expert| ExpertLoad { expert, rows }).collect();
    let call = Input::Call { call: CallId(story.calls), layer: 0, experts, redundancy: Redundancy::One };
    let sent = story.step(call).into_iter().filter_map(|effect| match effect {
        Effect::SendTask { task, worker, deadline, experts, .. } => {
            Some((task, worker, u32::try_from(experts.len()).unwrap_or(0), deadline))
        }
        _ => None,
    });
    sent.collect()
}

#[test]
fn a_large_task_has_time_for_all_its_rows_and_experts() {
    let mut story = Story::new(2, 8);
    story.core.settings.task_deadline = Duration::from_secs(2);
    for _ in 0..80 {
        for (task, worker, experts, _) in large(&mut story, 1, 32) {
            story.now += 32_500;
            story.step(Input::Answered { task, worker, compute_us: 32_000 * experts });
        }
    }
    let tasks = large(&mut story, 8, 128);
    for (_, _, experts, deadline) in &tasks {
        let compute = Duration::from_millis(128) * *experts;
        assert!((2 * compute..3 * compute).contains(deadline), "{experts} experts: {deadline:?}");
    }
    assert!(sent(&story.tick(600_000)).is_empty(), "nobody else is asked: each is expected to take half a second");
    for (task, worker, ..) in tasks {
        story.step(Input::Answered { task, worker, compute_us: 512_000 });
    }
    assert_eq!((story.core.counters().late, story.core.counters().backups), (0, 0));
}

#[test]
fn who_refuses_everything_is_not_asked_while_others_answer() {
    for refusal in [Fault::Overloaded, Fault::Expired] {
        let mut story = settled(2);
        story.core.settings.checks = Checks::SAMPLED;
        for number in 1..=2 {
            let standing = Standing { valid: 300.0, streak: 300, timely: 100.0, ..Standing::default() };
            story.step(Input::WorkerKnown { worker: node(number), standing });
        }
        let mut refused = Vec::new();
        for call in 0..600 {
            // Long enough for doubts to fade.
            story.now += 100 * SECOND;
            let mut task = sent(&story.call(&[0])).remove(0);
            if task.1 == node(1) {
                refused.push(call);
                task = sent(&story.fault(task.0, task.1, refusal)).remove(0);
            }
            story.answer(task.0, task.1);
        }
        let standing = story.core.standing(node(1)).expect("known");
        assert!(standing.timeliness() < 1.0 && standing.streak >= 300, "{standing:?}");
        assert!(refused.iter().filter(|call| **call >= 300).count() <= 3, "{refusal:?}: {refused:?}");
    }
}
