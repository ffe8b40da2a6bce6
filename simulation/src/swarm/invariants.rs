//! What must hold at every step, whatever befalls the swarm. One function an invariant; the first that does not hold ends
//! the run.

use std::collections::BTreeSet;
use std::fmt;

use neuro_orchestrator::{InFlight, Input};
use neuro_primitives::{CallId, ExpertId, NodeId, TaskId};

use super::client::{End, Request};
use super::report::Policy;
use super::worker::{Worker, name};
use super::world::{EXPERT_BYTES, World};

/// Backup requests that may be sent in a burst, beside those that tasks have paid for.
const BURST: u64 = 16;

/// Wrong results of one identity that are used under `sampled`, but for a chance below 10^-6.
const WRONG_AT_MOST: u64 = 700;

/// One thing that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Each call ends once.
    AnsweredOnce,
    /// No unit of work is taken in twice, and no task.
    PaidOnce,
    /// Only what came, or was kept, is used, kept, compared or forgotten.
    AnswersAreThere,
    /// Under `verified`, a wrong result is used only after two liars agreed on it.
    NothingWrongUsed,
    /// Under `sampled`, few wrong results of one identity are used.
    FewWrongUsed,
    /// A wrong result that was used is retracted when it is found.
    FoundIsRetracted,
    /// No answer is forgotten while the checkpoint is asked about it, whatever becomes of its call.
    DisputesAreSettled,
    /// Trust rises when a check ends and at no other time, and a fault begins probation again.
    TrustIsEarned,
    /// A witness's work is credited once, and its answer is right unless a pact fooled the check.
    WitnessesAreCredited,
    /// An answer counts as in time if it came before its deadline.
    PaidInTime,
    /// Only those who lied are convicted, each by its own answer.
    OnlyLiarsConvicted,
    /// Liars that fooled a check are found.
    LiarsAreFound,
    /// Who is convicted gets nothing to do.
    ConvictsAreIdle,
    /// Backups stay within their budget.
    BackupsWithinBudget,
    /// What the core keeps is bounded by what is in flight.
    MemoryBounded,
    /// Nobody is a witness of itself.
    WitnessIsAnother,
    /// A task goes to a worker that holds its experts, for what is still missing.
    SentToHolder,
    /// The same rows go to the same worker again only if nobody else holds the expert.
    NotTwiceToTheSame,
    /// A copy that is dropped is neither the last one nor in use.
    CopiesInUseStay,
    /// Nobody is given more than its limit.
    MemoryLimitsKept,
    /// A call fails only if no good worker held what it missed.
    FailsOnlyWithoutHelp,
    /// At rest nothing is in flight and nothing is kept.
    NothingLeaks,
    /// At rest everything is placed as often as memory allows.
    AllPlacedAtRest,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnsweredOnce => "each call ends once",
            Self::PaidOnce => "no work is paid twice",
            Self::AnswersAreThere => "only answers that are there are used, kept, compared or forgotten",
            Self::NothingWrongUsed => "under verified no wrong result is used unless two liars agree",
            Self::FewWrongUsed => "under sampled few wrong results of one identity are used",
            Self::FoundIsRetracted => "a wrong result that was used is retracted when it is found",
            Self::DisputesAreSettled => "no answer is forgotten while the checkpoint is asked about it",
            Self::TrustIsEarned => "trust rises when a check ends, and a fault begins probation again",
            Self::WitnessesAreCredited => "right witnesses are credited once",
            Self::PaidInTime => "an answer counts as in time if it came before its deadline",
            Self::OnlyLiarsConvicted => "only liars are convicted, by their own answers",
            Self::LiarsAreFound => "liars that fooled a check are found in the end",
            Self::ConvictsAreIdle => "who is convicted gets nothing to do",
            Self::BackupsWithinBudget => "backups stay within their budget",
            Self::MemoryBounded => "what is kept is bounded by what is in flight",
            Self::WitnessIsAnother => "nobody is a witness of itself",
            Self::SentToHolder => "a task goes to a holder, for what is missing",
            Self::NotTwiceToTheSame => "the same rows go twice to a worker only if nobody else holds the expert",
            Self::CopiesInUseStay => "copies that are the last or in use stay",
            Self::MemoryLimitsKept => "memory limits are kept",
            Self::FailsOnlyWithoutHelp => "a call fails only if no good worker held what it missed",
            Self::NothingLeaks => "at rest nothing is in flight and nothing is kept",
            Self::AllPlacedAtRest => "at rest everything is placed as often as memory allows",
        })
    }
}

impl World {
    /// Notes the first thing that does not hold.
    pub(crate) fn require(&mut self, holds: bool, invariant: Invariant, detail: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some((invariant, detail()));
        }
    }

    /// [`Invariant::AnsweredOnce`]: a call ends, and has not before; one that is done misses nothing.
    pub(crate) fn ends_once(&mut self, id: CallId, end: End) {
        let call = self.requests.get(&id);
        let open = call.is_some_and(|call| call.end.is_none());
        let complete = end != End::Done || call.is_some_and(Request::is_complete);
        self.require(open && complete, Invariant::AnsweredOnce, || format!("{id:?} ends as {end:?}"));
    }

    /// [`Invariant::PaidOnce`]: the task, and each of its experts in the call, for the first time.
    pub(crate) fn paid_once(&mut self, id: CallId, task: Option<TaskId>, experts: &[u16]) {
        let fresh_task = task.is_none_or(|task| self.books.used.insert(task));
        let call = self.requests.get_mut(&id).filter(|call| call.end.is_none());
        let fresh = call.is_some_and(|call| {
            experts.iter().all(|expert| call.rows.contains_key(expert) && call.accepted.insert(*expert))
        });
        self.require(fresh && fresh_task, Invariant::PaidOnce, || format!("{task:?} of {id:?}, experts {experts:?}"));
    }

    /// [`Invariant::NothingWrongUsed`], [`Invariant::FewWrongUsed`]: of a wrong answer that is used.
    pub(crate) fn wrong_used(&mut self, task: TaskId, worker: NodeId) {
        let used = self.wrong_used.entry(worker).or_default();
        *used += 1;
        let used = *used;
        match self.policy {
            Policy::Verified => {
                let fooled = self.books.fooled.contains(&task);
                self.require(fooled, Invariant::NothingWrongUsed, || format!("{task:?} of {}", name(worker)));
            }
            Policy::Sampled => {
                let few = used <= WRONG_AT_MOST;
                self.require(few, Invariant::FewWrongUsed, || format!("{used} of {}", name(worker)));
            }
            Policy::Trusting => {}
        }
    }

    /// [`Invariant::OnlyLiarsConvicted`]: by a kept answer of its own that is wrong.
    pub(crate) fn convicted_rightly(&mut self, worker: NodeId, task: TaskId) {
        let own = self.books.tasks.get(&task).filter(|sent| sent.worker == worker);
        let wrong = own.zip(self.books.kept.get(&task)).is_some_and(|(sent, kept)| *kept != sent.question.truth());
        let ill = self.workers.get(&worker).is_some_and(|worker| worker.conduct.is_ill());
        self.require(wrong && ill, Invariant::OnlyLiarsConvicted, || format!("{} by {task:?}", name(worker)));
    }

    /// [`Invariant::ConvictsAreIdle`]
    pub(crate) fn not_convicted(&mut self, worker: NodeId) {
        let idle = !self.convicted.contains(&worker);
        self.require(idle, Invariant::ConvictsAreIdle, || name(worker));
    }

    /// [`Invariant::WitnessIsAnother`]
    pub(crate) fn witnesses_are_others(&mut self, task: TaskId, against: &[TaskId]) {
        let worker = |task: &TaskId| self.books.tasks.get(task).map(|sent| sent.worker);
        let checked = worker(&task);
        let others = checked.is_some() && against.iter().all(|witness| worker(witness) != checked);
        self.require(others, Invariant::WitnessIsAnother, || format!("{task:?} against {against:?}"));
    }

    /// [`Invariant::SentToHolder`]: what a call misses, to a live worker that reported every expert.
    pub(crate) fn sent_to_holder(&mut self, call: CallId, worker: NodeId, experts: &[u16], is_witness: bool) {
        let Some(request) = self.requests.get(&call) else { return };
        let missing = experts.iter().all(|expert| request.rows.contains_key(expert))
            && (is_witness || experts.iter().all(|expert| !request.accepted.contains(expert)));
        let holds = self.workers.get(&worker).is_some_and(|worker| {
            let name = |expert: &u16| ExpertId { layer: request.layer, expert: *expert };
            worker.connected && experts.iter().all(|expert| worker.reported.contains_key(&name(expert)))
        });
        let fits = !experts.is_empty() && experts.is_sorted() && request.end.is_none();
        self.require(missing && holds && fits, Invariant::SentToHolder, || {
            format!("{call:?}, {}, experts {experts:?}, witness {is_witness}", name(worker))
        });
    }

    /// [`Invariant::NotTwiceToTheSame`]: looked at for each expert of a task that is sent.
    pub(crate) fn not_twice_to_the_same(&mut self, call: CallId, worker: NodeId, expert: u16) {
        let Some(request) = self.requests.get_mut(&call) else { return };
        let asked = request.asked.entry(expert).or_default();
        if asked.insert(worker) {
            return;
        }
        let id = ExpertId { layer: request.layer, expert };
        let untried = holders(self.workers.values(), id).find(|holder| !asked.contains(holder));
        self.require(untried.is_none(), Invariant::NotTwiceToTheSame, || {
            format!("{call:?}, {id}, {} again instead of {}", name(worker), untried.map(name).unwrap_or_default())
        });
    }

    /// [`Invariant::CopiesInUseStay`]: of a copy that was ready, after it was dropped.
    pub(crate) fn dropped_rightly(&mut self, worker: NodeId, expert: ExpertId) {
        let others = holders(self.workers.values(), expert).next().is_some();
        let in_use = self.books.open.iter().filter_map(|task| self.books.tasks.get(task)).any(|sent| {
            let question = &sent.question;
            sent.worker == worker
                && question.layer == expert.layer
                && question.experts.iter().any(|(number, _)| *number == expert.expert)
        });
        self.require(others && !in_use, Invariant::CopiesInUseStay, || {
            format!("{expert} at {}: others {others}, in use {in_use}", name(worker))
        });
    }

    /// [`Invariant::MemoryLimitsKept`]: after each step.
    pub(crate) fn within_limits(&mut self) {
        let mut over = self.workers.values().filter(|worker| worker.told.len() as u64 * EXPERT_BYTES > worker.limit);
        let over = over.next().map(|worker| worker.id);
        self.require(over.is_none(), Invariant::MemoryLimitsKept, || over.map(name).unwrap_or_default());
    }

    /// [`Invariant::FailsOnlyWithoutHelp`]: an expert was missing that no worker held and answered well since before the
    /// call, or the driver refused to settle a check of it.
    pub(crate) fn failed_rightly(&mut self, id: CallId, why: &str) {
        let Some(call) = self.requests.get(&id) else { return };
        let mut missing = call.rows.keys().filter(|expert| !call.accepted.contains(expert));
        let helpless = call.unsettled || missing.any(|expert| !self.good_holder(call, *expert));
        self.require(helpless, Invariant::FailsOnlyWithoutHelp, || format!("{id:?}: {why}"));
    }

    fn good_holder(&self, call: &Request, expert: u16) -> bool {
        let id = ExpertId { layer: call.layer, expert };
        self.workers.values().any(|worker| {
            let since = worker.reported.get(&id).map(|at| worker.good_since.max(*at));
            worker.connected
                && !worker.cut
                && worker.conduct.is_good()
                && since.is_some_and(|since| since < call.started)
        })
    }

    /// [`Invariant::FoundIsRetracted`]: after a step that told the core what was recomputed.
    pub(crate) fn found_is_retracted(&mut self, input: &Input, retracted: &BTreeSet<CallId>) {
        let Input::Recomputed { check, wrong } = input else { return };
        let Some(task) = self.books.checked.get(check).copied().filter(|task| wrong.contains(task)) else { return };
        let Some(call) = self.books.tasks.get(&task).map(|sent| sent.question.call) else { return };
        let told = !self.books.used.contains(&task) || retracted.contains(&call);
        self.require(told, Invariant::FoundIsRetracted, || format!("{task:?} of {call:?}"));
    }

    /// [`Invariant::BackupsWithinBudget`], [`Invariant::MemoryBounded`]: after each step.
    pub(crate) fn bounded(&mut self) {
        let counters = self.core.counters();
        let within = counters.backups * 100 <= counters.tasks * 10 + BURST * 100;
        let backups = counters.backups;
        self.require(within, Invariant::BackupsWithinBudget, || format!("{backups} of {} tasks", counters.tasks));
        let now = self.core.in_flight();
        let (open, kept, calls) = (self.books.open.len(), self.books.kept.len(), self.open_calls);
        let bounded = now.calls == calls
            && now.tasks <= open + kept
            && now.checks <= open + kept
            && kept <= now.checks * (1 + usize::from(super::world::EXPERTS))
            && now.timers <= 2 * open + calls + now.checks + self.workers.len() + 2;
        self.require(bounded, Invariant::MemoryBounded, || {
            format!("{now:?}, but {calls} calls, {open} tasks, {kept} answers")
        });
    }

    /// [`Invariant::LiarsAreFound`]: at the end.
    pub(crate) fn liars_are_found(&mut self) {
        let free = self.unfound();
        self.require(free.is_empty(), Invariant::LiarsAreFound, || format!("{free:?}"));
    }

    /// [`Invariant::NothingLeaks`], [`Invariant::AllPlacedAtRest`]: at the end.
    pub(crate) fn at_rest(&mut self) {
        let (now, kept, queue) = (self.core.in_flight(), self.books.kept.len(), self.books.recomputing);
        let (open, idle) = (self.open_calls, self.core.workers().iter().all(|worker| worker.in_flight == 0));
        let still = now == InFlight::default() && kept == 0 && queue == 0 && open == 0 && idle;
        self.require(still, Invariant::NothingLeaks, || {
            format!("{now:?}, {open} calls, {kept} answers, queue {queue}")
        });
        let here: Vec<&Worker> = self.workers.values().filter(|worker| worker.connected).collect();
        let capacity: u64 = here.iter().map(|worker| worker.limit.min(World::all_bytes()) / EXPERT_BYTES).sum();
        let all = World::all_bytes() / EXPERT_BYTES;
        let wanted = (usize::from(capacity >= all) + usize::from(capacity >= 2 * all)).min(here.len());
        for id in World::experts() {
            let holders: Vec<NodeId> = holders(self.workers.values(), id).collect();
            let known = self.core.holders_of(id);
            let placed = holders == known && holders.len() >= wanted;
            self.require(placed, Invariant::AllPlacedAtRest, || {
                format!("{id} at {holders:?}, at {known:?} as the core knows, and {wanted} were possible")
            });
        }
    }
}

/// Workers that reported an expert and were not told to drop it, ascending.
fn holders<'a>(workers: impl Iterator<Item = &'a Worker>, id: ExpertId) -> impl Iterator<Item = NodeId> {
    workers.filter(move |worker| worker.reported.contains_key(&id)).map(|worker| worker.id)
}
