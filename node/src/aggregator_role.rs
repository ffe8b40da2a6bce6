//! The aggregator.

pub mod journal;
