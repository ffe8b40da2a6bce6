//! Settles from the checkpoint who is right: a thread of its own, beside the decoding.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};

use neuro_expert_runtime::Computed;
use neuro_inference::ExpertsError;
use neuro_inference::experts::Recomputation;
use neuro_orchestrator::CheckId;
use neuro_primitives::TaskId;

use super::cases::Cases;
use super::dispatch::{Dispatch, Kept};

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
    /// Starts the thread, which makes `cases` of what it finds. It ends with the last sender.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(recomputation: Recomputation, cases: Arc<Cases>, dispatch: &Arc<Dispatch>) -> std::io::Result<()> {
        let (disputes, waiting) = sync_channel(QUEUE);
        let weak = Arc::downgrade(dispatch);
        let judge = Judge { recomputation, cases };
        std::thread::Builder::new().name("auditor".to_owned()).spawn(move || judge.settle_all(&waiting, &weak))?;
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
    recomputation: Recomputation,
    cases: Arc<Cases>,
}

impl Judge {
    fn settle_all(&self, waiting: &Receiver<Dispute>, dispatch: &Weak<Dispatch>) {
        while let Ok(dispute) = waiting.recv() {
            let Some(dispatch) = dispatch.upgrade() else { return };
            self.settle(&dispute, &dispatch);
        }
    }

    /// Says who was wrong. The case against them is open before the dispatcher sends them away.
    fn settle(&self, dispute: &Dispute, dispatch: &Dispatch) {
        // The checked one is the last, so that the sums are its own in the end.
        let results = dispute.witnesses.iter().chain([&dispute.checked]);
        let (mut wrong, mut sums) = (Vec::new(), Vec::new());
        for (task, kept) in results {
            let right = match self.recompute(kept) {
                Ok(right) => right,
                Err(error) => return dispatch.not_recomputed(dispute.check, &error.to_string()),
            };
            sums.clone_from(&right.sums);
            if !kept.is(&right) {
                wrong.push((*task, kept, right));
            }
        }
        wrong.iter().for_each(|(_, kept, right)| self.cases.accuse(kept, right));
        let wrong = wrong.iter().map(|(task, ..)| *task).collect();
        dispatch.recomputed(dispute.check, sums, wrong, dispute.checked.1.rows().to_vec());
    }

    fn recompute(&self, kept: &Kept) -> Result<Computed, ExpertsError> {
        self.recomputation.answer(kept.layer(), &kept.hidden(), kept.routes())
    }
}
