//! Ids, keys, hashes, rows and times: the types that two crates exchange.
//!
//! Nothing here holds policy or does I/O. A type enters this crate only when two others hand it to each other.

pub mod activations;
pub mod clock;
pub mod codec;
pub mod contribution;
pub mod hash;
pub mod id;
pub mod key;
pub mod receipt;
pub mod routes;
pub mod rows;
pub mod tensor_type;
pub mod untrusted;

pub use activations::{ACTIVATION_BLOCK, ActivationFormat, Activations, QuantisedRows};
pub use clock::{Moment, UnixMillis};
pub use contribution::{ContributionError, FixedSum, RowSum};
pub use hash::Hash;
pub use id::{CallId, ExpertId, JobId, ModelId, NodeId, TaskId};
pub use key::{Domain, NodeKey, Signature};
pub use routes::{Route, Routes};
pub use rows::Rows;
pub use tensor_type::TensorType;
pub use untrusted::Untrusted;
