//! What travels and what is signed: frames, limits, tickets, the model manifest, the control services' messages.
//!
//! Everything that comes from outside enters through a decoder of this crate, which takes any bytes, never panics,
//! and makes no more room than the bytes warrant. `docs/spec/` describes the same formats for other implementations;
//! `tests/vectors/` pins them.

pub use neuro_primitives::codec;
pub mod control;
pub mod evidence;
pub mod federated;
pub mod frame;
pub mod limits;
pub mod manifest;
pub mod ticket;
pub mod traffic;
pub mod version;

pub use evidence::{Evidence, EvidenceError, Unfounded, Verdict};
pub use frame::{
    ActivationFormat, Answer, AnswerError, DecodeError, Failure, FailureCode, Frame, Hello, MicroTask, Welcome,
};
pub use manifest::{
    AssetEntry, Manifest, ManifestError, SignedManifest, TensorEntry, TensorPlace, TensorType, VerifiedManifest,
};
pub use ticket::{SignedTicket, Ticket, TicketError};
