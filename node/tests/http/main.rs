//! The HTTP API against a scripted model, on the loopback; and once against the skills model.

// Clippy knows test functions; these are the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod bounds;
mod completions;
mod errors;
mod hang_up;
mod metrics;
mod raw;
mod scripted;
mod shutdown;
mod skills;
mod streaming;
