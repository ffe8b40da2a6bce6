//! The aggregator.

pub mod enrolment;
pub mod journal;
pub mod models;
pub mod streams;
pub mod summing;
pub mod uploads;
