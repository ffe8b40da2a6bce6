//! The participant.

pub mod audit;
pub mod record_store;
pub mod trainer;
