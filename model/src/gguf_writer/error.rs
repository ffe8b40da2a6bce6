//! What can go wrong with a file that is written.

use std::io;
use std::path::PathBuf;

use neuro_primitives::TensorType;

use crate::gguf_writer::{MAX_DIMENSIONS, MAX_NAME};

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum GgufWriteError {
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A tensor whose rows are not whole blocks, or of more bytes than 64 bits count.
    #[error("{name}: shape {shape:?} has no rows of whole {tensor_type} blocks")]
    Shape {
        /// The tensor.
        name: String,
        /// Its type.
        tensor_type: TensorType,
        /// Its shape, the slowest dimension first.
        shape: Vec<usize>,
    },
    /// A tensor of more dimensions than the format has.
    #[error("{name}: {got} dimensions, expected at most {MAX_DIMENSIONS}")]
    Dimensions {
        /// The tensor.
        name: String,
        /// How many it has.
        got: usize,
    },
    /// A name that readers have no room for.
    #[error("{name:?}: expected a tensor name of 1 to {MAX_NAME} bytes")]
    Name {
        /// The name.
        name: String,
    },
    /// A key or a tensor twice.
    #[error("{name:?} occurs twice, expected one of each name")]
    Duplicate {
        /// The key or the tensor.
        name: String,
    },
    /// An array whose elements are not of its type, or are arrays.
    #[error("{key}: expected an array of one plain type")]
    Array {
        /// The key.
        key: String,
    },
    /// Other bytes than the tensor's shape and type ask for.
    #[error("{name}: expected {expected} bytes, got {got}")]
    Data {
        /// The tensor.
        name: String,
        /// What its shape asks for.
        expected: u64,
        /// What came, as far as it was counted.
        got: u64,
    },
}

impl GgufWriteError {
    /// Whether the same call may succeed later: only the disk changes.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}
