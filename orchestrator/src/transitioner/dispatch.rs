//! From waiting parts of a call to tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use neuro_primitives::{CallId, Moment, TaskId};

use super::Witness;
use super::call::{Call, Part, PartState, Task};
use crate::effect::{CallError, Effect};
use crate::input::Redundancy;
use crate::orchestrator::Orchestrator;
use crate::registry::{Registry, Slot};
use crate::scheduler::{self, Choice, Item, Lane};
use crate::settings::{Checks, DEADLINE_STRETCH, Settings};
use crate::timers::Timer;
use crate::validator::Checked;

/// A task that is expected to compute for this share of its deadline gets more time: its own expected time this often.
const EXPECTED_TIMES: u64 = 2;

/// What can be done about a waiting part.
enum Outlook {
    /// These workers may be asked, ascending.
    Ask(Vec<Slot>),
    /// Nothing before this moment.
    Wait(Moment),
    /// Nothing any more.
    Fail(CallError),
}

/// How soon somebody else is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Haste {
    /// When it is surely lost.
    None,
    /// After twice what nine in ten of the worker's tasks do not exceed.
    Usual,
    /// After what nineteen in twenty do not exceed: of eight tasks in parallel a second one stalls too often to wait as
    /// long again.
    Again,
}

/// A part to send: its index in the catalogue, its rows, whom to ask.
pub(super) struct Ready {
    pub(super) index: usize,
    pub(super) rows: u32,
    pub(super) holders: Vec<Slot>,
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
        let Call { parts, tasks, .. } = call;
        for part in parts.iter_mut().filter(|part| part.state == PartState::Waiting) {
            let of_part = |task: &&Task| task.experts.contains(&part.index);
            let sent = tasks.iter().filter_map(|id| self.transitioner.tasks.get(id)).filter(of_part);
            let hope = sent.filter_map(|task| hope_until(task, &self.settings, now)).max();
            match outlook(part, &self.registry, &self.settings, now) {
                Outlook::Ask(holders) => {
                    groups.entry(part.origin).or_default().push(Ready { index: part.index, rows: part.rows, holders });
                }
                Outlook::Wait(until) => wake = Some(wake.map_or(until, |before: Moment| before.min(until))),
                // The one asked in the place of a slow worker has failed, and that one may yet answer or has.
                Outlook::Fail(_) if hope.is_some() => wake = wake.min(hope).or(hope),
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
        let twice = self.transitioner.calls.get(&call).is_some_and(|call| call.redundancy == Redundancy::Two);
        for (worker, parts) in self.share_out(parts, now) {
            let checked = self.holds_answers_of(worker);
            let task = self.send(call, worker, &parts, None, now);
            if checked {
                self.begin_check(task, Checked::Awaited, now);
            }
            if twice {
                self.double(task);
            }
        }
    }

    /// Who gets which of the parts, ascending by worker.
    pub(super) fn share_out<'a>(&self, parts: &'a [Ready], now: Moment) -> Vec<(Slot, Vec<&'a Ready>)> {
        let ids: Vec<Slot> =
            parts.iter().flat_map(|part| part.holders.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect();
        let lanes: Vec<Lane> = ids.iter().map(|id| self.lane(*id, now)).collect();
        let items: Vec<Item> = parts.iter().map(|part| self.item(part, &ids)).collect();
        let chosen = scheduler::assign(&lanes, &items);
        let mut tasks: BTreeMap<usize, Vec<&Ready>> = BTreeMap::new();
        for (part, lane) in parts.iter().zip(chosen) {
            tasks.entry(lane).or_default().push(part);
        }
        tasks.into_iter().map(|(lane, parts)| (ids[lane], parts)).collect()
    }

    fn lane(&self, id: Slot, now: Moment) -> Lane {
        let Some(worker) = self.registry.at(id) else { return Lane { start_us: u64::MAX, tasks: usize::MAX } };
        let mut overhead = self.burdened(id, worker.estimate.overhead_us(&self.metering.fleet, now));
        if worker.is_tried_now() {
            let longest = self.settings.shortest_deadline.as_micros();
            overhead = overhead.max(u64::try_from(longest).unwrap_or(u64::MAX));
        }
        Lane { start_us: overhead.saturating_add(worker.backlog_us), tasks: worker.pending }
    }

    fn item(&self, part: &Ready, ids: &[Slot]) -> Item {
        let choice = |id: &Slot| {
            Some(Choice {
                lane: ids.binary_search(id).ok()?,
                cost_us: self.burdened(*id, self.cost_us(*id, part.rows)),
            })
        };
        Item { choices: part.holders.iter().filter_map(choice).collect() }
    }

    fn cost_us(&self, id: Slot, rows: u32) -> u64 {
        self.registry.at(id).map_or(0, |worker| worker.estimate.expert_us(rows, &self.metering.fleet))
    }

    /// A time as the scheduler weighs it: longer for workers that are wrong or late.
    pub(crate) fn burdened(&self, id: Slot, us: u64) -> u64 {
        if self.settings.checks == Checks::Trusting {
            return us;
        }
        us.saturating_mul(self.book.burden(id)) / 256
    }

    /// Sends one task: the call's own, or one to a witness.
    pub(super) fn send(
        &mut self,
        call_id: CallId,
        worker: Slot,
        parts: &[&Ready],
        witness_of: Option<Witness>,
        now: Moment,
    ) -> TaskId {
        self.transitioner.last_task += 1;
        let id = TaskId(self.transitioner.last_task);
        let experts: Vec<usize> = parts.iter().map(|part| part.index).collect();
        let work_us = parts.iter().map(|part| self.cost_us(worker, part.rows)).fold(0, u64::saturating_add);
        let ahead_us = self.registry.at(worker).map_or(0, |worker| worker.backlog_us);
        let rows = parts.iter().map(|part| u64::from(part.rows)).sum::<u64>() / (parts.len() as u64).max(1);
        let haste = if witness_of.is_some() { Haste::Usual } else { self.haste(call_id, worker, &experts) };
        let deadline = |haste| self.deadline(worker, rows, work_us, ahead_us, haste);
        let (span, usual) = (deadline(haste), deadline(Haste::Usual));
        let task = Task {
            call: call_id,
            worker,
            row_experts: parts.iter().map(|part| u64::from(part.rows)).sum(),
            sent: now,
            deadline: now.after(span),
            overdue: now.after(usual.min(span)),
            late: false,
            work_us,
            ahead_us,
            experts: experts.clone(),
            backup_at: None,
            backed_up: false,
            held: false,
            check: None,
            witness_of,
        };
        self.timers.set(task.deadline, Timer::Task(id));
        self.registry.task_sent(worker, &experts, work_us);
        self.transitioner.tasks.insert(id, task);
        self.note_asked(call_id, &experts, worker);
        match witness_of {
            Some(_) => self.metering.counters.tasks += 1,
            None => {
                if !self.note_sent(call_id, id, &experts) {
                    self.backups.pay_in(self.settings.backups_percent);
                }
                self.watch_pace(id, rows, now);
            }
        }
        let numbers = self.transitioner.calls.get(&call_id).map(|call| call.numbers(&experts)).unwrap_or_default();
        self.outbox.push(Effect::SendTask {
            task: id,
            call: call_id,
            worker: self.registry.roster.id(worker),
            experts: numbers,
            deadline: span,
            spot_check: witness_of.is_some_and(|witness| witness.spot),
        });
        id
    }

    fn note_asked(&mut self, call: CallId, experts: &[usize], worker: Slot) {
        let Some(call) = self.transitioner.calls.get_mut(&call) else { return };
        for index in experts {
            if let Some(part) = call.part_mut(*index).filter(|part| !part.asked.contains(&worker)) {
                part.asked.push(worker);
            }
        }
    }

    /// Notes a task of the call's own; whether it is a backup.
    fn note_sent(&mut self, call_id: CallId, id: TaskId, experts: &[usize]) -> bool {
        let Some(call) = self.transitioner.calls.get_mut(&call_id) else { return false };
        call.tasks.push(id);
        let (mut again, mut is_backup) = (false, false);
        for index in experts {
            let Some(part) = call.part_mut(*index) else { continue };
            part.state = PartState::Sent;
            part.unheld_since = None;
            let backup = std::mem::take(&mut part.backup);
            again |= part.attempts > 0 && !backup;
            is_backup |= backup;
            part.attempts += 1;
        }
        for index in experts {
            self.transitioner.stop_waiting(call_id, *index);
        }
        self.metering.counters.tasks += 1;
        self.metering.counters.reissues += u64::from(again);
        is_backup
    }

    /// How long `worker` is waited for: who is the last to ask is not given up soon, since a machine on which everything is
    /// slow would use up all attempts at once.
    fn haste(&self, call: CallId, worker: Slot, experts: &[usize]) -> Haste {
        let Some(call) = self.transitioner.calls.get(&call) else { return Haste::None };
        let parts = || experts.iter().filter_map(|index| call.part(*index));
        let others_left = parts().all(|part| {
            let left = |id: &Slot| *id != worker && !part.asked.contains(id);
            self.registry.serving(part.index).iter().any(left)
        });
        match (others_left, parts().all(|part| part.late > 0)) {
            (false, _) => Haste::None,
            (true, false) => Haste::Usual,
            (true, true) => Haste::Again,
        }
    }

    /// The time a task gets: without haste, or before anybody's pace is known, more when it must compute long, but not
    /// without bound. With haste never less than it is expected to take: the pace of its class knows its rows roughly, and
    /// its experts not at all.
    fn deadline(&self, worker: Slot, rows: u64, work_us: u64, ahead_us: u64, haste: Haste) -> Duration {
        let base = self.settings.task_deadline;
        let expected = expected(work_us, ahead_us);
        let most = base.saturating_add(expected).min(base.saturating_mul(DEADLINE_STRETCH));
        let (percent, times) = match haste {
            Haste::None => return most,
            Haste::Usual => (90, 2),
            Haste::Again => (95, 1),
        };
        let strict = self.usual(worker, rows, percent).map(|usual| usual * times + Duration::from_micros(ahead_us));
        strict.map_or(most, |strict| strict.max(expected).max(self.settings.shortest_deadline).min(most))
    }

    /// What `percent` of the worker's tasks of so many rows an expert do not exceed; of the fleet's while too few of its own
    /// are known, so that a newcomer is waited for as long as anybody.
    pub(super) fn usual(&self, worker: Slot, rows: u64, percent: u32) -> Option<Duration> {
        let own = self.registry.at(worker).and_then(|worker| worker.pace.quantile(rows, percent));
        own.or_else(|| self.metering.fleet_pace.quantile(rows, percent))
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

/// The least that a task gets whose worker's pace is known: what it is expected to take, with what it waits behind, so often
/// that only one that is clearly slow is late.
pub(super) fn expected(work_us: u64, ahead_us: u64) -> Duration {
    Duration::from_micros(work_us.saturating_add(ahead_us).saturating_mul(EXPECTED_TIMES))
}

/// Until when the answer to a task may be used without anybody else being asked: its deadline, or, if it came and is being
/// checked, the next look.
fn hope_until(task: &Task, settings: &Settings, now: Moment) -> Option<Moment> {
    let until = if task.held { now.after(settings.task_deadline) } else { task.deadline };
    (until > now).then_some(until)
}

/// What can be done about a waiting part now. Workers that never saw its rows come first, then those that saw them as
/// witnesses alone; a part fails only when there are none of either and none is on its way.
fn outlook(part: &mut Part, registry: &Registry, settings: &Settings, now: Moment) -> Outlook {
    let serving = registry.serving(part.index);
    let retiring = registry.retiring(part.index);
    let without = |known: &[Slot], holders: &[Slot]| -> Vec<Slot> {
        holders.iter().copied().filter(|id| !known.contains(id)).collect()
    };
    let open = [(&part.asked, serving), (&part.asked, retiring), (&part.tried, serving), (&part.tried, retiring)];
    if let Some(holders) =
        open.iter().map(|(known, holders)| without(known, holders)).find(|holders| !holders.is_empty())
    {
        return Outlook::Ask(holders);
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
    let others: Vec<Slot> = serving.iter().copied().filter(|id| part.tried.last() != Some(id)).collect();
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
