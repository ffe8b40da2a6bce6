//! Checked answers, one short story per test. Workers are numbered from 1; each holds everything.

use std::collections::BTreeMap;
use std::time::Duration;

use neuro_primitives::{ExpertId, NodeId};

use super::*;
use crate::input::{ExpertLoad, Fault, Input, Redundancy};
use crate::reputation::Standing;
use crate::settings::{ExpertSpec, Settings};
use crate::views::InFlight;

const SAMPLED: Checks = Checks::Sampled { at_least_one_in: 50, meanwhile: 16 };

/// The driver's part, with a number for each answer: 0 is right.
struct Story {
    core: Orchestrator,
    now: u64,
    calls: u64,
    /// What each worker adds to its sums.
    lies: BTreeMap<NodeId, u64>,
    sent: BTreeMap<TaskId, NodeId>,
    /// Every task sent: of which call, to whom, for which experts.
    asked: Vec<(CallId, NodeId, Vec<u16>)>,
    kept: BTreeMap<TaskId, u64>,
    /// Tasks of witnesses that may look at some of the rows only.
    spots: Vec<TaskId>,
    /// Lies are about rows that these do not look at.
    hides: bool,
    /// Workers that do not answer.
    silent: Vec<NodeId>,
    recomputes: bool,
    /// Checks are settled when somebody says so, not at once.
    settles_late: bool,
    unsettled: VecDeque<Input>,
    /// What the effects said, in their order.
    told: Vec<Told>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Accepted(u64),
    Recomputed,
    Retracted,
    Convicted(NodeId),
    Expelled(NodeId),
    Credited(NodeId),
    Done,
    Failed,
}

fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

impl Story {
    fn new(workers: u8, checks: Checks) -> Self {
        let specs = (0..4).map(|expert| ExpertSpec { id: ExpertId { layer: 0, expert }, bytes: 10 }).collect();
        let replicas = usize::from(workers);
        let settings = Settings { replicas, checks, task_deadline: Duration::from_millis(50), ..Settings::new(specs) };
        let (core, lies, sent, asked) = (Orchestrator::new(settings), BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (kept, silent, told) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut story = Self {
            core,
            now: 0,
            calls: 0,
            lies,
            sent,
            asked,
            kept,
            spots: Vec::new(),
            hides: false,
            silent,
            recomputes: true,
            settles_late: false,
            unsettled: VecDeque::new(),
            told,
        };
        for number in 1..=workers {
            story.feed(Input::WorkerJoined { worker: node(number), memory_limit_bytes: 1_000 });
        }
        story.told.clear();
        story
    }

    /// Workers off probation.
    fn trusted(workers: u8, checks: Checks) -> Self {
        let mut story = Self::new(workers, checks);
        for number in 1..=workers {
            let standing = Standing { valid: 300.0, streak: 300, ..Standing::default() };
            story.feed(Input::WorkerKnown { worker: node(number), standing });
        }
        story
    }

    /// One call of two experts, answered at once by all that are asked and not silent; what was told.
    fn call(&mut self) -> Vec<Told> {
        self.call_for(&[0, 2])
    }

    fn call_for(&mut self, experts: &[u16]) -> Vec<Told> {
        self.calls += 1;
        let experts = experts.iter().map(|expert| ExpertLoad { expert: *expert, rows: 1 }).collect();
        self.feed(Input::Call { call: CallId(self.calls), layer: 0, experts, redundancy: Redundancy::One });
        std::mem::take(&mut self.told)
    }

    fn later(&mut self, millis: u64) -> Vec<Told> {
        self.now += millis * 1_000;
        self.feed(Input::Tick);
        std::mem::take(&mut self.told)
    }

    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.now += 100;
            let arrived = match &input {
                Input::Answered { task, worker, .. } => Some((*task, self.lies.get(worker).copied().unwrap_or(0))),
                _ => None,
            };
            for effect in self.core.step(input, Moment(self.now)) {
                let settles = matches!(effect, Effect::Compare { .. } | Effect::Recompute { .. });
                let next = self.perform(effect, arrived);
                let queue = if settles && self.settles_late { &mut self.unsettled } else { &mut inputs };
                queue.extend(next);
            }
        }
    }

    fn perform(&mut self, effect: Effect, arrived: Option<(TaskId, u64)>) -> Option<Input> {
        match effect {
            Effect::Hold { worker, experts } => return Some(Input::WorkerReady { worker, experts }),
            Effect::SendTask { task, call, worker, experts, spot_check, .. } => {
                self.sent.insert(task, worker);
                self.spots.extend(spot_check.then_some(task));
                self.asked.push((call, worker, experts));
                let answered = Input::Answered { task, worker, compute_us: 50 };
                return (!self.silent.contains(&worker)).then_some(answered);
            }
            Effect::KeepAnswer { task, .. } => {
                let (_, value) =
                    arrived.filter(|(arrived, _)| *arrived == task).expect("kept in the step that reports it");
                self.kept.insert(task, value);
            }
            Effect::AcceptAnswer { task, .. } => {
                let arrived = arrived.filter(|(arrived, _)| *arrived == task).map(|(_, value)| value);
                let value = self.kept.get(&task).copied().or(arrived).expect("an answer that is there");
                self.told.push(Told::Accepted(value));
            }
            Effect::Compare { check, task, against } => {
                let sum: u64 = against.iter().map(|task| self.kept[task]).sum();
                let unseen = self.hides && against.iter().any(|task| self.spots.contains(task));
                return Some(Input::Compared { check, same: unseen || self.kept[&task] == sum });
            }
            Effect::Recompute { check, .. } if !self.recomputes => return Some(Input::NotRecomputed { check }),
            Effect::Recompute { check, task, against } => {
                let wrong = against.into_iter().chain([task]).filter(|task| self.kept[task] != 0).collect();
                return Some(Input::Recomputed { check, wrong });
            }
            Effect::AcceptRecomputed { .. } => self.told.push(Told::Recomputed),
            Effect::ForgetAnswers { tasks } => {
                for task in tasks {
                    assert!(self.kept.remove(&task).is_some(), "forgotten once, after it was kept");
                }
            }
            Effect::Retract { .. } => self.told.push(Told::Retracted),
            Effect::Convict { worker, task } => {
                assert_eq!(self.sent[&task], worker, "its own answer");
                assert!(self.kept.contains_key(&task), "evidence must be there");
                self.told.push(Told::Convicted(worker));
            }
            Effect::Expel { worker, .. } => self.told.push(Told::Expelled(worker)),
            Effect::CallDone { .. } => self.told.push(Told::Done),
            Effect::CallFailed { .. } => self.told.push(Told::Failed),
            Effect::CreditWitness { worker, .. } => self.told.push(Told::Credited(worker)),
            Effect::Drop { .. } | Effect::CancelTask { .. } | Effect::WakeAt(_) => {}
        }
        None
    }

    /// Settles what waits, and what follows from it; what was told.
    fn settle(&mut self) -> Vec<Told> {
        while let Some(input) = self.unsettled.pop_front() {
            self.feed(input);
        }
        std::mem::take(&mut self.told)
    }

    fn standing(&self, number: u8) -> Standing {
        self.core.standing(node(number)).cloned().expect("known")
    }

    /// The worker that is asked most while all are alike.
    fn busiest(&mut self) -> NodeId {
        self.silent.clear();
        let before = self.sent.len();
        (0..20).for_each(|_| drop(self.call()));
        let mut counts: BTreeMap<NodeId, usize> = BTreeMap::new();
        self.sent.values().skip(before).for_each(|worker| *counts.entry(*worker).or_default() += 1);
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(worker, _)| worker).expect("somebody was asked")
    }

    fn at_rest(&self) {
        assert_eq!(self.core.in_flight(), InFlight::default());
        assert!(self.kept.is_empty(), "answers are kept for ever: {:?}", self.kept);
    }
}

fn is_wrong(told: &Told) -> bool {
    matches!(told, Told::Accepted(value) if *value != 0)
}

#[test]
fn verified_answers_are_used_after_another_worker_gave_the_same() {
    let mut story = Story::new(3, Checks::Verified);
    for _ in 0..200 {
        let told = story.call();
        assert!(told.contains(&Told::Done) && !told.iter().any(is_wrong), "{told:?}");
    }
    let counters = story.core.counters();
    assert_eq!(counters.checks, counters.accepted, "each answer was checked once");
    assert!(counters.recomputed * 5 > counters.checks / 2, "one in eight from the checkpoint: {counters:?}");
    story.at_rest();
}

#[test]
fn under_verified_no_wrong_result_is_used_and_the_liar_goes() {
    for liar in 1..=3 {
        let mut story = Story::new(3, Checks::Verified);
        story.lies.insert(node(liar), 5);
        let told: Vec<Told> = (0..50).flat_map(|_| story.call()).collect();
        assert!(!told.iter().any(is_wrong), "{told:?}");
        assert_eq!(told.iter().filter(|told| **told == Told::Done).count(), 50);
        assert!(told.contains(&Told::Convicted(node(liar))) && told.contains(&Told::Expelled(node(liar))));
        assert!(!told.contains(&Told::Retracted) && story.core.counters().liars == 1);
        story.at_rest();
    }
}

#[test]
fn a_liar_does_not_come_back() {
    let mut story = Story::new(3, Checks::Verified);
    story.lies.insert(node(1), 5);
    (0..20).for_each(|_| drop(story.call()));
    story.now += 1_000_000_000_000;
    story.feed(Input::WorkerJoined { worker: node(1), memory_limit_bytes: 1_000 });
    assert_eq!(story.told, [Told::Expelled(node(1))]);
    assert_eq!(story.core.workers().len(), 2);
}

#[test]
fn a_liar_that_is_pardoned_comes_back_on_probation() {
    let mut story = Story::trusted(3, Checks::Verified);
    story.lies.insert(node(1), 5);
    (0..20).for_each(|_| drop(story.call()));
    story.feed(Input::WorkerPardoned { worker: node(1) });
    story.feed(Input::WorkerPardoned { worker: node(99) });
    story.feed(Input::WorkerJoined { worker: node(1), memory_limit_bytes: 1_000 });
    assert_eq!((story.told.as_slice(), story.core.workers().len()), (&[][..], 3));
    let standing = story.standing(1);
    assert!(standing.is_on_probation() && standing.valid + standing.invalid < 0.1, "{standing:?}");
    assert!(story.core.standing(node(99)).is_none(), "nobody is made of a pardon");
}

#[test]
fn whoever_is_on_probation_is_checked_before_its_answer_is_used() {
    let mut story = Story::new(4, SAMPLED);
    story.lies.insert(node(2), 1);
    let told: Vec<Told> = (0..20).flat_map(|_| story.call()).collect();
    assert!(!told.iter().any(is_wrong) && told.contains(&Told::Convicted(node(2))), "{told:?}");
    assert!(!told.contains(&Told::Retracted));
    story.at_rest();
}

#[test]
fn a_liar_with_a_long_streak_is_found_and_its_calls_are_retracted() {
    let mut story = Story::trusted(4, SAMPLED);
    let liar = story.busiest();
    story.lies.insert(liar, 1);
    let mut told = Vec::new();
    for _ in 0..5_000 {
        told.extend(story.call());
        if told.contains(&Told::Convicted(liar)) {
            break;
        }
    }
    assert!(told.contains(&Told::Retracted) && told.contains(&Told::Convicted(liar)), "never found");
    let wrong = told.iter().filter(|told| is_wrong(told)).count();
    assert!((1..=700).contains(&wrong), "{wrong} wrong results were used");
    story.lies.clear();
    assert!(!story.call().iter().any(is_wrong));
    story.at_rest();
}

/// The bound of [`Checks::SAMPLED`], over many liars who lie in every answer.
#[test]
fn how_many_wrong_results_are_used_follows_the_stated_chance() {
    let (mut total, mut most, liars) = (0, 0, 300);
    for run in 0..liars {
        let mut story = Story::trusted(3, SAMPLED);
        story.core.validator.secret = [u8::try_from(run % 251).unwrap_or(0); 32];
        story.core.validator.draws = run << 32;
        let liar = story.busiest();
        story.lies.insert(liar, 1);
        let mut wrong = 0;
        while story.core.counters().liars == 0 {
            wrong += story.call().iter().filter(|told| is_wrong(told)).count();
        }
        total += wrong;
        most = most.max(wrong);
    }
    let mean = total as f64 / liars as f64;
    assert!((35.0..65.0).contains(&mean), "one in fifty is checked, yet {mean} wrong results were used of each liar");
    assert!(most <= 700, "{most}");
}

#[test]
fn while_a_check_is_under_way_few_more_results_are_used() {
    let mut story = Story::trusted(2, SAMPLED);
    // Nobody answers as a witness, since the only other one is silent; it holds its experts all the same.
    story.lies.insert(node(1), 1);
    story.silent.push(node(2));
    let mut used = 0;
    for _ in 0..2_000 {
        used += story.call().iter().filter(|told| is_wrong(told)).count();
        story.now += 200;
        if story.core.counters().liars > 0 {
            break;
        }
    }
    assert!(story.core.counters().liars > 0 && used < 700, "{used}");
}

#[test]
fn a_witness_that_does_not_answer_is_replaced_by_the_checkpoint() {
    let mut story = Story::new(2, Checks::Verified);
    story.silent.push(node(2));
    let mut told = Vec::new();
    for _ in 0..20 {
        told.extend(story.call());
        told.extend(story.later(1_000));
    }
    assert!(told.iter().filter(|told| **told == Told::Done).count() >= 15, "{told:?}");
    assert!(!told.iter().any(is_wrong) && story.core.counters().recomputed > 0);
}

#[test]
fn a_witness_that_refuses_is_replaced_by_the_checkpoint() {
    let mut story = Story::new(2, Checks::Verified);
    story.silent.push(node(2));
    story.call();
    let asked = story.sent.iter().find(|(_, worker)| **worker == node(2)).map(|(task, _)| *task);
    if let Some(task) = asked {
        story.feed(Input::Faulty { task, worker: node(2), fault: Fault::Overloaded });
    }
    let told = [std::mem::take(&mut story.told), story.later(1_000)].concat();
    assert!(told.contains(&Told::Done) || story.core.counters().recomputed > 0, "{told:?}");
}

#[test]
fn alone_a_worker_is_checked_from_the_checkpoint() {
    let mut story = Story::new(1, Checks::Verified);
    story.lies.insert(node(1), 3);
    let told = story.call();
    assert_eq!(told[..2], [Told::Recomputed, Told::Done]);
    assert!(told.contains(&Told::Convicted(node(1))), "{told:?}");
}

#[test]
fn what_cannot_be_recomputed_is_not_used() {
    let mut story = Story::new(2, Checks::Verified);
    story.recomputes = false;
    story.lies.insert(node(1), 3);
    let mut told = Vec::new();
    for _ in 0..10 {
        told.extend(story.call());
        told.extend(story.later(200));
    }
    assert!(!told.iter().any(is_wrong) && !told.contains(&Told::Recomputed), "{told:?}");
}

#[test]
fn a_call_that_nobody_waits_for_takes_its_checks_with_it() {
    let mut story = Story::new(3, Checks::Verified);
    story.silent = vec![node(1), node(2), node(3)];
    story.call();
    story.feed(Input::CallCancelled { call: CallId(1) });
    story.at_rest();
}

#[test]
fn a_worker_that_leaves_with_an_answer_under_check_loses_nothing() {
    let mut story = Story::new(3, Checks::Verified);
    for number in [2, 3] {
        story.silent.push(node(number));
    }
    for _ in 0..10 {
        story.call();
    }
    story.silent.clear();
    story.feed(Input::WorkerLeft { worker: node(1) });
    // Those who were silent are gone by then, and what waits for them ends.
    (0..10).for_each(|_| drop(story.later(10_000)));
    story.at_rest();
}

#[test]
fn the_same_pair_is_not_matched_again_and_again() {
    let mut story = Story::new(8, Checks::Verified);
    (0..100).for_each(|_| drop(story.call()));
    let most = story.core.validator.recent.values().map(VecDeque::len).max();
    assert!(most >= Some(5), "{most:?}");
}

#[test]
fn trust_comes_from_checked_results_alone() {
    let mut story = Story::trusted(3, SAMPLED);
    let before = story.core.standing(node(1)).cloned().expect("known");
    (0..500).for_each(|_| drop(story.call()));
    let after = story.core.standing(node(1)).expect("known");
    let checks = story.core.counters().checks;
    assert!(u64::from(after.streak - before.streak) <= 2 * checks, "{} {checks}", after.streak);
    assert!(checks < 100, "{checks} checks of 500 calls");
}

#[test]
fn nobody_gets_the_same_rows_twice_while_there_is_another_holder() {
    let mut story = Story::new(4, Checks::Verified);
    let mut got: Vec<(CallId, NodeId)> = Vec::new();
    for round in 1..=40 {
        story.silent = vec![node(round % 4 + 1)];
        story.call();
        (0..3).for_each(|_| drop(story.later(100)));
    }
    for (call, worker, experts) in &story.asked {
        for expert in experts {
            let again =
                story.asked.iter().filter(|(other, asked, of)| other == call && asked == worker && of.contains(expert));
            let holders: std::collections::BTreeSet<_> = story
                .asked
                .iter()
                .filter(|(other, _, of)| other == call && of.contains(expert))
                .map(|(_, id, _)| id)
                .collect();
            if again.count() > 1 && holders.len() < 4 {
                got.push((*call, *worker));
            }
        }
    }
    assert!(got.is_empty(), "{got:?}");
    assert!(story.core.counters().late > 5, "{:?}", story.core.counters());
}

#[test]
fn answers_that_were_on_their_way_when_a_check_began_count_too() {
    let mut story = Story::trusted(2, Checks::Sampled { at_least_one_in: 1, meanwhile: 4 });
    story.silent = vec![node(1), node(2)];
    (0..40).for_each(|_| drop(story.call()));
    let sent: Vec<(TaskId, NodeId)> = story.sent.iter().map(|(task, worker)| (*task, *worker)).collect();
    for (task, worker) in sent {
        story.feed(Input::Answered { task, worker, compute_us: 50 });
    }
    // Both are silent as witnesses, so no check ends but those that the checkpoint settles from the start. Four of each worker
    // are used beside those.
    let used = story.told.iter().filter(|told| matches!(told, Told::Accepted(_))).count();
    assert!((2..=20).contains(&used) && story.sent.len() > 60, "{used} of {}", story.sent.len());
}

#[test]
fn a_liar_that_two_checks_find_is_excluded_once() {
    let mut story = Story::new(3, Checks::Verified);
    story.lies.insert(node(1), 5);
    story.silent = vec![node(2), node(3)];
    (0..6).for_each(|_| drop(story.call()));
    story.silent.clear();
    (0..4).for_each(|_| drop(story.later(10_000)));
    (0..20).for_each(|_| drop(story.call()));
    let told = std::mem::take(&mut story.told);
    let expelled = told.iter().filter(|told| **told == Told::Expelled(node(1))).count();
    assert!(expelled <= 1 && story.core.counters().liars == 1, "{:?}", story.core.counters());
}

#[test]
fn an_answer_that_is_held_does_not_count_for_the_next_connection() {
    let mut story = Story::new(2, Checks::Verified);
    story.silent.push(node(2));
    (0..4).for_each(|_| drop(story.call()));
    story.feed(Input::WorkerLeft { worker: node(1) });
    story.feed(Input::WorkerJoined { worker: node(1), memory_limit_bytes: 1_000 });
    story.silent.push(node(1));
    story.call();
    let in_flight = |story: &Story| -> Vec<u32> {
        let worker = story.core.registry.worker(node(1)).expect("it is back");
        worker.copies.values().map(|copy| copy.in_flight).collect()
    };
    let before = in_flight(&story);
    // The checks of its earlier answers end; nothing of its new connection does.
    for check in 1..=4 {
        story.feed(Input::Recomputed { check: CheckId(check), wrong: Vec::new() });
    }
    assert!(before.iter().sum::<u32>() > 0 && in_flight(&story) == before, "{before:?} {:?}", in_flight(&story));
}

mod endings;
mod inexact;
mod spot;
