//! Settles from the checkpoint who is right: a thread of its own, beside the decoding.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};

use neuro_inference::experts::Recomputation;
use neuro_orchestrator::CheckId;
use neuro_primitives::TaskId;

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
    /// Starts the thread. It ends with the last sender.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(recomputation: Recomputation, dispatch: &Arc<Dispatch>) -> std::io::Result<()> {
        let (disputes, waiting) = sync_channel(QUEUE);
        let weak = Arc::downgrade(dispatch);
        std::thread::Builder::new()
            .name("auditor".to_owned())
            .spawn(move || settle_all(&recomputation, &waiting, &weak))?;
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

fn settle_all(recomputation: &Recomputation, waiting: &Receiver<Dispute>, dispatch: &Weak<Dispatch>) {
    while let Ok(dispute) = waiting.recv() {
        let Some(dispatch) = dispatch.upgrade() else { return };
        settle(recomputation, &dispute, &dispatch);
    }
}

fn settle(recomputation: &Recomputation, dispute: &Dispute, dispatch: &Dispatch) {
    let answer = |kept: &Kept| recomputation.answer(kept.layer(), &kept.hidden(), kept.routes());
    let mut wrong = Vec::new();
    for (task, kept) in &dispute.witnesses {
        match answer(kept) {
            Ok(right) if kept.is(&right) => {}
            Ok(_) => wrong.push(*task),
            Err(error) => return dispatch.not_recomputed(dispute.check, &error.to_string()),
        }
    }
    let (task, kept) = &dispute.checked;
    match answer(kept) {
        Ok(right) => {
            if !kept.is(&right) {
                wrong.push(*task);
            }
            dispatch.recomputed(dispute.check, right.sums, wrong, kept.rows().to_vec());
        }
        Err(error) => dispatch.not_recomputed(dispute.check, &error.to_string()),
    }
}
