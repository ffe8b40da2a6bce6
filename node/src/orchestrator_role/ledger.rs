//! Which tasks a worker may speak about: those that were sent to it over this link and that it has not answered yet.
//!
//! A task that was cancelled or given up stays in the ledger, because its answer may have crossed the cancel. What a
//! worker says about any other task is made up.

use std::collections::BTreeSet;

use neuro_primitives::TaskId;

/// Tasks kept per link. More than can be on their way: a worker's queue and this side's hold a few hundred. About older
/// ones anything may be said, so that forgetting never blames the innocent.
const TASKS_KEPT: usize = 4_096;

/// The open tasks of one link. Task ids ascend in the order in which they are sent.
#[derive(Debug, Default)]
pub struct Ledger {
    open: BTreeSet<TaskId>,
    /// The newest task that was pushed out unanswered.
    forgotten: Option<TaskId>,
}

impl Ledger {
    /// A task goes out.
    pub fn sent(&mut self, task: TaskId) {
        self.open.insert(task);
        if self.open.len() > TASKS_KEPT {
            self.forgotten = self.open.pop_first();
        }
    }

    /// The worker answered or refused a task. Returns whether it was asked, and not yet heard about it.
    pub fn heard(&mut self, task: TaskId) -> bool {
        self.open.remove(&task) || self.forgotten.is_some_and(|newest| task <= newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_is_spoken_about_once() {
        let mut ledger = Ledger::default();
        ledger.sent(TaskId(3));
        assert!(ledger.heard(TaskId(3)));
        assert!(!ledger.heard(TaskId(3)), "twice");
        assert!(!ledger.heard(TaskId(2)) && !ledger.heard(TaskId(4)), "never sent");
    }

    #[test]
    fn the_oldest_are_forgotten_and_then_blame_nobody() {
        let mut ledger = Ledger::default();
        for task in 0..=TASKS_KEPT as u64 {
            ledger.sent(TaskId(task));
        }
        assert_eq!(ledger.open.len(), TASKS_KEPT);
        assert!(ledger.heard(TaskId(0)), "pushed out, so nobody can tell");
        assert!(ledger.heard(TaskId(1)) && !ledger.heard(TaskId(1)));
    }
}
