//! What a federated task is and what follows a round: strategies, selection, robust rules, the budget. No I/O.

pub mod error;
pub mod layout;
pub mod strategy;

pub use error::{DecodeError, EncodeError, LayoutError, StrategyError};
pub use layout::{Flat, Layout, TensorChoice};
pub use strategy::{DecodedSum, LocalRule, Parts, Strategy, StrategySettings};
