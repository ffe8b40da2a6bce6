//! The batch's way to experts on workers, and the memory of who computed what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use neuro_inference::{ExpertLayers, ExpertsError, RowOwner};
use neuro_orchestrator::Redundancy;
use neuro_primitives::{JobId, NodeId, Routes, Rows};

use super::dispatch::{Asked, Dispatch};
use super::tally::{CallTally, JobTally, Share, TAINTED};
use crate::jobs::BatchExperts;

/// Jobs whose shares are kept, those that were called for last. An answer's explanation is read right at its end, and a
/// wrong result is found within seconds; 1,024 cover every slot many times over.
const TALLIES_KEPT: usize = 1_024;

/// Experts on workers.
pub struct RemoteExperts {
    dispatch: Arc<Dispatch>,
    tallies: Mutex<Tallies>,
}

/// The tallies by job.
#[derive(Default)]
struct Tallies {
    by_job: BTreeMap<JobId, Kept>,
    /// By last use, the oldest first.
    by_use: BTreeMap<u64, JobId>,
    uses: u64,
    /// Jobs that were told to be tainted.
    told: BTreeSet<JobId>,
}

/// Rows of a call that are asked for in the same way.
struct Part {
    redundancy: Redundancy,
    /// Ascending.
    rows: Vec<usize>,
    tally: Arc<CallTally>,
}

struct Kept {
    tally: Arc<JobTally>,
    used: u64,
}

impl RemoteExperts {
    /// Experts that `dispatch` reaches.
    #[must_use]
    pub fn new(dispatch: Arc<Dispatch>) -> Self {
        Self { dispatch, tallies: Mutex::default() }
    }

    /// Who computed what for a job that runs or ended lately.
    #[must_use]
    pub fn shares(&self, job: JobId) -> Option<BTreeMap<NodeId, Share>> {
        self.tallies().by_job.get(&job).map(|kept| kept.tally.shares())
    }

    /// The rows of a job are nobody's: they may be shown to more workers than those of users.
    pub fn belongs_to_nobody(&self, job: JobId) {
        self.tallies().of(job).give_up();
    }

    /// The calls that `rows` rows of `owners` make: one, or two if some of the jobs ask for two workers and others do not.
    /// What those pay for is then not computed twice for these, nor shown to a second worker. A row's sum does not depend on
    /// the rows beside it.
    fn parts(&self, owners: &[RowOwner], rows: usize) -> Vec<Part> {
        let mut tallies = self.tallies();
        let mut parts = [Redundancy::One, Redundancy::Two].map(|redundancy| (redundancy, Vec::new(), Vec::new()));
        let mut end = 0;
        for owner in owners.iter().filter(|owner| owner.rows > 0) {
            let (_, own, jobs) = &mut parts[usize::from(owner.twice)];
            own.extend(end..end + owner.rows);
            jobs.push((owner.rows, tallies.of(owner.job)));
            end += owner.rows;
        }
        parts[0].1.extend(end..rows);
        let asked = parts.into_iter().filter(|(_, rows, _)| !rows.is_empty());
        asked.map(|(redundancy, rows, jobs)| Part { redundancy, rows, tally: Arc::new(CallTally::new(jobs)) }).collect()
    }

    fn tallies(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ExpertLayers for RemoteExperts {
    fn is_away(&self) -> bool {
        true
    }

    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        self.dispatch.call((layer, Redundancy::One), hidden, routes, &Arc::default())
    }

    fn run_for(&self, layer: u16, hidden: &Rows, routes: &Routes, owners: &[RowOwner]) -> Result<Rows, ExpertsError> {
        let parts = self.parts(owners, hidden.count());
        if let [whole] = &parts[..] {
            return self.dispatch.call((layer, whole.redundancy), hidden, routes, &whole.tally);
        }
        let begin = |part: &Part| {
            let mut own = Routes::new();
            part.rows.iter().for_each(|row| own.push_row(routes.row(*row).iter().copied()));
            self.dispatch.begin((layer, part.redundancy), &hidden.gather(&part.rows), &own, &part.tally)
        };
        let asked = parts.iter().map(begin).collect::<Result<Vec<Asked>, _>>()?;
        let mut sums = Rows::zeros(hidden.count(), hidden.width());
        for (part, asked) in parts.iter().zip(asked) {
            let own = asked.wait()?;
            part.rows.iter().zip(own.iter()).for_each(|(row, sum)| sums.row_mut(*row).copy_from_slice(sum));
        }
        Ok(sums)
    }
}

impl BatchExperts for RemoteExperts {
    fn newly_tainted(&self) -> Vec<(JobId, String)> {
        let mut tallies = self.tallies();
        let tallies = &mut *tallies;
        let tainted = tallies.by_job.iter().filter(|(_, kept)| kept.tally.is_tainted()).map(|(job, _)| *job);
        let new: Vec<JobId> = tainted.filter(|job| !tallies.told.contains(job)).collect();
        tallies.told.extend(&new);
        new.into_iter().map(|job| (job, TAINTED.to_owned())).collect()
    }
}

impl Tallies {
    /// The tally of `job`, which is being called for.
    fn of(&mut self, job: JobId) -> Arc<JobTally> {
        self.uses += 1;
        let used = self.uses;
        let kept = self.by_job.entry(job).or_insert_with(|| Kept { tally: Arc::default(), used });
        self.by_use.remove(&kept.used);
        kept.used = used;
        let tally = Arc::clone(&kept.tally);
        self.by_use.insert(used, job);
        if self.by_use.len() > TALLIES_KEPT
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_job.remove(&oldest);
            self.told.remove(&oldest);
        }
        tally
    }
}
