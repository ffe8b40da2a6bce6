//! The life of calls and tasks.
//!
//! ```text
//! expert of a call:  waiting ──▶ sent ──▶ accepted          sent ──late, faulty, lost──▶ waiting
//! task:              pending ──▶ accepted | faulty | lost   pending ──deadline──▶ late ──▶ accepted | forgotten
//! ```
//!
//! A late task stays until its call ends, since its answer may still be the first to come. An answer is one sum over all
//! its experts, so it is accepted whole or not at all: only when none of its experts was accepted before. To keep this
//! simple, the tasks of a call form a tree: experts of different late tasks are never mixed in one re-issue, so of two
//! tasks that share an expert one contains the other, and an accepted answer makes every task that it shares an expert
//! with useless.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use neuro_primitives::{CallId, ExpertId, Moment, NodeId, TaskId};

use crate::effect::{CallError, CheckId, Effect};
use crate::input::{ExpertLoad, Fault, Redundancy};
use crate::orchestrator::Orchestrator;
use crate::registry::{GivenUp, Slot};
use crate::settings::{Checks, REFUSAL_PAUSE};
use crate::timers::Timer;
use crate::validator::Checked;

mod backup;
mod call;
mod dispatch;
mod witness;

pub(crate) use backup::Budget;
pub(crate) use witness::Witness;

use call::{Call, Part, PartState, Task};

/// Doublings of the pause between refusals: 64 pauses of 20 ms are over a second.
const MAX_PAUSE_DOUBLINGS: u32 = 6;

/// Everything in flight. Empty when nothing is.
#[derive(Debug, Default)]
pub(crate) struct Transitioner {
    calls: BTreeMap<CallId, Call>,
    tasks: BTreeMap<TaskId, Task>,
    /// Calls with a waiting part, by expert index.
    waiting: BTreeMap<usize, BTreeSet<CallId>>,
    /// Calls to look at before the step ends.
    dirty: BTreeSet<CallId>,
    last_task: u64,
}

impl Transitioner {
    /// Calls in flight.
    pub(crate) fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// Tasks in flight, late ones of running calls included.
    pub(crate) fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// Parts of calls that wait.
    pub(crate) fn waiting_count(&self) -> usize {
        self.waiting.values().map(BTreeSet::len).sum()
    }

    /// Whether a call waits for the expert.
    pub(crate) fn is_waited_for(&self, expert: usize) -> bool {
        self.waiting.contains_key(&expert)
    }

    /// Looks at the calls that wait for the expert before the step ends.
    pub(crate) fn wake(&mut self, expert: usize) {
        if let Some(calls) = self.waiting.get(&expert) {
            self.dirty.extend(calls);
        }
    }

    fn wait(&mut self, call: CallId, expert: usize) {
        self.waiting.entry(expert).or_default().insert(call);
        self.dirty.insert(call);
    }

    fn stop_waiting(&mut self, call: CallId, expert: usize) {
        if let Some(calls) = self.waiting.get_mut(&expert) {
            calls.remove(&call);
            if calls.is_empty() {
                self.waiting.remove(&expert);
            }
        }
    }
}

impl Orchestrator {
    /// Takes a call in; it is dispatched before the step ends.
    pub(crate) fn take_call(&mut self, id: CallId, layer: u16, loads: &[ExpertLoad], redundancy: Redundancy) {
        debug_assert!(!self.transitioner.calls.contains_key(&id), "call {id:?} is in flight already");
        if self.transitioner.calls.contains_key(&id) {
            return;
        }
        self.metering.counters.calls += 1;
        let parts = match self.parts(layer, loads) {
            Ok(parts) if parts.is_empty() => return self.report_done(id),
            Ok(parts) => parts,
            Err(error) => return self.report_failure(id, error),
        };
        for part in &parts {
            self.metering.used(part.index, part.rows);
            self.transitioner.wait(id, part.index);
        }
        if self.metering.together.looks() && parts.iter().all(|part| part.rows == 1) {
            self.metering.together.note(&parts.iter().map(|part| part.index).collect::<Vec<_>>());
        }
        self.transitioner.calls.insert(id, Call::new(parts, redundancy));
    }

    /// The parts of a call, ascending by expert, each expert once.
    fn parts(&self, layer: u16, loads: &[ExpertLoad]) -> Result<Vec<Part>, CallError> {
        let mut rows: BTreeMap<u16, u32> = BTreeMap::new();
        for load in loads {
            let sum = rows.entry(load.expert).or_default();
            *sum = sum.saturating_add(load.rows.max(1));
        }
        let part = |(expert, rows): (u16, u32)| {
            let id = ExpertId { layer, expert };
            let index = self.registry.catalogue.index(id).ok_or(CallError::UnknownExpert { expert: id })?;
            Ok(Part::new(expert, index, rows))
        };
        rows.into_iter().map(part).collect()
    }

    /// Takes an answer in: accepted when it is the first for all its experts.
    pub(crate) fn take_answer(&mut self, id: TaskId, from: NodeId, compute_us: u32, now: Moment) {
        let Some(task) = self.transitioner.tasks.get(&id).filter(|task| self.registry.roster.id(task.worker) == from)
        else {
            return self.take_stale_answer(id, from, compute_us, now);
        };
        let sample =
            task.size().map(|size| size.answered(now.since(task.sent), Duration::from_micros(compute_us.into())));
        let (call, worker, was_late, witness_of) = (task.call, task.worker, task.late, task.witness_of);
        let first = self.transitioner.calls.get(&call).is_some_and(|call| call.is_open(&task.experts));
        if let Some(worker) = self.registry.at_mut(worker) {
            match sample {
                Some(sample) => {
                    worker.answered(&sample, now);
                    self.metering.answered(&sample, now);
                }
                None => {
                    worker.alive(now);
                }
            }
            worker.tasks_done += u64::from(first);
        }
        if !was_late {
            self.book.note_time(worker, true);
        }
        if let Some(Witness { check, .. }) = witness_of {
            self.forget(id);
            return self.take_witness(check, (id, worker), !was_late);
        }
        if first {
            self.metering.counters.accepted_late += u64::from(was_late);
            self.take_first_answer(id, now);
        } else {
            self.metering.counters.ignored += 1;
            self.forget(id);
        }
    }

    /// The first answer for all experts of a task: held for its check, or accepted, and perhaps checked then.
    fn take_first_answer(&mut self, id: TaskId, now: Moment) {
        let Some(task) = self.transitioner.tasks.get_mut(&id) else { return };
        let (call, worker, check) = (task.call, task.worker, task.check);
        if let Some(check) = check {
            let (fresh, in_time) = (!task.held, !task.late);
            if fresh {
                self.stop_waiting_for(id);
                self.hold_answer(check, in_time);
            }
            return;
        }
        // Since it was sent, others of the worker may have used up what is taken on trust.
        if self.holds_answers_of(worker) {
            self.stop_waiting_for(id);
            return self.begin_check(id, Checked::Held, now);
        }
        let drawn = self.draws_check(worker);
        if drawn {
            self.begin_check(id, Checked::Accepted, now);
        }
        if self.settings.checks != Checks::Trusting {
            self.book.note_accepted(worker, drawn);
        }
        self.accept(call, id, now);
    }

    /// Takes in an answer whose check has passed.
    pub(crate) fn accept_held(&mut self, call: CallId, id: TaskId, now: Moment) {
        self.accept(call, id, now);
    }

    /// Takes in what was recomputed in the place of a wrong answer.
    pub(crate) fn accept_recomputed(&mut self, check: CheckId, call: CallId, id: TaskId, now: Moment) {
        self.take_in(call, id, now, |experts, _| Effect::AcceptRecomputed { check, call, experts });
    }

    /// Does without the answer of a task that is held: others are asked.
    pub(crate) fn return_task(&mut self, id: TaskId, now: Moment) {
        let Some(task) = self.forget(id) else { return };
        if task.is_waited_for() {
            self.reopen(&task, None, |part| part.not_before = now.after(REFUSAL_PAUSE));
        }
    }

    /// An answer to a task that nobody waits for: it shows that the worker lives, and how long it takes. Without these, one
    /// that is overtaken whenever it is slow would never be known as slow, and a far one never be known at all.
    fn take_stale_answer(&mut self, id: TaskId, from: NodeId, compute_us: u32, now: Moment) {
        self.metering.counters.ignored += 1;
        let Some(worker) = self.registry.worker_mut(from) else { return };
        let Some(given_up) = worker.take_given_up(id) else { return };
        let round_trip = now.since(given_up.sent);
        match given_up.size {
            Some(size) => {
                worker.answered_too_late(&size.answered(round_trip, Duration::from_micros(compute_us.into())), now)
            }
            None => {
                worker.alive(now);
            }
        }
    }

    /// Accepts the task's answer, and gives up every other task for one of its experts.
    fn accept(&mut self, call: CallId, id: TaskId, now: Moment) {
        self.take_in(call, id, now, |experts, in_time| Effect::AcceptAnswer { task: id, call, experts, in_time });
    }

    /// Takes in what stands for a task's experts, if none of them was taken in before.
    fn take_in(&mut self, call_id: CallId, id: TaskId, now: Moment, effect: impl FnOnce(Vec<u16>, bool) -> Effect) {
        let Some(task) = self.forget(id) else { return };
        let Some(call) = self.transitioner.calls.get_mut(&call_id) else { return };
        if !call.is_open(&task.experts) {
            return;
        }
        for index in &task.experts {
            if let Some(part) = call.part_mut(*index) {
                part.state = PartState::Accepted;
            }
        }
        let experts = call.numbers(&task.experts);
        let (done, others) = (call.is_done(), call.tasks.clone());
        self.metering.counters.accepted += 1;
        self.outbox.push(effect(experts, !task.late));
        for index in &task.experts {
            self.transitioner.stop_waiting(call_id, *index);
        }
        let mut silences = Vec::new();
        for other in others {
            let shares = |other: &Task| other.experts.iter().any(|index| task.experts.contains(index));
            if self.transitioner.tasks.get(&other).is_some_and(shares) {
                silences.extend(self.note_overtaken(other, now));
                self.cancel(other);
            }
        }
        if done {
            self.end_call(call_id);
            self.report_done(call_id);
        }
        for (worker, silence) in silences {
            self.expel_if_silent(self.registry.roster.id(worker), silence, now);
        }
    }

    /// A task is not needed any more since a part of it was taken in from another worker. Its worker was not asked in vain for
    /// that: what is left of the task may be asked of it again. If the task was in time, for how long the worker has been
    /// silent.
    fn note_overtaken(&mut self, id: TaskId, now: Moment) -> Option<(Slot, Duration)> {
        let task = self.transitioner.tasks.get(&id)?;
        let call = self.transitioner.calls.get_mut(&task.call)?;
        for index in &task.experts {
            if let Some(part) = call.part_mut(*index) {
                part.tried.retain(|tried| *tried != task.worker);
            }
        }
        self.transitioner.dirty.insert(task.call);
        let worker = self.registry.at_mut(task.worker).filter(|_| !task.late)?;
        Some((task.worker, worker.overtaken(task.sent, now)))
    }

    /// Takes a fault in: the task's experts are given to others, and the worker is charged.
    pub(crate) fn take_fault(&mut self, id: TaskId, from: NodeId, fault: Fault, now: Moment) {
        let task = self.transitioner.tasks.get(&id).filter(|task| self.registry.roster.id(task.worker) == from);
        let (known, pending) = (task.is_some(), task.is_some_and(|task| !task.late));
        let sent = task.map(|task| task.sent);
        let Some(worker) = self.registry.worker_mut(from) else { return };
        let given_up = worker.take_given_up(id);
        let Some(sent) = sent.or(given_up.map(|entry| entry.sent)) else { return };
        let silence = match fault {
            Fault::Undelivered => worker.in_vain(sent, now),
            _ => worker.alive(now),
        };
        // A worker that was told to forget a task and its experts may rightly say that it does not hold them.
        let held_against = fault.is_held_against_worker() && (known || fault != Fault::NotHeld);
        let faults = if held_against { worker.faults.add(now) } else { 0 };
        if let Some(slot) = self.registry.slot(from) {
            if held_against {
                self.book.note_fault(slot);
            }
            if pending && fault.is_refusal() {
                self.book.note_time(slot, false);
            }
        }
        self.metering.counters.faults += 1;
        self.fail_task(id, fault, now);
        if faults >= self.settings.max_faults.max(1) {
            self.expel(from, format!("{faults} faults, the last one: {fault:?}"), true, now);
        } else {
            self.expel_if_silent(from, silence, now);
        }
    }

    /// Ends a task that failed at its worker, if it is still known.
    fn fail_task(&mut self, id: TaskId, fault: Fault, now: Moment) {
        let Some(task) = self.forget(id) else { return };
        if let Some(worker) = self.registry.at_mut(task.worker) {
            worker.estimate.doubt(now.since(task.sent), now);
        }
        if fault == Fault::NotHeld {
            self.hold_again(self.registry.roster.id(task.worker), &task.experts, now);
        }
        if let Some(Witness { check, .. }) = task.witness_of {
            self.lose_witness(check);
        }
        if task.is_waited_for() {
            self.reopen(&task, None, |part| {
                let pause = REFUSAL_PAUSE * (1 << part.refusals.min(MAX_PAUSE_DOUBLINGS));
                part.refusals += 1;
                part.not_before = now.after(pause);
            });
        }
    }

    /// A task's deadline passed: its experts are given to others, its answer stays welcome.
    pub(crate) fn take_deadline(&mut self, id: TaskId, now: Moment) {
        let Some(task) = self.transitioner.tasks.get_mut(&id) else { return };
        task.late = true;
        let task = task.clone();
        self.metering.counters.late += 1;
        self.book.note_time(task.worker, false);
        self.registry.task_settled(task.worker, task.work_us);
        match task.witness_of {
            Some(Witness { check, .. }) => {
                self.cancel(id);
                self.lose_witness(check);
            }
            None if !task.backed_up => self.reopen(&task, Some(id), |part| part.late += 1),
            None => {}
        }
        let Some(worker) = self.registry.at_mut(task.worker) else { return };
        let (silence, watch) = (worker.missed(task.sent, now), worker.is_to_be_watched());
        if watch {
            self.watched.insert((task.sent.after(self.longest_silence()), task.worker));
        }
        self.expel_if_silent(self.registry.roster.id(task.worker), silence, now);
    }

    fn expel_if_silent(&mut self, worker: NodeId, silence: Duration, now: Moment) {
        if silence >= self.longest_silence() {
            self.expel(worker, format!("no answer for {} ms", silence.as_millis()), false, now);
        }
    }

    /// Expels workers that were asked and have answered nothing since they came. A worker computes what it has begun even if
    /// nobody waits for it any more, so whoever works at all is heard of by then; nobody asks it again meanwhile, since it
    /// is slow.
    pub(crate) fn expel_who_never_answered(&mut self, now: Moment) {
        let longest = self.longest_silence();
        while let Some((_, slot)) = self.watched.first().copied().filter(|(due, _)| *due <= now) {
            self.watched.pop_first();
            if self.registry.at(slot).is_some_and(|worker| worker.never_answered(longest, now)) {
                self.expel_if_silent(self.registry.roster.id(slot), longest, now);
            }
        }
    }

    /// How long a worker may be asked in vain.
    pub(crate) fn longest_silence(&self) -> Duration {
        self.settings.task_deadline.saturating_mul(self.settings.max_faults.max(1))
    }

    /// Tasks of a worker that is gone: what was pending is given to others. None of them was answered in time.
    pub(crate) fn lose_tasks(&mut self, slot: Slot, now: Moment) {
        let of_worker = |task: &Task| task.worker == slot && !task.held;
        let lost: Vec<TaskId> =
            self.transitioner.tasks.iter().filter(|(_, task)| of_worker(task)).map(|(id, _)| *id).collect();
        let first = lost.first().and_then(|id| self.transitioner.tasks.get(id)).map(|task| task.sent);
        if let Some((sent, worker)) = first.zip(self.registry.at_mut(slot)) {
            worker.estimate.doubt(now.since(sent), now);
            worker.in_vain(sent, now);
        }
        for id in lost {
            let Some(task) = self.forget(id) else { continue };
            if !task.late {
                self.book.note_time(slot, false);
            }
            if let Some(Witness { check, .. }) = task.witness_of {
                self.lose_witness(check);
            }
            if task.is_waited_for() {
                self.reopen(&task, None, |_| ());
            }
        }
    }

    /// Puts the task's experts back to waiting. `origin` is the task when its answer may still come.
    fn reopen(&mut self, task: &Task, origin: Option<TaskId>, note: impl Fn(&mut Part)) {
        let Some(call) = self.transitioner.calls.get_mut(&task.call) else { return };
        for index in &task.experts {
            let Some(part) = call.part_mut(*index) else { continue };
            part.state = PartState::Waiting;
            part.origin = origin.or(part.origin);
            part.tried.push(task.worker);
            note(part);
        }
        for index in &task.experts {
            self.transitioner.wait(task.call, *index);
        }
    }

    /// The caller gave the call up.
    pub(crate) fn cancel_call(&mut self, id: CallId) {
        if self.end_call(id) {
            self.metering.counters.calls_cancelled += 1;
        }
    }

    /// Fails a call that may be in flight.
    fn fail_call(&mut self, id: CallId, error: CallError) {
        self.end_call(id);
        self.report_failure(id, error);
    }

    fn report_done(&mut self, call: CallId) {
        self.metering.counters.calls_done += 1;
        self.outbox.push(Effect::CallDone { call });
    }

    fn report_failure(&mut self, call: CallId, error: CallError) {
        self.metering.counters.calls_failed += 1;
        self.outbox.push(Effect::CallFailed { call, error });
    }

    /// Removes every trace of a call; whether there was one.
    fn end_call(&mut self, id: CallId) -> bool {
        let Some(call) = self.transitioner.calls.remove(&id) else { return false };
        self.transitioner.dirty.remove(&id);
        if let Some(at) = call.timer {
            self.timers.clear(at, Timer::Call(id));
        }
        for part in &call.parts {
            self.transitioner.stop_waiting(id, part.index);
        }
        for task in call.tasks {
            self.cancel(task);
        }
        true
    }

    /// Forgets a task and tells its worker.
    pub(crate) fn cancel(&mut self, id: TaskId) {
        let Some(task) = self.forget(id).filter(|task| !task.held) else { return };
        if let Some(worker) = self.registry.at_mut(task.worker) {
            worker.give_up(GivenUp { task: id, sent: task.sent, size: task.size() });
            self.outbox.push(Effect::CancelTask { task: id, worker: self.registry.roster.id(task.worker) });
        }
    }

    /// Takes a task's timers back and its work and experts off its worker's account: its answer came, or will not be waited
    /// for. The account may be another one later, if the worker leaves and returns.
    fn stop_waiting_for(&mut self, id: TaskId) {
        let Some(task) = self.transitioner.tasks.get_mut(&id) else { return };
        if let Some(at) = task.backup_at.take() {
            self.timers.clear(at, Timer::Backup(id));
        }
        task.held = true;
        if !task.late {
            self.timers.clear(task.deadline, Timer::Task(id));
            self.registry.task_settled(task.worker, task.work_us);
        }
        self.registry.task_forgotten(task.worker, &task.experts);
    }

    /// Removes every trace of a task but what its call's parts say.
    fn forget(&mut self, id: TaskId) -> Option<Task> {
        let held = self.transitioner.tasks.get(&id)?.held;
        if !held {
            self.stop_waiting_for(id);
        }
        let task = Task { held, ..self.transitioner.tasks.remove(&id)? };
        if let Some(check) = task.check {
            self.abandon_check(check);
        }
        if let Some(call) = self.transitioner.calls.get_mut(&task.call) {
            call.tasks.retain(|other| *other != id);
        }
        Some(task)
    }
}
