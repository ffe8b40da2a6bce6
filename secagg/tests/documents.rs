//! The documents and messages of a round: committed bytes, round trips, refusals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../tests/shared/vectors.rs"]
mod committed;
#[path = "support/samples.rs"]
mod samples;

mod documents {
    mod refusals;
    mod round_trips;
    mod sizes;
    mod vectors;
}
