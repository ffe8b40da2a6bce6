//! The driver's part: events to the core, and its effects carried out.

use std::collections::{BTreeMap, BTreeSet};

use neuro_orchestrator::{CheckId, Effect, Fault, Input};
use neuro_primitives::{CallId, ExpertId, Moment, NodeId, TaskId};

use super::answers::{Answer, Question, agree};
use super::client::End;
use super::invariants::Invariant;
use super::report::Policy;
use super::story;
use super::worker::{MS, Said};
use super::world::{EXPERT_BYTES, Event, World};

/// Recomputations under way; more are refused.
const RECOMPUTING_AT_MOST: usize = 128;

/// What one takes.
const RECOMPUTING_US: u64 = 1_000;

/// A task as the driver remembers it.
#[derive(Debug)]
pub(crate) struct Sent {
    /// What it asks.
    pub(crate) question: Question,
    /// Whom.
    pub(crate) worker: NodeId,
    /// Until when its answer is in time.
    pub(crate) deadline: u64,
}

/// What the driver of one core keeps.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// All tasks that were ever sent.
    pub(crate) tasks: BTreeMap<TaskId, Sent>,
    /// Those that are neither answered nor refused, cancelled or lost.
    pub(crate) open: BTreeSet<TaskId>,
    /// Answers that the core asked to keep.
    pub(crate) kept: BTreeMap<TaskId, Answer>,
    /// Tasks whose answer was taken in.
    pub(crate) used: BTreeSet<TaskId>,
    /// The task of each check that the driver had to do with.
    pub(crate) checked: BTreeMap<CheckId, TaskId>,
    /// Tasks whose wrong answer two liars agreed on.
    pub(crate) fooled: BTreeSet<TaskId>,
    /// Witnesses whose work was credited.
    pub(crate) credited: BTreeSet<TaskId>,
    /// Recomputations under way, and the answers that each needs.
    pub(crate) disputes: BTreeMap<CheckId, Vec<TaskId>>,
    /// How many they are.
    pub(crate) recomputing: usize,
}

/// What came with the input of a step, and what its effects have said so far.
#[derive(Debug, Default)]
struct Step {
    arrived: Option<(TaskId, Answer)>,
    retracted: BTreeSet<CallId>,
    /// Who has just said that it does not hold what it reported.
    denies: Option<NodeId>,
}

impl World {
    /// Something that a worker sent arrives.
    pub(crate) fn hear(&mut self, from: NodeId, said: Said) {
        match said {
            Said::Answer(task, answer, compute_us) => {
                let own = self.books.tasks.get(&task).is_some_and(|sent| sent.worker == from);
                if own && self.books.open.contains(&task) {
                    let wrong = self.books.tasks.get(&task).is_some_and(|sent| sent.question.truth() != answer);
                    self.tally.lies += u64::from(wrong);
                    let lie = if wrong { ", a lie" } else { "" };
                    self.story.tell(self.now, || format!("{} answers {task:?}{lie}", super::worker::name(from)));
                }
                self.step(Input::Answered { task, worker: from, compute_us }, own.then_some((task, answer)));
                if own {
                    self.books.open.remove(&task);
                }
            }
            Said::Other(input) => {
                if let Input::Faulty { task, .. } = &input {
                    self.books.open.remove(task);
                }
                self.note_report(from, &input);
                self.step(input, None);
            }
        }
    }

    /// Takes over what a worker reports to hold, as far as it was told to.
    fn note_report(&mut self, from: NodeId, input: &Input) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&from) else { return };
        match input {
            Input::WorkerReady { experts, .. } => {
                worker.disk.extend(experts);
                for expert in experts.iter().filter(|expert| worker.told.contains(expert)) {
                    worker.reported.entry(*expert).or_insert(now);
                }
            }
            Input::ExpertFailed { expert, .. } => {
                worker.told.remove(expert);
                worker.reported.remove(expert);
                worker.disk.remove(expert);
            }
            _ => {}
        }
    }

    /// One step of the core.
    pub(crate) fn step(&mut self, input: Input, arrived: Option<(TaskId, Answer)>) {
        let now = self.now;
        self.story.tell(now, || format!("{input:?}"));
        let before = self.known_before(&input);
        let effects = self.core.step(input.clone(), Moment(now));
        let denies = match &input {
            Input::Faulty { worker, fault: Fault::NotHeld, .. } => Some(*worker),
            _ => None,
        };
        let mut step = Step { arrived, retracted: BTreeSet::new(), denies };
        for effect in effects {
            self.story.tell(now, || story::of_effect(&effect));
            self.carry_out(effect, &mut step);
        }
        self.found_is_retracted(&input, &step.retracted);
        self.trust_is_earned(&input, &before);
        self.within_limits();
        self.bounded();
    }

    fn carry_out(&mut self, effect: Effect, step: &mut Step) {
        match effect {
            Effect::Hold { worker, experts } => self.hold(worker, &experts),
            Effect::Drop { worker, experts } => self.drop_experts(worker, &experts, step),
            Effect::SendTask { task, call, worker, experts, deadline, .. } => {
                self.send(task, call, worker, &experts);
                let until = self.now + u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX);
                self.books.tasks.entry(task).and_modify(|sent| sent.deadline = until);
            }
            Effect::CancelTask { task, .. } => {
                self.books.open.remove(&task);
            }
            Effect::KeepAnswer { task, in_time } => {
                self.in_time_rightly(task, in_time, step.arrived.is_some());
                self.keep(task, step);
            }
            Effect::AcceptAnswer { task, call, experts, in_time } => {
                self.in_time_rightly(task, in_time, step.arrived.as_ref().is_some_and(|(arrived, _)| *arrived == task));
                self.accept(task, call, &experts, step);
            }
            Effect::CreditWitness { worker, task } => self.credited_rightly(worker, task),
            Effect::Compare { check, task, against } => self.compare(check, task, &against),
            Effect::Recompute { check, task, against } => self.recompute(check, task, &against),
            Effect::AcceptRecomputed { check, call, experts } => self.accept_recomputed(check, call, &experts),
            Effect::ForgetAnswers { tasks } => self.forget(&tasks),
            Effect::Retract { call, task, worker } => {
                self.retracted_rightly(call, task, worker);
                self.tally.retracted += 1;
                step.retracted.insert(call);
            }
            Effect::Convict { worker, task } => {
                self.convicted_rightly(worker, task);
                self.tally.convicted += u64::from(self.convicted.insert(worker));
            }
            Effect::CallDone { call } => {
                self.ends_once(call, End::Done);
                self.end(call, End::Done);
            }
            Effect::CallFailed { call, error } => {
                self.ends_once(call, End::Failed);
                self.failed_rightly(call, &error.to_string());
                self.end(call, End::Failed);
            }
            Effect::Expel { worker, .. } => self.disconnect(worker),
            Effect::WakeAt(at) => self.wake = Some(at.0),
        }
    }

    fn hold(&mut self, id: NodeId, experts: &[ExpertId]) {
        self.not_convicted(id);
        for expert in experts {
            let Some(worker) = self.workers.get_mut(&id) else { return };
            worker.told.insert(*expert);
            worker.reported.remove(expert);
            let bad = worker.bad_disk;
            let cached = worker.disk.contains(expert);
            let (fails, stuck) = (bad && !cached && self.chance.percent(30), bad && self.chance.percent(5));
            let delay = if cached { 100 } else { self.chance.below(if bad { 300 } else { 30 } * MS) };
            let reason = "disk full".to_owned();
            let said = if fails {
                Input::ExpertFailed { worker: id, expert: *expert, reason }
            } else {
                Input::WorkerReady { worker: id, experts: vec![*expert] }
            };
            if !stuck {
                self.later(delay, id, Said::Other(said));
            }
        }
    }

    fn drop_experts(&mut self, id: NodeId, experts: &[ExpertId], step: &Step) {
        // What has just been answered is not in use any more.
        let answered = step.arrived.as_ref().map(|(task, _)| *task).filter(|task| self.books.open.remove(task));
        for expert in experts {
            let Some(worker) = self.workers.get_mut(&id) else { return };
            worker.told.remove(expert);
            worker.disk.remove(expert);
            // What is dropped in the very step that reports it was never taken over, and what is denied is not there.
            let there = worker.reported.remove(expert).is_some_and(|at| at < self.now);
            if there && step.denies != Some(id) {
                self.dropped_rightly(id, *expert);
            }
        }
        self.books.open.extend(answered);
    }

    fn send(&mut self, task: TaskId, call: CallId, worker: NodeId, experts: &[u16]) {
        self.not_convicted(worker);
        let Some(request) = self.requests.get(&call) else { return };
        let is_witness =
            self.policy != Policy::Trusting && experts.iter().any(|expert| request.accepted.contains(expert));
        let question = request.question(call, experts);
        self.sent_to_holder(call, worker, experts, is_witness);
        experts.iter().for_each(|expert| self.not_twice_to_the_same(call, worker, *expert));
        self.books.tasks.insert(task, Sent { question: question.clone(), worker, deadline: 0 });
        self.books.open.insert(task);
        let Some(asked) = self.workers.get_mut(&worker) else { return };
        for (delay, said) in asked.reply(task, &question, &mut self.chance) {
            self.later(delay, worker, said);
        }
    }

    fn keep(&mut self, task: TaskId, step: &Step) {
        let arrived = step.arrived.as_ref().filter(|(arrived, _)| *arrived == task);
        let fresh = arrived.map(|(_, answer)| answer.clone()).filter(|_| !self.books.kept.contains_key(&task));
        self.require(fresh.is_some(), Invariant::AnswersAreThere, || format!("{task:?} is kept"));
        self.books.kept.extend(fresh.map(|answer| (task, answer)));
    }

    fn accept(&mut self, task: TaskId, call: CallId, experts: &[u16], step: &Step) {
        let arrived = step.arrived.as_ref().filter(|(arrived, _)| *arrived == task).map(|(_, answer)| answer);
        let sent = self.books.tasks.get(&task);
        let Some((sent, answer)) = sent.zip(self.books.kept.get(&task).or(arrived)) else {
            return self.require(false, Invariant::AnswersAreThere, || format!("{task:?} is used"));
        };
        let whole = sent.question.call == call && sent.question.experts.iter().map(|(expert, _)| expert).eq(experts);
        let (worker, wrong, truth) = (sent.worker, *answer != sent.question.truth(), sent.question.truth());
        self.tally.wrong_used += u64::from(answer.sum != truth.sum);
        self.require(whole, Invariant::AnswersAreThere, || format!("a part of {task:?} is used"));
        self.paid_once(call, Some(task), experts);
        if arrived.is_some() {
            self.count_draw(task, worker);
        }
        if wrong {
            self.wrong_used(task, worker);
        }
    }

    fn compare(&mut self, check: CheckId, task: TaskId, against: &[TaskId]) {
        self.witnesses_are_others(task, against);
        self.books.checked.insert(check, task);
        let (sent, kept) = (&self.books.tasks, &self.books.kept);
        let there = |task: &TaskId| Some((&sent.get(task)?.question, kept.get(task)?));
        let witnesses: Option<Vec<_>> = against.iter().map(there).collect();
        let Some((checked, witnesses)) = there(&task).zip(witnesses) else {
            return self.require(false, Invariant::AnswersAreThere, || format!("{task:?} is compared to {against:?}"));
        };
        let same = agree(checked, &witnesses);
        if same && *checked.1 != checked.0.truth() {
            self.books.fooled.insert(task);
            let worker = sent.get(&task).map(|sent| sent.worker);
            self.fooling.extend(worker);
        }
        self.settle_after(100, Input::Compared { check, same });
    }

    fn recompute(&mut self, check: CheckId, task: TaskId, against: &[TaskId]) {
        self.witnesses_are_others(task, against);
        self.books.checked.insert(check, task);
        let (sent, kept) = (&self.books.tasks, &self.books.kept);
        let there = |task: &TaskId| Some((&sent.get(task)?.question, kept.get(task)?));
        let all: Vec<TaskId> = std::iter::once(task).chain(against.iter().copied()).collect();
        if all.iter().any(|task| there(task).is_none()) {
            return self.require(false, Invariant::AnswersAreThere, || format!("{all:?} are recomputed"));
        }
        let is_wrong = |task: &TaskId| there(task).is_some_and(|(question, answer)| question.truth() != *answer);
        let wrong: Vec<TaskId> = all.iter().copied().filter(is_wrong).collect();
        if self.books.recomputing >= RECOMPUTING_AT_MOST {
            let call = sent.get(&task).map(|sent| sent.question.call);
            if let Some(request) = call.and_then(|call| self.requests.get_mut(&call)) {
                request.unsettled = true;
            }
            return self.settle_after(0, Input::NotRecomputed { check });
        }
        self.books.recomputing += 1;
        self.books.disputes.insert(check, all.clone());
        self.settle_after(self.books.recomputing as u64 * RECOMPUTING_US, Input::Recomputed { check, wrong });
    }

    fn accept_recomputed(&mut self, check: CheckId, call: CallId, experts: &[u16]) {
        let sent = self.books.checked.get(&check).and_then(|task| self.books.tasks.get(task));
        let whole = sent.is_some_and(|sent| {
            sent.question.call == call && sent.question.experts.iter().map(|(expert, _)| expert).eq(experts)
        });
        self.require(whole, Invariant::AnswersAreThere, || format!("{check:?} is used for {call:?}"));
        self.paid_once(call, None, experts);
    }

    fn forget(&mut self, tasks: &[TaskId]) {
        for task in tasks {
            let there = self.books.kept.remove(task).is_some();
            self.require(there, Invariant::AnswersAreThere, || format!("{task:?} is forgotten"));
            self.not_in_dispute(*task);
        }
    }

    fn settle_after(&mut self, delay: u64, input: Input) {
        let incarnation = self.incarnation;
        self.agenda.enter(self.now + delay, Event::Settled { incarnation, input });
    }

    /// The driver has compared or recomputed.
    pub(crate) fn settled(&mut self, incarnation: u64, input: Input) {
        if incarnation != self.incarnation {
            return;
        }
        if let Input::Recomputed { check, .. } = &input {
            self.books.recomputing -= 1;
            self.books.disputes.remove(check);
        }
        self.step(input, None);
    }

    /// A worker is connected, and says what it has.
    pub(crate) fn join(&mut self, id: NodeId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.connected || self.convicted.contains(&id) {
            return;
        }
        (worker.connected, worker.cut, worker.epoch, worker.good_since) = (true, false, worker.epoch + 1, self.now);
        let (memory_limit_bytes, experts) = (worker.limit, worker.kept(EXPERT_BYTES));
        self.step(Input::WorkerJoined { worker: id, memory_limit_bytes }, None);
        if !self.workers.get(&id).is_some_and(|worker| worker.connected) {
            return;
        }
        if let Some(standing) = self.standings.remove(&id) {
            self.step(Input::WorkerKnown { worker: id, standing }, None);
        }
        self.report_kept(id, experts);
    }

    /// A worker that comes back says what is on its disk: the core takes it over, or has it dropped.
    fn report_kept(&mut self, id: NodeId, experts: Vec<ExpertId>) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.told.extend(&experts);
        worker.reported.extend(experts.iter().map(|expert| (*expert, now)));
        self.step(Input::WorkerReady { worker: id, experts }, None);
    }

    /// A worker's link is gone, and what was on its way.
    pub(crate) fn disconnect(&mut self, id: NodeId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.lose_link();
        }
        let tasks = &self.books.tasks;
        self.books.open.retain(|task| tasks.get(task).is_some_and(|sent| sent.worker != id));
    }

    /// The driver notices that a worker's link is gone.
    pub(crate) fn leave(&mut self, id: NodeId) {
        if self.workers.get(&id).is_some_and(|worker| worker.connected) {
            self.disconnect(id);
            self.step(Input::WorkerLeft { worker: id }, None);
        }
    }
}
