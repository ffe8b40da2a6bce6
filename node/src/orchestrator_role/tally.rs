//! Who computed what for which job, and which jobs rest on a wrong answer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use neuro_inference::ExpertsError;
use neuro_primitives::{NodeId, Routes};
use serde::{Deserialize, Serialize};

/// Counts the work of one call for the jobs whose rows it has.
#[derive(Debug, Default)]
pub struct CallTally {
    /// Rows of the call and whose they are, ascending.
    owners: Vec<(Range<usize>, Arc<JobTally>)>,
}

/// Counts one job's work per worker while it runs.
#[derive(Debug, Default)]
pub struct JobTally {
    shares: Mutex<BTreeMap<NodeId, Share>>,
    /// Whether a wrong answer was used for it.
    tainted: AtomicBool,
    /// Whether its rows belong to no user.
    nobodys: AtomicBool,
}

/// What one worker did for one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// Micro-tasks whose answers were used, those for several jobs counted for each.
    pub tasks: u64,
    /// Rows × experts computed in them.
    pub expert_rows: u64,
    /// Time the worker says it computed, in microseconds; of a micro-task for several jobs, by expert rows.
    pub compute_us: u64,
}

impl CallTally {
    /// For a call whose first rows are the first job's, and so on.
    pub fn new(owners: impl IntoIterator<Item = (usize, Arc<JobTally>)>) -> Self {
        let mut end = 0;
        let range = |(rows, tally): (usize, Arc<JobTally>)| {
            end += rows;
            (end - rows..end, tally)
        };
        Self { owners: owners.into_iter().map(range).collect() }
    }

    /// Counts one accepted answer, to the rows `rows` of the call, which went to experts as `routes` says.
    pub fn count(&self, worker: NodeId, rows: &[usize], routes: &Routes, compute_us: u32) {
        let all = routes.entries().len() as u64;
        let mut before = 0;
        for (own, tally) in &self.owners {
            let of_owner = rows.iter().zip(routes.iter()).filter(|(row, _)| own.contains(row));
            let expert_rows: u64 = of_owner.map(|(_, routes)| routes.len() as u64).sum();
            if expert_rows > 0 {
                // Whole microseconds that add up to all of them.
                let until = |rows: u64| u64::from(compute_us) * rows / all;
                let compute_us = until(before + expert_rows) - until(before);
                tally.count(worker, Share { tasks: 1, expert_rows, compute_us });
                before += expert_rows;
            }
        }
    }

    /// Whether a row of the call belongs to no user.
    #[must_use]
    pub fn is_nobodys(&self, row: usize) -> bool {
        let owner = self.owners.iter().find(|(own, _)| own.contains(&row));
        owner.is_some_and(|(_, tally)| tally.nobodys.load(Ordering::Acquire))
    }

    /// A wrong answer was used for these rows of the call.
    pub fn taint(&self, rows: &[usize]) {
        let touched = self.owners.iter().filter(|(own, _)| rows.iter().any(|row| own.contains(row)));
        touched.for_each(|(_, tally)| tally.tainted.store(true, Ordering::Release));
    }

    /// Whether all answers that were used for its jobs so far are still believed.
    ///
    /// # Errors
    /// Not to be retried: a wrong one was used.
    pub fn check_untainted(&self) -> Result<(), ExpertsError> {
        if self.owners.iter().all(|(_, tally)| !tally.is_tainted()) {
            return Ok(());
        }
        Err(ExpertsError { message: TAINTED.to_owned(), retryable: false, expert: None })
    }
}

/// What the reader of an answer is told that rests on a wrong result.
pub const TAINTED: &str = "a worker's result that this answer rests on has turned out wrong: what came so far may be \
                           wrong, ask again (that worker is excluded)";

impl JobTally {
    /// Whether a wrong answer was used for it.
    #[must_use]
    pub fn is_tainted(&self) -> bool {
        self.tainted.load(Ordering::Acquire)
    }

    /// Its rows belong to no user.
    pub fn give_up(&self) {
        self.nobodys.store(true, Ordering::Release);
    }

    /// The shares so far, by worker.
    #[must_use]
    pub fn shares(&self) -> BTreeMap<NodeId, Share> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, worker: NodeId, done: Share) {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(worker).or_default();
        share.tasks += done.tasks;
        share.expert_rows += done.expert_rows;
        share.compute_us += done.compute_us;
    }
}

#[cfg(test)]
mod tests {
    use neuro_primitives::Route;

    use super::*;

    /// Routes of rows that go to so many experts each.
    fn routes(experts: &[u16]) -> Routes {
        let mut routes = Routes::new();
        for &count in experts {
            routes.push_row((0..count).map(|expert| Route { expert, gate: 0.5 }));
        }
        routes
    }

    #[test]
    fn work_is_shared_by_rows_and_adds_up() {
        let (first, idle, last) = (Arc::<JobTally>::default(), Arc::default(), Arc::<JobTally>::default());
        let owners = [(2, Arc::clone(&first)), (0, Arc::clone(&idle)), (3, Arc::clone(&last))];
        let (tally, worker) = (CallTally::new(owners), NodeId([1; 32]));
        // Rows 1, 2 and 4 of five, with 1, 2 and 3 experts at this worker.
        tally.count(worker, &[1, 2, 4], &routes(&[1, 2, 3]), 100);
        let shares = [&first, &last].map(|job| job.shares()[&worker]);
        assert_eq!(shares[0], Share { tasks: 1, expert_rows: 1, compute_us: 16 });
        assert_eq!(shares[1], Share { tasks: 1, expert_rows: 5, compute_us: 84 });
        assert!(idle.shares().is_empty());
    }

    #[test]
    fn one_tainted_job_stops_the_calls_that_it_is_part_of() {
        let (liars, other) = (Arc::<JobTally>::default(), Arc::<JobTally>::default());
        CallTally::new([(1, Arc::clone(&liars)), (1, Arc::clone(&other))]).taint(&[0]);
        let both = CallTally::new([(1, Arc::clone(&other)), (1, Arc::clone(&liars))]);
        assert!(both.check_untainted().is_err_and(|error| !error.retryable));
        assert!(CallTally::new([(1, Arc::clone(&other))]).check_untainted().is_ok());
        assert!(liars.is_tainted() && !other.is_tainted());
    }
}
