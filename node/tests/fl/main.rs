//! Federated tasks over real sockets on the loopback: the real aggregator, real participants, real trainer processes.
//!
//! One binary with a module per concern. Twins that break the protocol speak it by hand (`twin.rs`).

// Clippy knows test functions; these are the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cohorts;
mod commitments;
mod faults;
#[allow(dead_code, reason = "shared with fl_floors.rs")]
mod federation;
mod interruptions;
mod local_rules;
mod measuring;
mod noise;
mod relay;
mod restarts;
mod roster;
#[allow(dead_code, reason = "shared with fl_floors.rs and fl_robust.rs")]
mod twin;
