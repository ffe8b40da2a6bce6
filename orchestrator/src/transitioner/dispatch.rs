//! From waiting parts of a call to tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use neuro_primitives::{CallId, Moment, NodeId, TaskId};

use super::call::{Part, PartState, Task};
use crate::effect::{CallError, Effect};
use crate::orchestrator::Orchestrator;
use crate::registry::Registry;
use crate::scheduler::{self, Choice, Item, Lane};
use crate::settings::{DEADLINE_STRETCH, Settings};
use crate::timers::Timer;

/// A task that is expected to compute for this share of its deadline gets more time: its own expected time this often.
const EXPECTED_TIMES: u64 = 2;

/// What can be done about a waiting part.
enum Outlook {
    /// These workers may be asked, ascending.
    Ask(Vec<NodeId>),
    /// Nothing before this moment.
    Wait(Moment),
    /// Nothing any more.
    Fail(CallError),
}

/// A part to send: its index in the catalogue, its rows, whom to ask.
struct Ready {
    index: usize,
    rows: u32,
    holders: Vec<NodeId>,
}

impl Orchestrator {
    /// Looks at all calls that something happened to.
    pub(crate) fn dispatch_dirty(&mut self, now: Moment) -> bool {
        let dirty = std::mem::take(&mut self.transitioner.dirty);
        let any = !dirty.is_empty();
        for call in dirty {
            self.dispatch(call, now);
        }
        any
    }

    /// The call's timer fired.
    pub(crate) fn take_call_timer(&mut self, id: CallId) {
        if let Some(call) = self.transitioner.calls.get_mut(&id) {
            call.timer = None;
            self.transitioner.dirty.insert(id);
        }
    }

    /// Sends what can be sent, fails the call when it cannot succeed, and else sets its timer.
    fn dispatch(&mut self, id: CallId, now: Moment) {
        let Some(call) = self.transitioner.calls.get_mut(&id) else { return };
        let mut groups: BTreeMap<Option<TaskId>, Vec<Ready>> = BTreeMap::new();
        let (mut wake, mut failure) = (None, None);
        for part in call.parts.iter_mut().filter(|part| part.state == PartState::Waiting) {
            match outlook(part, &self.registry, &self.settings, now) {
                Outlook::Ask(holders) => {
                    groups.entry(part.origin).or_default().push(Ready { index: part.index, rows: part.rows, holders });
                }
                Outlook::Wait(until) => wake = Some(wake.map_or(until, |before: Moment| before.min(until))),
                Outlook::Fail(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = failure {
            return self.fail_call(id, error);
        }
        self.set_call_timer(id, wake);
        for group in groups.into_values() {
            self.send_group(id, &group, now);
        }
    }

    /// Chooses holders for parts of the same origin together, and sends the tasks.
    fn send_group(&mut self, call: CallId, parts: &[Ready], now: Moment) {
        let ids: Vec<NodeId> =
            parts.iter().flat_map(|part| part.holders.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect();
        let lanes: Vec<Lane> = ids.iter().map(|id| self.lane(*id, now)).collect();
        let items: Vec<Item> = parts.iter().map(|part| self.item(part, &ids)).collect();
        let chosen = scheduler::assign(&lanes, &items);
        let mut tasks: BTreeMap<usize, Vec<&Ready>> = BTreeMap::new();
        for (part, lane) in parts.iter().zip(chosen) {
            tasks.entry(lane).or_default().push(part);
        }
        for (lane, parts) in tasks {
            self.send(call, ids[lane], &parts, now);
        }
    }

    fn lane(&self, id: NodeId, now: Moment) -> Lane {
        let Some(worker) = self.registry.worker(id) else { return Lane { start_us: u64::MAX, tasks: usize::MAX } };
        let overhead = worker.estimate.overhead_us(&self.metering.fleet, now);
        Lane { start_us: overhead.saturating_add(worker.backlog_us), tasks: worker.pending }
    }

    fn item(&self, part: &Ready, ids: &[NodeId]) -> Item {
        let choice =
            |id: &NodeId| Some(Choice { lane: ids.binary_search(id).ok()?, cost_us: self.cost_us(*id, part.rows) });
        Item { choices: part.holders.iter().filter_map(choice).collect() }
    }

    fn cost_us(&self, id: NodeId, rows: u32) -> u64 {
        self.registry.worker(id).map_or(0, |worker| worker.estimate.expert_us(rows, &self.metering.fleet))
    }

    /// Sends one task.
    fn send(&mut self, call_id: CallId, worker: NodeId, parts: &[&Ready], now: Moment) {
        self.transitioner.last_task += 1;
        let id = TaskId(self.transitioner.last_task);
        let experts: Vec<usize> = parts.iter().map(|part| part.index).collect();
        let work_us = parts.iter().map(|part| self.cost_us(worker, part.rows)).fold(0, u64::saturating_add);
        let ahead_us = self.registry.worker(worker).map_or(0, |worker| worker.backlog_us);
        let span = self.deadline(work_us.saturating_add(ahead_us));
        let task = Task {
            call: call_id,
            worker,
            row_experts: parts.iter().map(|part| u64::from(part.rows)).sum(),
            sent: now,
            deadline: now.after(span),
            late: false,
            work_us,
            ahead_us,
            experts: experts.clone(),
        };
        self.timers.set(task.deadline, Timer::Task(id));
        self.registry.task_sent(worker, &experts, work_us);
        self.transitioner.tasks.insert(id, task);
        self.note_sent(call_id, id, &experts);
        let numbers = self.transitioner.calls.get(&call_id).map(|call| call.numbers(&experts)).unwrap_or_default();
        self.outbox.push(Effect::SendTask { task: id, call: call_id, worker, experts: numbers, deadline: span });
    }

    fn note_sent(&mut self, call_id: CallId, id: TaskId, experts: &[usize]) {
        let Some(call) = self.transitioner.calls.get_mut(&call_id) else { return };
        call.tasks.push(id);
        let mut again = false;
        for index in experts {
            let Some(part) = call.part_mut(*index) else { continue };
            part.state = PartState::Sent;
            part.unheld_since = None;
            again |= part.attempts > 0;
            part.attempts += 1;
        }
        for index in experts {
            self.transitioner.stop_waiting(call_id, *index);
        }
        self.metering.counters.tasks += 1;
        self.metering.counters.reissues += u64::from(again);
    }

    /// The time a task gets: more when it must compute long, but not without bound.
    fn deadline(&self, expected_us: u64) -> Duration {
        let base = self.settings.task_deadline;
        let stretched = base.saturating_add(Duration::from_micros(expected_us.saturating_mul(EXPECTED_TIMES)));
        stretched.min(base.saturating_mul(DEADLINE_STRETCH))
    }

    fn set_call_timer(&mut self, id: CallId, wake: Option<Moment>) {
        let Some(call) = self.transitioner.calls.get_mut(&id) else { return };
        if call.timer == wake {
            return;
        }
        if let Some(at) = call.timer {
            self.timers.clear(at, Timer::Call(id));
        }
        if let Some(at) = wake {
            self.timers.set(at, Timer::Call(id));
        }
        call.timer = wake;
    }
}

/// What can be done about a waiting part now. Workers that were not tried come first; a part fails only when there are
/// none and none is on its way.
fn outlook(part: &mut Part, registry: &Registry, settings: &Settings, now: Moment) -> Outlook {
    let serving = registry.serving(part.index);
    let untried =
        |holders: &[NodeId]| -> Vec<NodeId> { holders.iter().copied().filter(|id| !part.tried.contains(id)).collect() };
    let (fresh, last_resort) = (untried(serving), untried(&registry.retiring(part.index)));
    if !fresh.is_empty() || !last_resort.is_empty() {
        return Outlook::Ask(if fresh.is_empty() { last_resort } else { fresh });
    }
    let exhausted = part.attempts >= settings.max_attempts;
    let coming = registry.is_coming(part.index);
    if serving.is_empty() || (exhausted && coming) {
        return wait_for_holder(part, registry, settings, now);
    }
    part.unheld_since = None;
    if exhausted {
        return Outlook::Fail(attempts_used(part, registry));
    }
    if part.not_before > now {
        return Outlook::Wait(part.not_before);
    }
    let others: Vec<NodeId> = serving.iter().copied().filter(|id| part.tried.last() != Some(id)).collect();
    Outlook::Ask(if others.is_empty() { serving.to_vec() } else { others })
}

/// Waits for a new holder as long as the call's patience lasts.
fn wait_for_holder(part: &mut Part, registry: &Registry, settings: &Settings, now: Moment) -> Outlook {
    let since = *part.unheld_since.get_or_insert(now);
    let end = since.after(settings.call_patience);
    if end > now {
        return Outlook::Wait(end);
    }
    let waited = now.since(since);
    Outlook::Fail(if registry.worker_count() == 0 {
        CallError::NoWorkers { waited }
    } else if registry.serving(part.index).is_empty() {
        CallError::NoHolder { expert: registry.catalogue.id(part.index), waited }
    } else {
        attempts_used(part, registry)
    })
}

fn attempts_used(part: &Part, registry: &Registry) -> CallError {
    CallError::Attempts { expert: registry.catalogue.id(part.index), attempts: part.attempts, late: part.late }
}
