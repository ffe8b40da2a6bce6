//! Settles from the checkpoint who is right: a thread of its own, beside the decoding.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};

use neuro_expert_runtime::{Computed, Engine};
use neuro_inference::ExpertsError;
use neuro_inference::experts::Recomputation;
use neuro_orchestrator::CheckId;
use neuro_primitives::{ExpertId, RowSum, TaskId};

use super::OrchestratorError;
use super::cases::Cases;
use super::dispatch::{Dispatch, Kept};
use crate::publish::Publication;

/// Checks that may wait. A held answer waits with its check, so more would only wait longer; a check that finds no place is not
/// made, and what was held is asked anew.
const QUEUE: usize = 64;

/// A check to settle.
#[derive(Debug)]
pub struct Dispute {
    /// Which.
    pub check: CheckId,
    /// The answer that is checked.
    pub checked: (TaskId, Arc<Kept>),
    /// Those of its witnesses, if any came.
    pub witnesses: Vec<(TaskId, Arc<Kept>)>,
}

/// The way to the thread that settles.
#[derive(Debug, Clone)]
pub struct Auditor(SyncSender<Dispute>);

impl Auditor {
    /// Starts the thread, which settles by the checkpoint of `publication` and makes `cases` of what it finds. It ends with
    /// the last sender. `engine` is of the workers' class.
    ///
    /// # Errors
    /// When a tensor is missing, or the system gives no thread.
    pub fn start(
        publication: &Publication,
        engine: &Arc<dyn Engine>,
        cases: Arc<Cases>,
        dispatch: &Arc<Dispatch>,
    ) -> Result<(), OrchestratorError> {
        let experts = Recomputation::open(publication.checkpoint(), Arc::clone(engine))?;
        let verified = publication.recomputation(Arc::clone(engine))?;
        let (disputes, waiting) = sync_channel(QUEUE);
        let weak = Arc::downgrade(dispatch);
        let judge = Judge { experts, verified, cases, told: BTreeSet::new() };
        let thread = std::thread::Builder::new().name("auditor".to_owned());
        thread.spawn(move || judge.settle_all(&waiting, &weak)).map_err(OrchestratorError::Threads)?;
        dispatch.set_auditor(Self(disputes));
        Ok(())
    }

    /// Hands a dispute over; whether there was room.
    #[must_use]
    pub fn take(&self, dispute: Dispute) -> bool {
        match self.0.try_send(dispute) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

/// What the thread has.
struct Judge {
    /// Computes with what lies in the file, which is right unless the file was changed.
    experts: Recomputation,
    /// Computes with bytes that are what workers fetched: before anybody is accused.
    verified: Recomputation,
    cases: Arc<Cases>,
    /// Experts of which the owner was told that the file has other bytes.
    told: BTreeSet<ExpertId>,
}

/// Who of a dispute was wrong, with what would have been right, and the sums of the answer that is checked.
struct Finding<'a> {
    wrong: Vec<(TaskId, &'a Kept, Computed)>,
    sums: Vec<RowSum>,
}

impl Judge {
    fn settle_all(mut self, waiting: &Receiver<Dispute>, dispatch: &Weak<Dispatch>) {
        while let Ok(dispute) = waiting.recv() {
            let Some(dispatch) = dispatch.upgrade() else { return };
            self.settle(&dispute, &dispatch);
        }
    }

    /// Says who was wrong. The case against them is open before the dispatcher sends them away.
    fn settle(&mut self, dispute: &Dispute, dispatch: &Dispatch) {
        match self.find(dispute) {
            Ok(Finding { wrong, sums }) => {
                wrong.iter().for_each(|(_, kept, right)| self.cases.accuse(kept, right));
                let wrong = wrong.iter().map(|(task, ..)| *task).collect();
                dispatch.recomputed(dispute.check, sums, wrong, dispute.checked.1.rows().to_vec());
            }
            Err(error) => {
                self.tell_damage();
                if !self.told.iter().any(|expert| dispute.needs(*expert)) {
                    tracing::warn!(%error, "a check could not be settled from the checkpoint");
                }
                dispatch.not_recomputed(dispute.check);
            }
        }
    }

    /// Before anybody is called wrong, it is made sure that the file is right. Of an expert whose bytes are not what they
    /// were, nothing is found any more.
    fn find<'a>(&self, dispute: &'a Dispute) -> Result<Finding<'a>, ExpertsError> {
        if let Some(expert) = self.told.iter().find(|expert| dispute.needs(**expert)) {
            let message = format!("the checkpoint has other bytes for expert {expert} than it had");
            return Err(ExpertsError { message, retryable: false, expert: Some(expert.expert) });
        }
        match dispute.find(&self.experts) {
            Ok(finding) if finding.wrong.is_empty() => Ok(finding),
            _ => dispute.find(&self.verified),
        }
    }

    /// Tells the owner, once for each expert.
    fn tell_damage(&mut self) {
        let damaged = self.verified.damaged();
        for expert in damaged.difference(&self.told) {
            tracing::error!(
                %expert,
                "the model's file was changed while it is served: no answer for this expert is judged by it. Restore the \
                 file and restart the orchestrator"
            );
        }
        self.told = damaged;
    }
}

impl Dispute {
    /// Whether the expert is one of those that were asked for.
    fn needs(&self, expert: ExpertId) -> bool {
        let kept = &self.checked.1;
        kept.layer() == expert.layer && kept.routes().entries().iter().any(|route| route.expert == expert.expert)
    }

    /// Who is wrong, if `experts` are right.
    fn find(&self, experts: &Recomputation) -> Result<Finding<'_>, ExpertsError> {
        let mut finding = Finding { wrong: Vec::new(), sums: Vec::new() };
        // The checked one is the last, so that the sums are its own in the end.
        for (task, kept) in self.witnesses.iter().chain([&self.checked]) {
            let right = experts.answer(kept.layer(), &kept.hidden(), kept.routes())?;
            finding.sums.clone_from(&right.sums);
            if !kept.is(&right) {
                finding.wrong.push((*task, kept.as_ref(), right));
            }
        }
        Ok(finding)
    }
}

#[cfg(test)]
mod tests;
