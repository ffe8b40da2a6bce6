//! The pure core that places experts on workers, schedules micro-tasks and survives lost workers.
//!
//! It takes events and a time and returns effects; it has no clock, sends nothing and never sleeps. The same inputs give
//! the same effects, on every machine.
//!
//! # Roles
//!
//! `registry` knows workers and copies · `placement` decides who holds what · `scheduler` chooses holders for a
//! call · `validator` checks answers · [`reputation`] remembers conduct · `transitioner` leads calls and tasks through their
//! lives · `metering` counts · [`views`] are what may be read · [`store`] says what outlives a run, [`credit`] what work
//! is worth, [`tolerance`] how far results that are not exact may differ.
//! The *driver* feeds in what happens and carries the effects out.
//!
//! # Message flow
//!
//! ```text
//! driver ── WorkerJoined ─▶ core ── Hold ─▶ worker loads experts
//! driver ── WorkerReady ──▶ core             from now on it may be asked; replaced copies elsewhere get Drop
//! trunk  ── Call ─────────▶ core ── SendTask ─▶ one message per chosen worker, WakeAt(first deadline)
//! worker ── Answered ─────▶ core ── AcceptAnswer ─▶ the driver adds the partial sum; CallDone after the last one
//! worker ── Faulty ───────▶ core ── SendTask ─▶ to another holder; Expel after too many
//! clock  ── Tick ─────────▶ core ── SendTask ─▶ to another holder when a deadline has passed
//! late   ── Answered ─────▶ core ── AcceptAnswer + CancelTask ─▶ if nobody was faster, else nothing
//! driver ── WorkerLeft ───▶ core ── SendTask, Hold ─▶ tasks and copies move to others
//! no holder: the call waits, the expert is placed anew; after `call_patience` CallFailed, and no new requests either
//! ```
//!
//! # Invariants
//!
//! - Every call ends exactly once: `CallDone`, `CallFailed`, or the caller cancelled it.
//! - Of a call that is done, each expert was accepted exactly once, from a worker that was asked for it.
//! - A task goes only to a live worker that has reported all its experts ready, and not to one that was tried for the
//!   same expert while an untried holder lives.
//! - A call does not fail while a ready holder of what it misses was not tried.
//! - The copies given to a worker never exceed its memory limit. One copy of everything comes before second copies.
//! - The last ready copy of an expert is never dropped, nor one with a task in flight.
//! - Memory is bounded by the model, the live workers and the calls in flight, not by the work done.
//!
//! # What it does not protect against
//!
//! Under `Trusting` a well-formed wrong answer is accepted; under `Sampled` some are, as many as [`Checks::SAMPLED`] says; two
//! workers who lie alike about the same rows pass a comparison. A worker's word is taken for what it
//! holds and for how long it computed (up to the round trip), so it can draw tasks to itself, or away. Identities are
//! free: an expelled worker may come back under another key. Rows and gates are visible to the workers that get them.

pub mod credit;
pub mod effect;
pub mod input;
pub mod receipts;
pub mod reputation;
pub mod settings;
pub mod store;
pub mod tolerance;
pub mod views;

mod catalogue;
mod co_use;
mod estimate;
mod fading;
mod membership;
mod metering;
mod orchestrator;
mod pace;
mod placement;
mod placing;
mod registry;
mod scheduler;
mod timers;
mod transitioner;
mod validator;

pub use effect::{CallError, CheckId, Effect};
pub use input::{ExpertLoad, Fault, Input, Measured, Redundancy, Speed};
pub use orchestrator::Orchestrator;
pub use placement::{Move, Why};
pub use reputation::Standing;
pub use settings::{Checks, ExpertSpec, Settings};
pub use views::{Counters, Coverage, InFlight, LoadView, PlacementView, WorkerState, WorkerView};
