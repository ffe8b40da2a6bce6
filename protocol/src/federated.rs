//! Federated learning's messages, generated from `proto/federated.proto`, and the invitation.
//!
//! The service itself (client and server stubs) belongs to the network crate: nothing here speaks. All messages read
//! and write JSON too; enumerations appear there by name, absent measurements as `null`. Messages of secure
//! aggregation are opaque bytes here: `neuro-secagg` decodes and judges them.

use crate::control::names;

pub mod invitation;

pub use invitation::{Invitation, InvitationError, SignedInvitation};

include!(concat!(env!("OUT_DIR"), "/neuro.federated.v1.rs"));

#[cfg(test)]
mod tests;
