//! What can be wrong with a manifest.

use neuro_primitives::{ExpertId, NodeId, TensorType};

use crate::codec::CodecError;

/// Bytes that are no manifest, a manifest that breaks a rule, or one that nobody signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bytes do not hold the fields.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The bytes are not a manifest at all.
    #[error("the bytes do not begin like a manifest")]
    Magic,
    /// A manifest of another format.
    #[error("expected a manifest of format {expected}, got {got}")]
    Format {
        /// The format of this build.
        expected: u16,
        /// The format that came.
        got: u16,
    },
    /// A number that stands for nothing in this version.
    #[error("{got} is no {what} of this version")]
    Code {
        /// What the number should name.
        what: &'static str,
        /// The number.
        got: u16,
    },
    /// Too few or too many of something.
    #[error("expected {least} to {most} {what}, got {got}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The fewest there may be.
        least: usize,
        /// The most there may be.
        most: usize,
        /// How many there are.
        got: usize,
    },
    /// A name that is empty, too long, or has characters that a name may not have.
    #[error("{got:?} cannot be the name of {what}")]
    Name {
        /// What has the name.
        what: &'static str,
        /// The name.
        got: String,
    },
    /// Names that do not ascend, or one that comes twice.
    #[error("{got:?} does not come after {previous:?}")]
    Order {
        /// The name before.
        previous: String,
        /// The name that came.
        got: String,
    },
    /// A dimension of zero, or more bytes than 64 bits count.
    #[error("{name:?} cannot have the shape {shape:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// Rows that are no whole number of the type's blocks.
    #[error("{name:?}: expected rows of a multiple of {} elements for {tensor_type}, got {row}", .tensor_type.block_elements())]
    Blocks {
        /// The tensor.
        name: String,
        /// The type of its elements.
        tensor_type: TensorType,
        /// The elements of a row: its last dimension, 1 when it has none.
        row: u64,
    },
    /// A length that disagrees with what is known.
    #[error("{name:?}: expected {expected} bytes, got {got}")]
    Length {
        /// The tensor or file.
        name: String,
        /// The bytes it must have.
        expected: u64,
        /// The bytes that it is said to have.
        got: u64,
    },
    /// A file larger than any node would read.
    #[error("{name:?}: expected at most {limit} bytes, got {got}")]
    AssetTooLarge {
        /// The file.
        name: String,
        /// The bound.
        limit: u64,
        /// Its size.
        got: u64,
    },
    /// A `config.json` among the assets that is not the one inside the manifest.
    #[error("the asset config.json is not the manifest's own configuration")]
    Config,
    /// An expert of a layer that the model does not have.
    #[error("expert {expert} lies beyond the {layers} layers of the model")]
    Layer {
        /// The expert.
        expert: ExpertId,
        /// How many layers there are.
        layers: usize,
    },
    /// More bytes in all than 64 bits count.
    #[error("the tensors have more bytes than 64 bits count")]
    TotalLength,
    /// The signature is not the publisher's.
    #[error("the manifest is not signed by {publisher}")]
    Forged {
        /// Who is said to have signed.
        publisher: NodeId,
    },
}

impl ManifestError {
    /// Always false: the same bytes stay wrong.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }

    /// Nobody: a forged signature says nothing about the publisher that it names, and a manifest with no publisher
    /// proven has no author. Who handed the bytes over is known to the caller only.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        None
    }
}
