//! Orchestrator, workers and clients in one thread, on a virtual clock, from a seed.
//!
//! ```text
//! clients ── Call ─▶ ┌──────┐ ── Hold, Drop, SendTask, CancelTask ─▶ workers ── Answered, Faulty, WorkerReady ─▶ ┐
//!          mishaps ─▶ │ core │ ── KeepAnswer, Compare, Recompute, … ─▶ driver ── Compared, Recomputed ─────────▶ │ agenda
//!             Tick ─▶ └──────┘ ◀───────────────────── in the order of virtual time ─────────────────────────────┘
//! ```
//!
//! The core is `neuro_orchestrator::Orchestrator` as it runs in a node. Everything around it is made up: a contribution is a
//! number that everybody can work out, so it is known of each answer whether it is right. What goes wrong is a *conduct* of
//! a worker (slow, stalled, refusing, lying, colluding, replaying, free-riding, duplicating, with a skewed clock) or a
//! *mishap* (crash, partition, slow disk, flood, strangers' answers, restart of the orchestrator). What must hold
//! whatever goes wrong is an [`Invariant`], looked at in every step.
//!
//! A run that breaks one ends there. Its seed alone repeats it, with its story: see [`replay`].
//!
//! What is *not* simulated: bytes, sockets, signatures, the trunk, and how long a step of the core takes.

mod agenda;
mod answers;
mod chance;
mod client;
mod driver;
mod faults;
pub mod flapping;
mod invariants;
pub mod latency;
mod report;
pub mod slowdown;
mod story;
mod trust;
mod worker;
mod world;

pub use invariants::Invariant;
pub use report::{Broken, Policy, Tally, UnknownPolicy};

use world::World;

/// One run.
///
/// # Errors
/// The first invariant that does not hold, with the story up to there.
pub fn run(policy: Policy, seed: u64) -> Result<Tally, Box<Broken>> {
    let (result, _) = World::new(policy, seed, false).run();
    result.or_else(|_| replay(policy, seed).0)
}

/// One run with its story, a line a thing that happened.
pub fn replay(policy: Policy, seed: u64) -> (Result<Tally, Box<Broken>>, Vec<String>) {
    let (result, story) = World::new(policy, seed, true).run();
    (result.map_err(Box::new), story)
}

/// Runs these seeds and adds up what they give.
///
/// # Errors
/// The first run that breaks an invariant.
pub fn run_all(policy: Policy, seeds: std::ops::Range<u64>) -> Result<Tally, Box<Broken>> {
    let mut sum = Tally::default();
    for seed in seeds {
        sum.add(&run(policy, seed)?);
    }
    Ok(sum)
}
