//! Secure aggregation: keys, shares, masks, the graph, and both sides of a round.
//!
//! The protocol, its guarantee and its attacks: `docs/spec/secagg.md`. Nothing here does I/O: inputs go in, effects come
//! out, and vectors stay with the caller.

pub mod aggregator;
mod assembly;
pub mod config;
pub mod error;
pub mod feldman;
pub mod fields;
pub mod floors;
pub mod graph;
pub mod group;
pub mod identity;
pub mod kdf;
pub mod masks;
pub mod messages;
mod modulus_rule;
pub mod packing;
pub mod parameters;
pub mod participant;
pub mod quantise;
pub mod roster;
pub mod seal;
pub mod shamir;
pub mod share_tree;
pub mod sum;
pub mod survivor_rule;
pub mod tags;
pub mod tails;
