//! A stored tensor, where it lies.

use std::borrow::Cow;

use neuro_primitives::TensorType;

/// A tensor of a checkpoint. Where the checkpoint has it in the form that the name promises, the bytes are in the
/// mapped file; where it lies in another form (stacked with others, transposed, split), they were put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorData<'a> {
    /// Its name.
    pub name: &'a str,
    /// How its elements are stored.
    pub tensor_type: TensorType,
    /// The slowest dimension first.
    pub shape: Vec<usize>,
    /// The elements, little-endian, row after row; as many as `shape` and `tensor_type` ask for.
    pub bytes: Cow<'a, [u8]>,
}

impl TensorData<'_> {
    /// How many elements there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bytes.len() / self.tensor_type.block_bytes() * self.tensor_type.block_elements()
    }
}
