//! Private inference by three parties on replicated secret shares (Araki et al. 2016; Boyle et al. 2019).
//!
//! A value x of Z_2^64 is x = x_0 + x_1 + x_2; party P_i holds x_i and x_{i+1}, so component j is known to P_j and
//! P_{j-1}. Any two parties can tell x, one alone learns nothing. What is linear is local; a product costs one element a
//! party. Every product and every AND gate is written to a [`tape`], which a distributed proof checks before anything
//! that depends on it is opened: at most one party lies, and is found out but for a chance of 2^-40 a session.
//!
//! The code of a gadget is written once and is run by each party on its own shares. It reaches the others through
//! [`channel::Channel`] alone: sockets, or threads of one process.
//!
//! Not protected against: two parties together, who see everything; and lengths, which are public.

pub mod arithmetic;
pub mod boolean;
pub mod channel;
pub mod comparison;
pub mod computation;
pub mod conversion;
pub mod digits;
pub mod error;
pub mod exchange;
pub mod functions;
pub mod lookup;
pub mod memory;
pub mod nn;
pub mod party;
pub mod proof;
pub mod prss;
pub mod random_bits;
pub mod rehearsal;
pub mod ring;
pub mod selection;
pub mod share;
pub mod supply;
pub mod tape;
#[cfg(test)]
mod tests;
pub mod truncation;
pub mod workload;
