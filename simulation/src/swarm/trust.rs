//! Invariants about conduct: who is trusted, credited, paid.

use std::collections::BTreeMap;

use neuro_orchestrator::{Checks, Input};
use neuro_primitives::{CallId, NodeId, TaskId};

use super::invariants::Invariant;
use super::worker::name;
use super::world::World;

/// What was known before a step.
#[derive(Debug)]
pub(crate) struct Conduct {
    streaks: BTreeMap<NodeId, u32>,
    /// Faults of the worker that the step is about, if it is about one.
    faults: Option<u32>,
}

impl World {
    /// How far each worker is trusted before the core is told something.
    pub(crate) fn known_before(&self, input: &Input) -> Conduct {
        let faults = match input {
            Input::Faulty { worker, .. } => self.faults(*worker),
            _ => None,
        };
        Conduct { streaks: self.streaks(), faults }
    }

    fn streaks(&self) -> BTreeMap<NodeId, u32> {
        self.core.standings().map(|(id, standing)| (id, standing.streak)).collect()
    }

    fn faults(&self, id: NodeId) -> Option<u32> {
        self.core.workers().iter().find(|worker| worker.id == id).map(|worker| worker.faults)
    }

    /// [`Invariant::TrustIsEarned`]: after a step.
    pub(crate) fn trust_is_earned(&mut self, input: &Input, before: &Conduct) {
        let earns =
            matches!(input, Input::Compared { same: true, .. } | Input::Recomputed { .. } | Input::WorkerKnown { .. });
        let after = self.streaks();
        let rises = |(id, streak): &(&NodeId, &u32)| **streak > before.streaks.get(*id).copied().unwrap_or(0);
        let risen = after.iter().find(rises).map(|(id, _)| *id).filter(|_| !earns);
        self.require(risen.is_none(), Invariant::TrustIsEarned, || {
            format!("{} rises with {input:?}", risen.map(name).unwrap_or_default())
        });
        if let Input::Faulty { worker, .. } = input
            && self.faults(*worker) > before.faults
        {
            let begins = after.get(worker) == Some(&0);
            self.require(begins, Invariant::TrustIsEarned, || format!("{} after {input:?}", name(*worker)));
        }
    }

    /// Counts a result that is used at once, and whether it is checked: one in as many as its worker's streak is long.
    pub(crate) fn count_draw(&mut self, task: TaskId, worker: NodeId) {
        let Checks::Sampled { at_least_one_in, .. } = self.core.checks() else { return };
        let Some(standing) = self.core.standing(worker) else { return };
        self.tally.expected_milli += 1_000 / u64::from(standing.streak.clamp(1, at_least_one_in));
        self.tally.drawn += u64::from(self.books.kept.contains_key(&task));
    }

    /// [`Invariant::PaidInTime`]: of an answer that came in this step.
    pub(crate) fn in_time_rightly(&mut self, task: TaskId, in_time: bool, arrived: bool) {
        let Some(deadline) = self.books.tasks.get(&task).map(|sent| sent.deadline).filter(|_| arrived) else { return };
        let right = in_time == (self.now <= deadline);
        self.require(right, Invariant::PaidInTime, || format!("{task:?}, due at {deadline}, in time: {in_time}"));
    }

    /// [`Invariant::WitnessesAreCredited`]
    pub(crate) fn credited_rightly(&mut self, worker: NodeId, task: TaskId) {
        let own = self.books.tasks.get(&task).filter(|sent| sent.worker == worker);
        let answer = own.zip(self.books.kept.get(&task));
        let right = answer.is_some_and(|(sent, kept)| *kept == sent.question.truth());
        let pact =
            answer.is_some() && !right && self.workers.get(&worker).is_some_and(|worker| worker.conduct.is_ill());
        let once = self.books.credited.insert(task);
        self.require(once && (right || pact), Invariant::WitnessesAreCredited, || {
            format!("{} for {task:?}, right {right}, first time {once}", name(worker))
        });
    }

    /// [`Invariant::FoundIsRetracted`]: what is retracted was used, and its worker gave it.
    pub(crate) fn retracted_rightly(&mut self, call: CallId, task: TaskId, worker: NodeId) {
        let sent = self.books.tasks.get(&task);
        let own = sent.is_some_and(|sent| sent.worker == worker && sent.question.call == call);
        let used = self.books.used.contains(&task) && self.books.kept.contains_key(&task);
        self.require(own && used, Invariant::FoundIsRetracted, || format!("{task:?} of {}", name(worker)));
    }

    /// [`Invariant::DisputesAreSettled`]: of an answer that is forgotten.
    pub(crate) fn not_in_dispute(&mut self, task: TaskId) {
        let disputed = self.books.disputes.values().any(|tasks| tasks.contains(&task));
        self.require(!disputed, Invariant::DisputesAreSettled, || format!("{task:?} is forgotten"));
    }
}
