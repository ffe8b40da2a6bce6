//! The program as its users meet it: real processes of the real binary, on the loopback, in folders of their own.
//!
//! One binary with a module per concern, because every test binary links all of the program's dependencies anew.

// Clippy knows test functions; these are the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod ask;
mod bad_checkpoint;
mod bad_start;
mod chat;
mod clocks;
mod credit;
mod dashboard;
mod federation;
mod fl;
mod fl_built_in;
mod fl_clocks;
mod fl_cohorts;
mod fl_kills;
mod fl_orders;
mod fl_private;
mod fl_simulate;
mod fl_trainers;
mod help;
mod losing_a_worker;
mod model;
mod models;
mod network;
mod place;
#[path = "../../../storage/tests/story/server.rs"]
mod postgres;
mod process;
mod restarts;
mod same_answer;
mod smpc;
mod stage;
mod stores;
mod taught;
mod terminal;
mod up;
mod worker;
