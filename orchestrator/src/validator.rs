//! Which answers are checked, and what follows.
//!
//! ```text
//! task ──▶ awaited ──answer──▶ held ─────▶ Compare ── same ──▶ accepted
//!   │ sampled: drawn after the answer       ▲   └ different ─▶ Recompute ─▶ the right sum is accepted, liars go
//!   └──────────▶ accepted ──────────────────┘                      └▶ was accepted already: the call is retracted
//! call ended meanwhile: a check whose answers are all there is finished, for what it shows; others are given up
//! witnesses: other holders of the same experts, asked for the same rows ── late, faulty, lost ─▶ Recompute
//! ```
//!
//! A *check* covers all experts of one task by *witnesses*, none of whom is the one that is checked. What witnesses are sent
//! is a task like any other. The driver compares, since it has the bytes; who is right it settles from the checkpoint.
//! Comparing raises the standing of all who agree; a result that nobody checked raises nothing.
//!
//! The checkpoint is asked in vain when the driver is overrun. A held answer then waits no longer than [`SETTLED_WITHIN`] and is
//! asked of others; a check of one that was used stays open, so that little more is used, and is tried again. Whose check
//! comes to nothing all the same is on probation again: what nobody could look at is no reason for trust.
//!
//! Two workers who lie alike pass a comparison. So witnesses change, those who were asked lately come last, and one check in
//! [`RECOMPUTED_ONE_IN`] is settled from the checkpoint at once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use neuro_primitives::{CallId, Moment, TaskId};

use crate::effect::{CheckId, Effect};
use crate::orchestrator::Orchestrator;
use crate::registry::Slot;
use crate::settings::Checks;
use crate::tolerance::{Drift, ToleranceClass};
use crate::transitioner::Witness;

mod settling;
mod verdict;

/// One check in so many is settled from the checkpoint, without witnesses.
const RECOMPUTED_ONE_IN: u64 = 8;

/// One check of an accepted answer in so many may be made with rows that belong to nobody alone.
const SPOT_ONE_IN: u64 = 2;

/// How long a held answer waits for the checkpoint. The driver's thread settles some hundreds a second, so a longer wait
/// means a disk or a processor that has stopped.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// How long to wait before the checkpoint is asked again about an answer that was used. Twice as long after each refusal.
const SETTLING_PAUSE: Duration = Duration::from_millis(500);

/// Refusals after which such a check is given up: after eight seconds.
const SETTLED_TRIES: u32 = 5;

/// Witnesses of a worker that are remembered, so that others are asked first.
const RECENT_WITNESSES: usize = 8;

/// What became of the answer that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// It has not come.
    Awaited,
    /// It came and is used when the check has passed.
    Held,
    /// It is in the sum.
    Accepted,
    /// It came, and its call has ended without it. What the check shows counts nevertheless.
    Unused,
}

/// One check under way.
#[derive(Debug)]
struct Check {
    call: CallId,
    /// The task that is checked, and who answers it.
    task: TaskId,
    worker: Slot,
    answer: Checked,
    /// Tasks of witnesses that are not answered.
    asked: Vec<TaskId>,
    /// Those that are.
    witnesses: Vec<(TaskId, Slot)>,
    /// Workers alone cannot finish it.
    recomputed: bool,
    /// The answers differ.
    disputed: bool,
    /// How often the driver could not settle it from the checkpoint.
    refusals: u32,
    /// When it should have settled it, or is asked again; a timer is set for it.
    due: Option<Moment>,
    /// All answers are from exact engines, as far as the driver said: a wrong one is a lie.
    exact: bool,
}

/// All checks, and what decides about the next.
#[derive(Debug)]
pub(crate) struct Validator {
    checks: BTreeMap<CheckId, Check>,
    last: u64,
    secret: [u8; 32],
    draws: u64,
    recent: BTreeMap<Slot, VecDeque<Slot>>,
    /// Checks of [`Checked::Unused`] answers.
    unused: usize,
    /// Checks that the driver was told to settle from the checkpoint in this step.
    settling: Vec<CheckId>,
    /// What results say together that are not exact.
    drifts: BTreeMap<(Slot, ToleranceClass), Drift>,
}

impl Validator {
    /// Draws from `secret`, which workers must not know.
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self {
            checks: BTreeMap::new(),
            last: 0,
            secret,
            draws: 0,
            recent: BTreeMap::new(),
            unused: 0,
            settling: Vec::new(),
            drifts: BTreeMap::new(),
        }
    }

    /// Checks under way.
    pub(crate) fn count(&self) -> usize {
        self.checks.len()
    }

    /// Whether one chance in `of` comes true.
    fn one_in(&mut self, of: u64) -> bool {
        self.draws += 1;
        let hash = blake3::keyed_hash(&self.secret, &self.draws.to_le_bytes());
        let word = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        of <= 1 || word <= u64::MAX / of
    }

    /// Of those who hold something, whom to ask about `worker`: not itself, and those asked lately only if there is nobody
    /// else.
    pub(crate) fn candidates(&self, worker: Slot, holders: &[Slot]) -> Vec<Slot> {
        let others = || holders.iter().copied().filter(|id| *id != worker);
        let fresh: Vec<_> = match self.recent.get(&worker) {
            Some(recent) => others().filter(|id| !recent.contains(id)).collect(),
            None => Vec::new(),
        };
        if fresh.is_empty() { others().collect() } else { fresh }
    }

    fn note_witness(&mut self, worker: Slot, witness: Slot) {
        let recent = self.recent.entry(worker).or_default();
        recent.retain(|id| *id != witness);
        recent.push_back(witness);
        if recent.len() > RECENT_WITNESSES {
            recent.pop_front();
        }
    }

    /// Forgets the results of a worker whose slot is given to another.
    pub(crate) fn forget_drifts(&mut self, worker: Slot) {
        self.drifts.retain(|(slot, _), _| *slot != worker);
    }

    /// Forgets whom a worker that is gone had as witnesses.
    pub(crate) fn forget_worker(&mut self, worker: Slot) {
        self.recent.remove(&worker);
    }
}

impl Orchestrator {
    /// Whether the worker's next answer is used only after its check.
    pub(crate) fn holds_answers_of(&self, worker: Slot) -> bool {
        match self.settings.checks {
            Checks::Trusting => false,
            Checks::Verified => true,
            Checks::Sampled { meanwhile, .. } => {
                self.book.standing(worker).is_none_or(|standing| standing.is_on_probation())
                    || self.book.meanwhile(worker) >= meanwhile
            }
        }
    }

    /// Whether this answer of a worker off probation is checked: drawn after it came, so nobody knows before.
    pub(crate) fn draws_check(&mut self, worker: Slot) -> bool {
        let Checks::Sampled { at_least_one_in, .. } = self.settings.checks else { return false };
        let of = self.book.standing(worker).map_or(1, |standing| standing.checked_one_in(at_least_one_in));
        self.validator.one_in(of.into())
    }

    /// Begins the check of a task; its witnesses are asked at once.
    pub(crate) fn begin_check(&mut self, task: TaskId, answer: Checked, now: Moment) {
        let Some((call, worker, experts)) = self.transitioner.of_task(task) else { return };
        self.validator.last += 1;
        let id = CheckId(self.validator.last);
        let alone = self.validator.one_in(RECOMPUTED_ONE_IN);
        let witnesses = if alone { None } else { self.witnesses(call, worker, &experts, now) };
        let recomputed = witnesses.is_none();
        // Whoever lies about some rows only must fear every second check, whatever rows it has to do with.
        let spot = answer == Checked::Accepted && self.validator.one_in(SPOT_ONE_IN);
        let mut asked = Vec::new();
        for (witness, parts) in witnesses.unwrap_or_default() {
            self.validator.note_witness(worker, witness);
            let purpose = Witness { check: id, spot };
            asked.push(self.ask_witness(purpose, call, witness, &parts, now));
        }
        self.metering.counters.checks += 1;
        self.metering.counters.witness_tasks += asked.len() as u64;
        let check = Check {
            call,
            task,
            worker,
            answer,
            asked,
            witnesses: Vec::new(),
            recomputed,
            disputed: false,
            refusals: 0,
            due: None,
            exact: true,
        };
        self.registry.roster.pin(worker);
        self.validator.checks.insert(id, check);
        self.transitioner.set_check(task, id);
        if answer != Checked::Awaited {
            self.outbox.push(Effect::KeepAnswer { task, in_time: self.transitioner.is_in_time(task) });
            self.settle(id);
        }
    }

    /// The answer of a task that is checked came, and is held.
    pub(crate) fn hold_answer(&mut self, id: CheckId, in_time: bool) {
        let Some(check) = self.validator.checks.get_mut(&id) else { return };
        check.answer = Checked::Held;
        self.outbox.push(Effect::KeepAnswer { task: check.task, in_time });
        self.settle(id);
    }

    /// A witness answered.
    pub(crate) fn take_witness(&mut self, id: CheckId, (task, worker): (TaskId, Slot), in_time: bool) {
        let Some(check) = self.validator.checks.get_mut(&id) else { return };
        check.asked.retain(|other| *other != task);
        check.witnesses.push((task, worker));
        self.registry.roster.pin(worker);
        self.outbox.push(Effect::KeepAnswer { task, in_time });
        self.settle(id);
    }

    /// A witness will not answer: the checkpoint does.
    pub(crate) fn lose_witness(&mut self, id: CheckId) {
        let Some(check) = self.validator.checks.get_mut(&id) else { return };
        check.recomputed = true;
        for task in std::mem::take(&mut check.asked) {
            self.cancel(task);
        }
        self.settle(id);
    }

    /// Has the driver look, once everything is there to look at.
    pub(super) fn settle(&mut self, id: CheckId) {
        let Some(check) = self.validator.checks.get(&id) else { return };
        if check.answer == Checked::Awaited || !check.asked.is_empty() {
            return;
        }
        let (task, against) = (check.task, check.witnesses.iter().map(|(task, _)| *task).collect());
        self.outbox.push(if check.recomputed {
            self.metering.counters.recomputed += 1;
            self.validator.settling.push(id);
            Effect::Recompute { check: id, task, against }
        } else {
            Effect::Compare { check: id, task, against }
        });
    }
}

#[cfg(test)]
mod tests;
