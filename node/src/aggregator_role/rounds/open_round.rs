//! A round under way: its cohorts, each on a thread of its own, and what they have come to so far.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use neuro_fl_aggregator::EncodingPlan;
use neuro_primitives::NodeId;
use neuro_secagg::aggregator::{Input, Phase};
use neuro_secagg::config::SignedConfig;
use neuro_secagg::roster::{Registry, Roster};
use tokio::sync::mpsc;

use super::RoundError;
use super::folder::{Beginning, RoundFolder};
use crate::aggregator_role::cohort::{Cohort, CohortEnd, CohortError, CohortFolder, CohortHandle, CohortParts};
use crate::aggregator_role::shared::Shared;
use crate::aggregator_role::uploads::Uploads;

/// One cohort of it.
pub(super) struct OpenCohort {
    pub(super) name: String,
    pub(super) folder: CohortFolder,
    pub(super) handle: Arc<CohortHandle>,
    pub(super) end: Option<CohortEnd>,
}

/// What a round calls.
#[derive(Default)]
pub(super) struct Called {
    /// The signed configurations, and what the cohorts are about.
    pub(super) cohorts: Vec<(SignedConfig, String)>,
    /// Of how many the sums must come out for any to be of use.
    pub(super) least_sums: usize,
}

/// A cohort's number, and how it ended.
type Ended = (u16, Result<CohortEnd, RoundError>);

/// The round.
pub(super) struct OpenRound {
    pub(super) number: u64,
    pub(super) beginning: Beginning,
    pub(super) roster: Arc<Roster>,
    pub(super) cohorts: BTreeMap<u16, OpenCohort>,
    /// Whether it was called off, to be called again under a newer roster.
    pub(super) withdrawn: bool,
    /// Whether cohorts were ended since too few others were left.
    pub(super) called_off: bool,
    least_sums: usize,
    ends: mpsc::UnboundedReceiver<Ended>,
}

impl OpenRound {
    /// Starts or resumes the cohorts: each takes up what its folder holds. One that has ended already ends at once with
    /// the sum that is on disk.
    pub(super) fn start(
        shared: &Shared,
        folder: &RoundFolder,
        number: u64,
        beginning: Beginning,
        roster: &Arc<Roster>,
        called: Called,
    ) -> Result<Self, RoundError> {
        let (told, ends) = mpsc::unbounded_channel();
        let mut cohorts = BTreeMap::new();
        for (config, name) in called.cohorts {
            let cohort = config.config().cohort;
            let opened = open(shared, folder.cohort(cohort)?, &beginning, roster, config, name, told.clone())?;
            cohorts.insert(cohort, opened);
        }
        shared.begin(cohorts.values().map(|cohort| Arc::clone(&cohort.handle)).collect());
        for node in shared.streams.attending() {
            cohorts.values().for_each(|cohort| cohort.handle.post_blindly(Input::Connected(node)));
        }
        let roster = Arc::clone(roster);
        let (withdrawn, called_off, least_sums) = (false, false, called.least_sums);
        Ok(Self { number, beginning, roster, cohorts, withdrawn, called_off, least_sums, ends })
    }

    /// Waits for the next cohort to end. Returns whether it was the last.
    pub(super) async fn next_end(&mut self) -> Result<bool, RoundError> {
        let (cohort, end) = self.ends.recv().await.ok_or(RoundError::Thread)?;
        let end = end?;
        if let Some(open) = self.cohorts.get_mut(&cohort) {
            open.end = Some(end);
        }
        self.call_off();
        Ok(self.cohorts.values().all(|cohort| cohort.end.is_some()))
    }

    /// Nobody shall pay for a sum that cannot be used: once too few cohorts can have one, the others end, but for those whose
    /// members are asked for shares already.
    fn call_off(&mut self) {
        let hopeful = |cohort: &&OpenCohort| cohort.end.as_ref().is_none_or(|end| end.sum.is_some());
        if self.called_off || self.cohorts.values().filter(hopeful).count() >= self.least_sums {
            return;
        }
        tracing::info!(round = self.number, "called off, since too few of its cohorts can have a sum");
        self.called_off = true;
        let running = self.cohorts.values().filter(|cohort| cohort.end.is_none());
        running.for_each(|cohort| cohort.handle.post_blindly(Input::CallOff));
    }

    /// Whether it should be called again: `newer` lists somebody who attends and whom this round does not know, and it
    /// still waits for enough to join.
    pub(super) fn is_outdated(&self, newer: &Roster, attending: &[NodeId]) -> bool {
        let waits = |cohort: &OpenCohort| {
            let state = cohort.handle.look();
            let least = cohort.handle.config.config().least_members;
            let view = state.view.as_ref();
            view.is_some_and(|view| view.phase == Phase::Join && view.reported.len() < usize::from(least))
        };
        let is_new = |node: &NodeId| newer.batch_of(*node).is_some() && self.roster.batch_of(*node).is_none();
        let changed = newer.fields().version > self.roster.fields().version;
        changed && attending.iter().any(is_new) && self.cohorts.values().all(waits)
    }

    /// Calls it off.
    pub(super) fn withdraw(&mut self) {
        self.withdrawn = true;
        self.cohorts.values().for_each(|cohort| cohort.handle.post_blindly(Input::Stop));
    }
}

/// A cohort on a thread of its own.
fn open(
    shared: &Shared,
    folder: CohortFolder,
    beginning: &Beginning,
    roster: &Arc<Roster>,
    config: SignedConfig,
    name: String,
    told: mpsc::UnboundedSender<Ended>,
) -> Result<OpenCohort, RoundError> {
    let number = config.config().cohort;
    let uploads = Arc::new(Uploads::open(folder.path(), config.config().vector_entries as usize)?);
    let (handle, posts) = CohortHandle::new(config.clone(), name.clone(), beginning.began, Arc::clone(&uploads));
    let parts = CohortParts {
        encoding: EncodingPlan::of(config.config())?,
        config,
        registry: Arc::clone(roster) as _,
        key: shared.key.clone(),
        blamed: shared.history().blamed().into_keys().collect(),
        streams: Arc::clone(&shared.streams),
        folder: folder.clone(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let cohort = Cohort::open(parts, uploads, handle.state())?;
    let run = move || telling(&told, number, |ended| cohort.run(&posts, ended));
    std::thread::Builder::new().name(format!("cohort {number}")).spawn(run)?;
    Ok(OpenCohort { name, folder, handle: Arc::new(handle), end: None })
}

/// Runs a cohort's thread and tells how the cohort ended, or why the thread did. A bug in one is heard of too: the others
/// hold the same channel open, and the round would wait for ever.
fn telling(
    told: &mpsc::UnboundedSender<Ended>,
    number: u16,
    run: impl FnOnce(&dyn Fn(CohortEnd)) -> Result<(), CohortError>,
) {
    let ended = |end| drop(told.send((number, Ok(end))));
    let ran = catch_unwind(AssertUnwindSafe(|| run(&ended)));
    if let Err(error) = ran.map_or(Err(RoundError::Thread), |ran| ran.map_err(RoundError::from)) {
        drop(told.send((number, Err(error))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_is_heard_of_while_others_run() {
        let (told, mut ends) = mpsc::unbounded_channel();
        let _another = told.clone();
        let run = move || telling(&told, 3, |_| panic!("a bug"));
        assert!(std::thread::spawn(run).join().is_ok());
        assert!(matches!(ends.try_recv(), Ok((3, Err(RoundError::Thread)))));
    }
}
