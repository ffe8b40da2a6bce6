//! Whole systems in one process, on virtual time, from a seed: federated rounds, and the swarm around an orchestrator.
//!
//! # Federated rounds
//!
//! [`Simulation::run`] carries the cores of `neuro-secagg` through whole rounds with real keys, shares, masks and vectors.
//! Messages pass through memory, time is virtual, and everything that would be random comes from one seed: the same
//! plan and seed give the same bytes. Participants are lost, and both sides start again from what they stored, where the
//! plan says so.
//!
//! ```text
//! plan, seed ─▶ roster, configuration ─▶ [ Aggregator ◀─messages─▶ Participants ] per cohort ─▶ sum = plain sum? ─▶ report
//! ```
//!
//! A round that ends with a sum counts as a success only if the sum is, to the bit, that of the survivors' quantised
//! vectors, which are made a second time for the check. A round that ends without one is a result too, with its reason.
//!
//! What is *not* simulated: the network, the disk (a stored record stays in memory unless the plan parks it), and
//! training. The costs are CPU seconds of this process in either side's code, as [`cpu`] reads them.
//!
//! # The swarm
//!
//! [`swarm::run`] puts clients, workers and mishaps around the orchestrator's core, and looks at what must hold in each step.

mod cast;
mod cohort;
pub mod cpu;
mod error;
mod letters;
mod memory;
mod names;
mod parking;
mod payload;
mod plan;
mod report;
mod seat;
mod server;
pub mod swarm;
mod updates;
mod verify;

pub use error::{PlanError, SimulationError};
pub use plan::{Commitments, Losses, Restarts, SimulationPlan};
pub use report::{Bytes, CohortReport, ParticipantCost, PhaseReport, ServerCost, SimulationReport};
pub use updates::{NormalUpdates, PrivateUpdates, Updates};

use cast::Cast;

/// Whole rounds in this process.
pub struct Simulation;

impl Simulation {
    /// One round of the plan's cohorts, one after the other, with normally distributed updates.
    ///
    /// # Errors
    /// A plan that cannot be, and whatever should not happen in a round: a sum that is not the plain sum, or a participant
    /// that refuses what an honest aggregator shows it.
    pub fn run(plan: &SimulationPlan, seed: u64) -> Result<SimulationReport, SimulationError> {
        Self::run_with(plan, seed, &NormalUpdates::new(plan, seed), &mut |_| {})
    }

    /// [`Self::run`] with other updates. `progress` is shown each cohort's report when it is there.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_with(
        plan: &SimulationPlan,
        seed: u64,
        updates: &dyn Updates,
        progress: &mut dyn FnMut(&CohortReport),
    ) -> Result<SimulationReport, SimulationError> {
        plan.check()?;
        let cast = Cast::new(plan, seed)?;
        let mut cohorts = Vec::with_capacity(plan.cohorts.into());
        for number in 0..plan.cohorts {
            let report = cohort::run(plan, &cast, number, updates)?;
            progress(&report);
            cohorts.push(report);
        }
        Ok(SimulationReport { seed, entries: plan.entries, cohorts })
    }
}
