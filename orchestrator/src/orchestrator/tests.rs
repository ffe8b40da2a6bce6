//! The life of calls and workers, one short story per test.

use std::time::Duration;

use neuro_primitives::{CallId, TaskId};

use super::*;
use crate::effect::CallError;
use crate::input::{ExpertLoad, Fault, Redundancy};
use crate::settings::{Checks, EXPELLED_FOR, ExpertSpec, LOAD_RETRY};

const DEADLINE: u64 = 100_000;

struct Story {
    core: Orchestrator,
    now: u64,
    calls: u64,
    redundancy: Redundancy,
}

/// What was sent: task, worker, experts.
type Sent = Vec<(TaskId, NodeId, Vec<u16>)>;

fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

impl Story {
    /// `workers` workers that all hold `experts` experts of one layer.
    fn new(workers: u8, experts: u16) -> Self {
        let specs = (0..experts).map(|expert| ExpertSpec { id: ExpertId { layer: 0, expert }, bytes: 10 }).collect();
        let settings = Settings {
            replicas: usize::from(workers.max(2)),
            task_deadline: Duration::from_micros(DEADLINE),
            call_patience: Duration::from_secs(1),
            max_attempts: 3,
            max_faults: 3,
            checks: Checks::Trusting,
            ..Settings::new(specs)
        };
        let mut story = Self { core: Orchestrator::new(settings), now: 0, calls: 0, redundancy: Redundancy::One };
        for number in 1..=workers {
            story.join(number);
        }
        story
    }

    /// A worker joins and loads at once what it is told.
    fn join(&mut self, number: u8) -> Vec<Effect> {
        let effects = self.step(Input::WorkerJoined { worker: node(number), memory_limit_bytes: 1_000 });
        self.load(&effects);
        effects
    }

    fn load(&mut self, effects: &[Effect]) -> Vec<Effect> {
        let mut after = Vec::new();
        for effect in effects {
            if let Effect::Hold { worker, experts } = effect {
                after.extend(self.step(Input::WorkerReady { worker: *worker, experts: experts.clone() }));
            }
        }
        after
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        self.core.step(input, Moment(self.now))
    }

    fn tick(&mut self, after_us: u64) -> Vec<Effect> {
        self.now += after_us;
        self.step(Input::Tick)
    }

    fn call(&mut self, experts: &[u16]) -> Vec<Effect> {
        self.calls += 1;
        let experts = experts.iter().map(|expert| ExpertLoad { expert: *expert, rows: 1 }).collect();
        self.step(Input::Call { call: CallId(self.calls), layer: 0, experts, redundancy: self.redundancy })
    }

    fn answer(&mut self, task: TaskId, worker: NodeId) -> Vec<Effect> {
        self.now += 500;
        self.step(Input::Answered { task, worker, compute_us: 200 })
    }

    fn fault(&mut self, task: TaskId, worker: NodeId, fault: Fault) -> Vec<Effect> {
        self.step(Input::Faulty { task, worker, fault })
    }
}

fn sent(effects: &[Effect]) -> Sent {
    let task = |effect: &Effect| match effect {
        Effect::SendTask { task, worker, experts, .. } => Some((*task, *worker, experts.clone())),
        _ => None,
    };
    effects.iter().filter_map(task).collect()
}

fn accepted(effects: &[Effect]) -> Vec<Vec<u16>> {
    let answer = |effect: &Effect| match effect {
        Effect::AcceptAnswer { experts, .. } => Some(experts.clone()),
        _ => None,
    };
    effects.iter().filter_map(answer).collect()
}

fn failure(effects: &[Effect]) -> Option<CallError> {
    effects.iter().find_map(|effect| match effect {
        Effect::CallFailed { error, .. } => Some(error.clone()),
        _ => None,
    })
}

fn is_done(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::CallDone { .. }))
}

#[test]
fn a_call_is_done_when_every_expert_was_accepted() {
    let mut story = Story::new(2, 4);
    let tasks = sent(&story.call(&[3, 1]));
    assert_eq!(tasks.iter().map(|(_, worker, _)| *worker).collect::<Vec<_>>(), [node(1), node(2)]);
    let first = story.answer(tasks[0].0, tasks[0].1);
    assert_eq!((accepted(&first), is_done(&first)), (vec![tasks[0].2.clone()], false));
    let last = story.answer(tasks[1].0, tasks[1].1);
    assert!(is_done(&last));
    assert_eq!(story.core.in_flight(), InFlight::default());
    assert_eq!(story.core.expert_use(0), [0, 1, 0, 1]);
}

#[test]
fn a_call_without_experts_is_done_and_one_for_an_unknown_expert_fails() {
    let mut story = Story::new(1, 4);
    assert!(is_done(&story.call(&[])));
    let error = failure(&story.call(&[1, 9])).expect("a failure");
    assert_eq!(error, CallError::UnknownExpert { expert: ExpertId { layer: 0, expert: 9 } });
    assert!(!error.is_retryable());
}

#[test]
fn a_late_task_goes_to_another_holder_and_the_first_answer_wins() {
    let mut story = Story::new(2, 1);
    let first = sent(&story.call(&[0])).remove(0);
    let effects = story.tick(2 * DEADLINE);
    let second = sent(&effects).remove(0);
    assert_ne!(first.1, second.1);
    assert!(is_done(&story.answer(second.0, second.1)));
    assert!(story.answer(first.0, first.1).is_empty(), "the late answer is ignored");
    let counters = story.core.counters();
    assert_eq!((counters.reissues, counters.late, counters.accepted, counters.ignored), (1, 1, 1, 1));
}

/// The task for {0, 1} at one worker is late, and re-issued as two tasks.
fn split_reissue() -> (Story, (TaskId, NodeId, Vec<u16>), Sent) {
    let mut story = Story::new(1, 2);
    let old = sent(&story.call(&[0, 1])).remove(0);
    assert_eq!(old.2, [0, 1]);
    for number in 2..=3 {
        let effects = story.step(Input::WorkerJoined { worker: node(number), memory_limit_bytes: 10 });
        story.load(&effects);
    }
    let again = sent(&story.tick(2 * DEADLINE));
    assert_eq!(again.iter().map(|task| task.2.len()).collect::<Vec<_>>(), [1, 1], "{again:?}");
    (story, old, again)
}

#[test]
fn an_old_answer_supersedes_its_re_issues_while_none_of_them_was_accepted() {
    let (mut story, old, again) = split_reissue();
    let effects = story.answer(old.0, old.1);
    assert_eq!(accepted(&effects), [vec![0, 1]]);
    assert!(is_done(&effects));
    for (task, worker, _) in again {
        assert!(effects.contains(&Effect::CancelTask { task, worker }));
        assert!(story.answer(task, worker).is_empty());
    }
    assert_eq!(story.core.counters().accepted_late, 1);
}

#[test]
fn an_old_answer_is_ignored_once_part_of_it_was_accepted() {
    let (mut story, old, again) = split_reissue();
    assert_eq!(accepted(&story.answer(again[0].0, again[0].1)).len(), 1);
    assert!(accepted(&story.answer(old.0, old.1)).is_empty());
    assert!(is_done(&story.answer(again[1].0, again[1].1)));
}

#[test]
fn a_lost_worker_takes_nothing_with_it() {
    let mut story = Story::new(2, 1);
    let first = sent(&story.call(&[0])).remove(0);
    let second = sent(&story.step(Input::WorkerLeft { worker: first.1 })).remove(0);
    assert_ne!(first.1, second.1);
    assert!(story.answer(first.0, first.1).is_empty(), "a worker that left is not heard");
    assert!(is_done(&story.answer(second.0, second.1)));
}

#[test]
fn a_call_waits_for_a_holder_and_goes_on_when_there_is_one() {
    let mut story = Story::new(0, 1);
    assert!(sent(&story.call(&[0])).is_empty());
    story.now += 500_000;
    let effects = story.step(Input::WorkerJoined { worker: node(1), memory_limit_bytes: 100 });
    let tasks = sent(&story.load(&effects));
    assert!(is_done(&story.answer(tasks[0].0, tasks[0].1)));
}

#[test]
fn a_call_that_waits_too_long_says_for_what() {
    let mut story = Story::new(0, 1);
    story.call(&[0]);
    assert_eq!(failure(&story.tick(1_000_000)), Some(CallError::NoWorkers { waited: Duration::from_secs(1) }));
    story.step(Input::WorkerJoined { worker: node(1), memory_limit_bytes: 5 });
    story.call(&[0]);
    let expert = ExpertId { layer: 0, expert: 0 };
    assert_eq!(failure(&story.tick(1_000_000)), Some(CallError::NoHolder { expert, waited: Duration::from_secs(1) }));
    assert_eq!(story.core.in_flight(), InFlight::default());
}

#[test]
fn the_last_holder_dies_and_the_call_completes_on_a_worker_that_loads_anew() {
    let mut story = Story::new(1, 1);
    story.call(&[0]);
    let joined = story.step(Input::WorkerJoined { worker: node(2), memory_limit_bytes: 100 });
    assert!(sent(&story.step(Input::WorkerLeft { worker: node(1) })).is_empty(), "nobody else is ready yet");
    let tasks = sent(&story.load(&joined));
    assert_eq!(tasks[0].1, node(2));
    assert!(is_done(&story.answer(tasks[0].0, tasks[0].1)));
}

#[test]
fn the_only_holder_is_asked_again_after_a_pause_until_the_attempts_are_used() {
    let mut story = Story::new(1, 1);
    let mut task = sent(&story.call(&[0])).remove(0);
    for attempt in 1..=3 {
        let effects = story.fault(task.0, task.1, Fault::Overloaded);
        assert!(sent(&effects).is_empty());
        if attempt == 3 {
            let expert = ExpertId { layer: 0, expert: 0 };
            assert_eq!(failure(&effects), Some(CallError::Attempts { expert, attempts: 3, late: 0 }));
        } else {
            task = sent(&story.tick(100_000)).remove(0);
        }
    }
    assert_eq!(story.core.workers()[0].faults, 0, "too much work is not held against a worker");
}

#[test]
fn a_worker_with_too_many_faults_is_expelled() {
    let (mut story, bad, good) = (Story::new(2, 1), node(1), node(2));
    for _ in 0..50 {
        let mut task = sent(&story.call(&[0])).remove(0);
        if task.1 == bad {
            task = sent(&story.fault(task.0, bad, Fault::BadValue)).remove(0);
        }
        assert_eq!(task.1, good);
        assert!(is_done(&story.answer(task.0, good)), "the other holder answers");
        // Long enough for doubts about the bad worker to fade, so that it is tried again.
        story.now += 100_000_000;
    }
    assert_eq!(story.core.workers().iter().map(|view| view.id).collect::<Vec<_>>(), [good]);
    assert_eq!((story.core.counters().expelled, story.core.counters().faults), (1, 3));
}

#[test]
fn an_expelled_worker_may_return_when_its_time_is_over() {
    let mut story = Story::new(1, 1);
    let mut effects = story.call(&[0]);
    for _ in 0..3 {
        let task = sent(&effects).remove(0);
        effects = story.fault(task.0, task.1, Fault::Malformed);
        if effects.iter().any(|effect| matches!(effect, Effect::Expel { .. })) {
            break;
        }
        effects = story.tick(100_000);
    }
    assert!(story.core.workers().is_empty());
    assert!(matches!(story.join(1)[..], [Effect::Expel { .. }, ..]));
    story.tick(u64::try_from(EXPELLED_FOR.as_micros()).unwrap());
    story.join(1);
    assert_eq!(story.core.workers().len(), 1);
}

#[test]
fn a_silent_worker_is_expelled_and_may_return_at_once() {
    let mut story = Story::new(1, 1);
    story.call(&[0]);
    let mut silent = false;
    for _ in 0..4 {
        silent |= story.tick(2 * DEADLINE).iter().any(|effect| matches!(effect, Effect::Expel { .. }));
    }
    assert!(silent);
    story.join(1);
    assert_eq!(story.core.workers().len(), 1);
}

#[test]
fn a_worker_that_denies_an_expert_is_told_again_and_not_asked_meanwhile() {
    let mut story = Story::new(2, 1);
    let first = sent(&story.call(&[0])).remove(0);
    let effects = story.fault(first.0, first.1, Fault::NotHeld);
    assert_eq!(sent(&effects).len(), 1);
    let expert = ExpertId { layer: 0, expert: 0 };
    assert!(effects.contains(&Effect::Hold { worker: first.1, experts: vec![expert] }));
    assert!(!story.core.holders_of(expert).contains(&first.1));
    story.load(&effects);
    assert_eq!(story.core.holders(0), [2]);
}

#[test]
fn a_failed_load_is_tried_again_after_a_while() {
    let mut story = Story::new(0, 1);
    story.step(Input::WorkerJoined { worker: node(1), memory_limit_bytes: 100 });
    let expert = ExpertId { layer: 0, expert: 0 };
    let failed = Input::ExpertFailed { worker: node(1), expert, reason: "disk full".into() };
    let hold = Effect::Hold { worker: node(1), experts: vec![expert] };
    assert!(!story.step(failed).contains(&hold));
    assert!(story.tick(u64::try_from(LOAD_RETRY.as_micros()).unwrap()).contains(&hold));
}

#[test]
fn loads_that_make_no_progress_go_to_others() {
    let mut story = Story::new(0, 1);
    story.step(Input::WorkerJoined { worker: node(1), memory_limit_bytes: 100 });
    let expert = ExpertId { layer: 0, expert: 0 };
    let effects = story.tick(120_000_000);
    assert!(effects.contains(&Effect::Drop { worker: node(1), experts: vec![expert] }));
    story.step(Input::WorkerReady { worker: node(1), experts: vec![expert] });
    assert!(story.core.holders_of(expert).is_empty(), "a report from before the drop is not believed");
}

#[test]
fn requests_are_taken_from_when_the_model_is_whole_until_a_gap_has_lasted() {
    let mut story = gathering(1);
    let admits = |story: &Story| story.core.admits_requests(Moment(story.now));
    assert!(!admits(&story), "nobody holds anything yet");
    let joined = |number| Input::WorkerJoined { worker: node(number), memory_limit_bytes: 1_000 };
    let mut effects = story.step(joined(1));
    while !effects.is_empty() {
        assert!(!admits(&story), "it still loads");
        effects = story.load(&effects);
    }
    assert!(admits(&story));
    story.step(Input::WorkerLeft { worker: node(1) });
    assert!(admits(&story), "somebody may take its place");
    story.now += 30_000_000;
    assert!(!admits(&story), "calls would have been given up by now");
    story.step(joined(2));
    assert!(!admits(&story), "it still loads");
}

#[test]
fn a_cancelled_call_leaves_nothing_behind() {
    let mut story = Story::new(2, 2);
    let tasks = sent(&story.call(&[0, 1]));
    let effects = story.step(Input::CallCancelled { call: CallId(1) });
    assert_eq!(effects.len(), tasks.len(), "{effects:?}");
    assert_eq!(story.core.in_flight(), InFlight::default());
    assert!(story.answer(tasks[0].0, tasks[0].1).is_empty());
}

#[test]
fn nothing_grows_with_the_number_of_calls() {
    let mut story = Story::new(3, 8);
    for _ in 0..5_000 {
        for (task, worker, _) in sent(&story.call(&[0, 3, 7])) {
            story.answer(task, worker);
        }
    }
    assert_eq!(story.core.in_flight(), InFlight::default());
    assert_eq!(story.core.counters().calls_done, 5_000);
    assert_eq!(story.core.expert_use(0)[3], 5_000);
    assert_eq!(story.core.coverage().replicated, 8);
}

#[test]
fn a_large_model_is_spread_evenly_and_answers() {
    let ids = (0..12).flat_map(|layer| (0..64).map(move |expert| ExpertId { layer, expert }));
    let specs = ids.map(|id| ExpertSpec { id, bytes: 1 }).collect();
    let settings = Settings { checks: Checks::Trusting, ..Settings::new(specs) };
    let mut story = Story { core: Orchestrator::new(settings), now: 0, calls: 0, redundancy: Redundancy::One };
    for number in 1..=40 {
        let mut effects = story.step(Input::WorkerJoined { worker: node(number), memory_limit_bytes: 1_000 });
        while !effects.is_empty() {
            effects = story.load(&effects);
        }
    }
    assert_eq!(story.core.coverage().replicated, 768);
    let held: Vec<usize> = story.core.workers().iter().map(|view| view.experts_assigned).collect();
    assert!(held.iter().all(|count| (36..=41).contains(count)), "1536 copies on 40 workers: {held:?}");
    for first in 0..500 {
        let experts: Vec<u16> = (0..8).map(|step| (first + step * 8) % 64).collect();
        let tasks = sent(&story.call(&experts));
        let last = tasks.into_iter().map(|(task, worker, _)| story.answer(task, worker)).last().unwrap();
        assert!(is_done(&last));
    }
}

#[test]
fn who_joins_while_others_load_gets_its_part_when_they_have_loaded() {
    let specs = (0..32).map(|expert| ExpertSpec { id: ExpertId { layer: 0, expert }, bytes: 10 }).collect();
    let mut story =
        Story { core: Orchestrator::new(Settings::new(specs)), now: 0, calls: 0, redundancy: Redundancy::One };
    let joins: Vec<Vec<Effect>> = (1..=6)
        .map(|number| story.step(Input::WorkerJoined { worker: node(number), memory_limit_bytes: 1_000 }))
        .collect();
    let mut effects: Vec<Effect> = joins.into_iter().flatten().collect();
    while !effects.is_empty() {
        effects = story.load(&effects);
    }
    let held: Vec<usize> = story.core.workers().iter().map(|worker| worker.experts_ready).collect();
    assert!(held.iter().all(|count| (8..=14).contains(count)), "64 copies on six workers: {held:?}");
    assert_eq!(story.core.coverage().replicated, 32);
}

/// A core for 40 experts that waits for `workers` workers before it places any.
fn gathering(workers: usize) -> Story {
    let specs = (0..40).map(|expert| ExpertSpec { id: ExpertId { layer: 0, expert }, bytes: 10 }).collect();
    let gather_patience = Duration::from_secs(5);
    let settings = Settings { gather_workers: workers, gather_patience, ..Settings::new(specs) };
    Story { core: Orchestrator::new(settings), now: 0, calls: 0, redundancy: Redundancy::One }
}

#[test]
fn workers_that_start_together_share_the_model_from_the_start() {
    let mut story = gathering(4);
    for number in 1..4 {
        assert!(story.join(number).iter().all(|effect| matches!(effect, Effect::WakeAt(_))), "too early");
    }
    story.join(4);
    let held: Vec<usize> = story.core.workers().iter().map(|worker| worker.experts_assigned).collect();
    assert_eq!(held, [20; 4], "two copies of 40 experts on four workers");
    assert!(story.core.coverage().is_complete());
}

#[test]
fn a_worker_that_does_not_come_is_not_waited_for_long() {
    let mut story = gathering(4);
    story.join(1);
    assert!(!story.core.coverage().is_complete());
    story.now += 5_000_000;
    let effects = story.step(Input::Tick);
    story.load(&effects);
    assert!(story.core.coverage().is_complete() || story.core.in_flight().loading > 0);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Hold { .. })), "{effects:?}");
}

#[test]
fn who_is_here_is_never_forgotten_and_of_the_others_the_one_with_the_least_to_lose() {
    let mut story = Story::new(1, 1);
    let most = crate::reputation::MAX_STANDINGS as u64;
    let stranger = |number: u64| {
        let mut id = [255; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        NodeId(id)
    };
    for number in 0..most + 50 {
        let standing = Standing { valid: number as f64 + 1.0, ..Standing::default() };
        story.step(Input::WorkerKnown { worker: stranger(number), standing });
    }
    assert_eq!(story.core.registry.roster.len() as u64, most);
    let known = |story: &Story, number| story.core.standing(stranger(number)).is_some();
    assert!(!known(&story, 0) && !known(&story, 50) && known(&story, 51), "the least first");
    let sent = sent(&story.call(&[0])).remove(0);
    assert!(sent.1 == node(1) && is_done(&story.answer(sent.0, sent.1)), "it was here all the time");
}

#[test]
fn an_answer_says_whether_it_came_in_time() {
    let mut story = Story::new(1, 1);
    let in_time = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::AcceptAnswer { in_time, .. } => Some(*in_time),
            _ => None,
        })
    };
    let first = sent(&story.call(&[0])).remove(0);
    assert_eq!(in_time(&story.answer(first.0, first.1)), Some(true));
    let late = sent(&story.call(&[0])).remove(0);
    story.tick(2 * DEADLINE);
    assert_eq!(in_time(&story.answer(late.0, late.1)), Some(false), "of use, and late");
}

/// A call of a job that wants two from the start, with three holders: the task and its double.
fn doubled() -> (Story, Sent) {
    let mut story = Story::new(3, 1);
    story.redundancy = Redundancy::Two;
    let tasks = sent(&story.call(&[0]));
    assert_eq!(tasks.len(), 2, "{tasks:?}");
    assert_ne!(tasks[0].1, tasks[1].1);
    assert_eq!((story.core.counters().doubled, story.core.counters().backups), (1, 0));
    (story, tasks)
}

#[test]
fn of_two_that_are_asked_from_the_start_the_first_answer_is_used_and_the_other_cancelled() {
    for faster in 0..2 {
        let (mut story, tasks) = doubled();
        let (task, worker, _) = tasks[faster].clone();
        let effects = story.answer(task, worker);
        let (other, slower, _) = tasks[1 - faster].clone();
        assert!(
            is_done(&effects) && effects.contains(&Effect::CancelTask { task: other, worker: slower }),
            "{effects:?}"
        );
        assert!(story.answer(other, slower).is_empty());
        assert_eq!(story.core.in_flight(), InFlight::default());
    }
}

#[test]
fn of_two_that_are_asked_from_the_start_one_may_fail_and_nobody_else_is_asked() {
    for failing in 0..2 {
        let (mut story, tasks) = doubled();
        let effects = story.fault(tasks[failing].0, tasks[failing].1, Fault::Overloaded);
        let left = 1 - failing;
        // Who was asked beside the first is replaced, since the first was asked before and may be slow.
        assert!(sent(&effects).len() <= failing, "{effects:?}");
        assert!(is_done(&story.answer(tasks[left].0, tasks[left].1)));
        assert_eq!(story.core.in_flight(), InFlight::default());
    }
}

#[test]
fn with_one_holder_there_is_nobody_to_double_with() {
    let mut story = Story::new(1, 2);
    story.redundancy = Redundancy::Two;
    let tasks = sent(&story.call(&[0, 1]));
    assert_eq!((tasks.len(), story.core.counters().doubled), (1, 0));
    assert!(is_done(&story.answer(tasks[0].0, tasks[0].1)));
}

#[test]
fn a_call_does_not_fail_while_the_first_of_two_is_in_time() {
    let mut story = Story::new(2, 1);
    (story.redundancy, story.core.settings.max_attempts) = (Redundancy::Two, 2);
    let tasks = sent(&story.call(&[0]));
    let effects = story.fault(tasks[1].0, tasks[1].1, Fault::Overloaded);
    assert_eq!((failure(&effects), failure(&story.tick(DEADLINE / 2))), (None, None), "all attempts are used up");
    assert!(is_done(&story.answer(tasks[0].0, tasks[0].1)));
}

#[test]
fn who_was_overtaken_in_part_and_in_time_is_asked_for_the_rest() {
    let mut story = Story::new(1, 2);
    story.core.settings.max_attempts = 2;
    for _ in 0..20 {
        let task = sent(&story.call(&[0, 1])).remove(0);
        story.answer(task.0, task.1);
    }
    let slow = sent(&story.call(&[0, 1])).remove(0);
    for number in 2..=3 {
        let effects = story.step(Input::WorkerJoined { worker: node(number), memory_limit_bytes: 10 });
        story.load(&effects);
    }
    let backups = sent(&story.tick(DEADLINE / 10));
    assert_eq!((backups.len(), story.core.counters().late), (2, 0), "{backups:?}");
    story.answer(backups[0].0, backups[0].1);
    let effects = story.fault(backups[1].0, backups[1].1, Fault::Overloaded);
    assert_eq!(failure(&effects), None);
    let again = sent(&effects).remove(0);
    assert_eq!((again.1, &again.2), (slow.1, &backups[1].2), "the slow one is here, and was not asked in vain");
    assert!(is_done(&story.answer(again.0, again.1)));
}

mod conduct;
