//! The orchestrator and the worker over real sockets on the loopback, among peers that lie, stall and send noise.
//!
//! What is real and what is not differs by file: the real orchestrator meets twins of workers, the real worker meets a
//! twin of an orchestrator. Twins speak the protocols by hand.

// Clippy knows test functions; these are the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admission;
mod broken_protocol;
mod callers;
mod crowd;
mod fetching;
mod network;
mod own_prompts;
mod pardon;
mod secret_weights;
mod smpc;
mod smpc_ranges;
mod stopping;
mod transports;
mod twin_orchestrator;
mod twin_worker;
mod wrong_answers;
